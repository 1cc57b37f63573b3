"""Hypothesis profiles: `quick` by default, `HYPOTHESIS_PROFILE=deep` for the long run."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
settings.register_profile("deep", max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

"""Hypothesis profiles: `quick` by default, `HYPOTHESIS_PROFILE=deep` for the long run."""

import os

from hypothesis import HealthCheck, settings

# Processes that tests start import the installed package, not the folder that they run in.
os.environ["PYTHONSAFEPATH"] = "1"

EVERY = list(HealthCheck)
settings.register_profile(
    "quick", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=EVERY
)
settings.register_profile("deep", max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=EVERY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

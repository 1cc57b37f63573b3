"""Hypothesis profiles: `quick` by default, `HYPOTHESIS_PROFILE=deep` for the long run.

`HYPOTHESIS_EXAMPLES` sets how many examples a property gets in the long run (20,000).
"""

import os

from hypothesis import HealthCheck, settings

# Processes that tests start import the installed package, not the folder that they run in.
os.environ["PYTHONSAFEPATH"] = "1"

EVERY = list(HealthCheck)
settings.register_profile(
    "quick", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=EVERY
)
EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "20000"))
settings.register_profile("deep", max_examples=EXAMPLES, deadline=None, print_blob=True, suppress_health_check=EVERY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

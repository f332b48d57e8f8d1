"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

# 1 for every day; the nightly run looks longer for what random input and random faults can break.
SCALE = float(os.environ.get("TEST_SCALE") or 1)

# Time is no measure of an example: on a fresh clone the first one builds tables of Unicode for seconds, and a
# machine that runs tests may do something else too. pytest's timeout stops what hangs.
settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=max(10, round(100 * SCALE)),
)
settings.load_profile("project")

"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No test here asserts a time, and Hypothesis would do just that on a machine with something else to do.
# Where a change is judged, the examples are the same every time; at a desk, they are new ones.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("unhurried")

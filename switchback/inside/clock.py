"""The wall clock, as far as it can be trusted: what the proxies write down is told by it, and somebody may set it."""

from __future__ import annotations

import time

_STEP = 0.5  # seconds; what NTP corrects by slewing is 500 ppm at most (adjtimex(2)), far less between two looks


class Clock:
    """Notices when the wall clock is set, or the machine was asleep: then it jumps against the monotonic clock."""

    def __init__(self) -> None:
        self._apart = time.time() - time.monotonic()

    def step(self) -> float:
        """Seconds by which the wall clock was set since the last question: forward is positive, 0 when it was not."""
        apart = time.time() - time.monotonic()
        step, self._apart = apart - self._apart, apart
        return step if abs(step) > _STEP else 0.0

"""One published figure."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, against what it has to hold. `bar` is None where a figure is published without one."""

    id: str
    what: str
    value: float
    unit: str
    bar: float | None
    holds: bool
    at: str  # ISO 8601 date


def at_most(id: str, what: str, value: float, unit: str, bar: float | None) -> Figure:
    """A figure that must not be larger than its bar."""
    return _figure(id, what, value, unit, bar, bar is None or value <= bar)


def at_least(id: str, what: str, value: float, unit: str, bar: float) -> Figure:
    """A figure that must not be smaller than its bar."""
    return _figure(id, what, value, unit, bar, value >= bar)


def _figure(name: str, what: str, value: float, unit: str, bar: float | None, holds: bool) -> Figure:
    today = datetime.now(UTC).date().isoformat()
    return Figure(id=name, what=what, value=round(value, 3), unit=unit, bar=bar, holds=holds, at=today)

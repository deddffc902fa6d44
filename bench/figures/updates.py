"""`pulumi up` as it is typed, preview included: nothing to do, and rollback.

Seconds of the whole command. The two sides of a ratio are measured in turn, and the figure is the median of the pairs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from bench.figure import Figure, at_most
from bench.worlds import world
from tests.integration.world import World, web

IDS = ("rollback",)
COUNTS = (1, 5, 20)
FULL_IDS = tuple(f"everything-on-{what}" for what in ("deploy", "rollback", "noop"))
NOOP_IDS = ("noop-services", *(f"noop-{count}" for count in COUNTS))
_PAIRS = 5
_BAR = 1.5
_BAKE = 3  # seconds


def measure(ids: set[str]) -> Iterator[Figure]:
    """The figures that are asked for; those of different numbers of services are measured together."""
    if "rollback" in ids:
        yield _rollback()
    if ids & set(NOOP_IDS):
        yield from _noop()
    if ids & set(FULL_IDS):
        yield from _everything_on()


def _up(one: World) -> float:
    """Seconds of a `pulumi up` that succeeds."""
    one.write_config()
    return one.pulumi("up", "--yes").seconds


def _ratio(one: World, change: Callable[[], None]) -> float:
    """One pair: an update with the change, over one with nothing to do right after it."""
    change()
    changed = _up(one)
    return changed / _up(one)


def _rollback() -> Figure:
    with world("caddy") as one:
        one.config["slots"]["green"] = {"imageTag": "2"}
        one.must_up()
        slots = iter(["green", "blue"] * _PAIRS)
        ratios = [_ratio(one, lambda: one.config.update(activeSlot=next(slots))) for _ in range(2 * _PAIRS)]
    what = "rollback by config over `pulumi up` with nothing to do (median of 10 pairs)"
    return at_most("rollback", what, statistics.median(ratios), "×", _BAR)


def _noop() -> list[Figure]:
    """Environments of 1, 5 and 20 services, each with a release in both slots, updated in turn."""
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    with ExitStack() as stack:
        made = {count: stack.enter_context(world("caddy")) for count in COUNTS}
        for count, one in made.items():
            one.config["slots"]["green"] = {"imageTag": "2"}
            one.config["services"] = {f"s{number}": _small(number) for number in range(count)}
            one.must_up()
        for _ in range(_PAIRS):
            for count, one in made.items():
                seconds[count].append(_up(one))
    what = "`pulumi up` with nothing to do, {} in two slots each"
    ratios = [most / least for least, most in zip(seconds[COUNTS[0]], seconds[COUNTS[-1]], strict=True)]
    return [
        at_most("noop-services", what.format("20 services over 1"), statistics.median(ratios), "×", 2),
        *(
            at_most(f"noop-{count}", what.format(f"{count} services"), statistics.median(took), "s", None)
            for count, took in seconds.items()
        ),
    ]


def _everything_on() -> list[Figure]:
    """An environment with analysis, functional gate and maintenance page against one without, in turn.

    Each round is a deploy into the standby slot, a rollback out of it, and an update with nothing to do.
    """
    ratios: dict[str, list[float]] = {what: [] for what in ("deploy", "rollback", "noop")}
    with world("caddy") as plain, world("caddy") as full:
        full.config |= {
            "analysis": {"bake": _BAKE, "minRequests": 50, "synthetic": {"rate": 50}},
            "gates": [{"name": "smoke", "service": "web", "command": ["true"]}],
            "maintenance": {"page": "<p>Back in a moment.</p>"},
        }
        for one in (plain, full):
            one.must_up()
        for number in range(_PAIRS):
            took = {one: _round(one, number) for one in (plain, full)}
            for what, seconds in took[full].items():
                waited = _BAKE if what == "deploy" else 0.0
                ratios[what].append((seconds - waited) / took[plain][what])
    words = {
        "deploy": f"deploy with analysis, functional gate and maintenance page, less its bake of {_BAKE} s",
        "rollback": "rollback by config with all that",
        "noop": "`pulumi up` with nothing to do with all that",
    }
    return [
        at_most(
            f"everything-on-{what}",
            f"{words[what]}, over the same without (median of {_PAIRS} pairs)",
            statistics.median(found),
            "×",
            None,
        )
        for what, found in ratios.items()
    ]


def _round(one: World, number: int) -> dict[str, float]:
    one.config["slots"]["green"] = {"imageTag": "2", "revision": number + 1}
    one.config["activeSlot"] = "green"
    seconds = {"deploy": _up(one)}
    one.config["activeSlot"] = "blue"
    seconds["rollback"] = _up(one)
    return seconds | {"noop": _up(one)}


def _small(number: int) -> dict[str, Any]:
    """A service of which forty fit on one machine."""
    return web(
        routes=[{"path": f"/s{number}" if number else "/"}],
        resources={"memory": "128m", "cpus": 0.5},
        health={"timeout": 120},
    )

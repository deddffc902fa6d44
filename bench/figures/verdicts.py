"""Verdicts of the analysis under real load: bad releases are taken back, good ones are not, at the same settings.

Each run is a `pulumi up` of an environment whose users go on all the time. A release into the live slot, so that the
next run has a baseline as soon as the last is over. Runs go side by side in environments of their own where the
load leaves room for it.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from bench.figure import Figure, at_least, at_most
from bench.load import KINDS, Load, Tally
from bench.worlds import world

RATES = (100, 1000)  # requests a second
PROXIES = ("caddy", "nginx")
RUNS, GOOD_RUNS = 20, 50
_ANALYSIS = {"bake": 15, "baseline": 15, "minRequests": 100}
_BETWEEN = 15.0  # seconds of users on the old release before each run
_SLOW, _SLOWER = "0.02", "0.04"  # seconds
FAULTS = {
    "errors": ("a release with 10 % errors", {}, {"ERROR_SHARE": "0.1"}),
    "latency": ("a release with doubled latency", {"ANSWER_DELAY": _SLOW}, {"ANSWER_DELAY": _SLOWER}),
}
REVERT_IDS = tuple(f"{what}-{proxy}" for what in ("revert-500", "revert-500-failed") for proxy in PROXIES)
IDS = (*(f"caught-{what}-{rate}" for what in FAULTS for rate in RATES), "false-alarms")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One release and its verdict."""

    reverted: bool
    seconds: float  # from the switch to all traffic back; 0 when it was kept
    tally: Tally
    text: str


def measure(ids: set[str]) -> Iterator[Figure]:
    """The figures that are asked for."""
    for proxy in PROXIES:
        if any(one.endswith(f"-{proxy}") for one in ids):
            yield from _revert(proxy)
    for what, (words, before, after) in FAULTS.items():
        for rate in RATES:
            if f"caught-{what}-{rate}" in ids:
                side_by_side = 4 if rate <= RATES[0] else 1
                runs = _runs(RUNS, side_by_side, rate, before, after)
                caught = [run for run in runs if run.reverted]
                took = statistics.median(run.seconds for run in caught) if caught else 0.0
                text = f"{words} at {rate} requests/s: taken back, of {len(runs)} runs (after {took:.1f} s, median)"
                yield at_least(f"caught-{what}-{rate}", text, len(caught), "runs", len(runs))
    if "false-alarms" in ids:
        runs = _runs(GOOD_RUNS, 4, RATES[0], {}, {})
        alarms = sum(run.reverted for run in runs)
        text = f"a release no different from the old one: taken back, of {len(runs)} runs at {RATES[0]} requests/s"
        yield at_most("false-alarms", text, alarms, "runs", 0)


def _revert(proxy: str) -> list[Figure]:
    """A release that answers 500 to everything."""
    runs = _runs(5, 1, RATES[0], {}, {"ERROR_SHARE": "1"}, proxy=proxy)
    if not all(run.reverted for run in runs):
        raise AssertionError(next(run.text for run in runs if not run.reverted))
    seconds = statistics.median(run.seconds for run in runs)
    failed = statistics.median(run.tally.total_failed for run in runs)
    words = f"500 to everything through {proxy} at {RATES[0]} requests/s"
    return [
        at_most(f"revert-500-{proxy}", f"{words}: from the switch to all traffic back (median of 5)", seconds, "s", 2),
        at_most(f"revert-500-failed-{proxy}", f"{words}: failed requests until then", failed, "requests", None),
    ]


def _runs(
    count: int, side_by_side: int, rate: int, before: dict[str, str], after: dict[str, str], *, proxy: str = "caddy"
) -> list[Run]:
    shares = [count // side_by_side + (number < count % side_by_side) for number in range(side_by_side)]
    with ThreadPoolExecutor(side_by_side) as pool:
        done = pool.map(lambda share: _in_one_world(share, rate, before, after, proxy), shares)
        return [run for runs in done for run in runs]


def _in_one_world(count: int, rate: int, before: dict[str, str], after: dict[str, str], proxy: str) -> list[Run]:
    """Runs one after the other. A release that was kept is the next one's old one, which is no different."""
    runs = []
    with world(proxy) as one:
        one.config["analysis"] = _ANALYSIS
        serving: dict[str, Any] = {"imageTag": "1", "env": before}
        one.config["slots"] = {"blue": serving}
        one.must_up()
        for number in range(count):
            with Load(one.url, clients=max(8, rate // 25), rate=rate, kinds=KINDS) as load:
                time.sleep(_BETWEEN)
                offered = {"imageTag": "1", "revision": number + 2, "env": before | after}
                one.config["slots"] = {"blue": offered}
                done = one.up()
            found = re.search(r"taken back ([0-9.]+) s after the switch", done.text)
            if not done.ok and not found:
                raise AssertionError(done.text)
            runs.append(
                Run(reverted=bool(found), seconds=float(found[1]) if found else 0.0, tally=load.tally, text=done.text)
            )
            serving = serving if found else offered
            one.config["slots"] = {"blue": serving}
            one.must_up()
    return runs

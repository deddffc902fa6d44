"""What the switchable upstream costs a proxy at saturation, against a fixed one, both with upstream keep-alive.

Proxies of the same image with the same limits: two with the configuration that Switchback generates, pointed to one
slot and to the other, and one with the same configuration where the upstream is fixed. An nginx that answers `return
200` stands behind them, so the proxy's own work is the largest part. wrk loads them in turn, A B B A, so that a machine
that slows down slows both; a figure is the median of the pairs' ratios. The CPU time of a request says the same as the
throughput, and hardly depends on what else the machine does.
"""

from __future__ import annotations

import re
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure, at_least, at_most
from bench.figures.stage import PORT, Run, Stage
from switchback.proxies import DRIVERS
from switchback.specs import Route, Target

FLOOR = {"caddy": 0.85, "nginx": 0.95}
IDS = tuple(f"{what}-{proxy}" for what in ("throughput", "p99", "cpu") for proxy in FLOOR)
_STAGES, _PAIRS = 6, 4  # of each stage; half of them with either slot live
_SECONDS = 2  # of each run


def measure(ids: set[str]) -> Iterator[Figure]:
    """All figures of the proxies that are asked for."""
    for proxy, floor in FLOOR.items():
        if not any(one.endswith(f"-{proxy}") for one in ids):
            continue
        # Two processes of the same image with the same configuration differ by up to a fifth, for as long as they live.
        pairs = [pair for _ in range(_STAGES) for pair in _pairs(proxy)]
        rate, p99, cpu = (
            statistics.median(getattr(switchable, what) / getattr(fixed, what) for switchable, fixed in pairs)
            for what in ("rate", "p99", "cpu")
        )
        count = _STAGES * _PAIRS
        words = f"{proxy}'s %s with the switchable upstream over a fixed one, at saturation (median of {count} pairs)"
        yield at_least(f"throughput-{proxy}", words % "throughput", rate, "×", floor)
        yield at_most(f"p99-{proxy}", words % "p99", p99, "×", 1.2)
        yield at_most(f"cpu-{proxy}", words % "CPU time of a request", cpu, "×", None)


def _pairs(kind: str) -> list[tuple[Run, Run]]:
    """Runs of a switchable and of the fixed proxy, side by side in time."""
    with tempfile.TemporaryDirectory(prefix="switchback-bench-") as home, Stage(Path(home)) as stage:
        driver = DRIVERS[kind]
        slots = [_target(slot, stage.backend(slot)) for slot in ("blue", "green")]
        text = driver.config(slots, "bench", 30.0)
        switchable = [stage.proxy(f"to-{to.slot}", kind, text, driver.pointer([to])) for to in slots]
        fixed = stage.proxy("fixed", kind, fix(kind, text, slots[0]), {})
        for proxy in (*switchable, fixed):
            stage.wrk(proxy, 1)  # warms it up
        pairs = []
        for number in range(_PAIRS):
            one = switchable[number % 2]
            if number // 2 % 2:
                base = stage.wrk(fixed, _SECONDS)
                pairs.append((stage.wrk(one, _SECONDS), base))
            else:
                pairs.append((stage.wrk(one, _SECONDS), stage.wrk(fixed, _SECONDS)))
        return pairs


def _target(slot: str, container: str) -> Target:
    routes = (Route(host="", path="/"),)
    return Target(service="web", slot=slot, release="1", version="1", container=container, port=PORT, routes=routes)


def fix(kind: str, text: str, to: Target) -> str:
    """The same configuration with the upstream of its one service fixed: nothing is consulted for a request.

    Raises:
        AssertionError: the generated text has changed so that this does not work any more.
    """
    if kind == "caddy":
        fixed = text.replace(f"{{file./run/switchback/pointer/current/{to.service}}}", to.address)
    else:
        fixed = re.sub(r" *if \(-f pointer/current/[^)]*\) \{\n[^}]*\}\n", "", text)
        fixed = re.sub(r'return 503 "No release of [^;]*;', f"proxy_pass http://{to.container};", fixed, count=1)
    if "pointer/current" in fixed or to.container not in fixed:
        raise AssertionError(f"the upstream is not fixed in:\n{fixed}")
    return fixed

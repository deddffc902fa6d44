"""What becomes of requests that are held at the proxy: four holds of a second, under 32 clients of all four kinds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure, at_most
from bench.load import KINDS, Load
from switchback.docker_host import Engine
from switchback.hold import hold
from tests.integration.holding import Holding

PROXIES = ("caddy", "nginx")
IDS = tuple(f"hold-{what}-{proxy}" for proxy in PROXIES for what in ("failed", "longest"))
_HOLDS, _SECONDS = 4, 1.0
_CLIENTS = 32


def measure(ids: set[str]) -> Iterator[Figure]:
    """Each of the four kinds of client sends at least 500 requests; the sample service is behind."""
    for proxy in PROXIES:
        if any(one.endswith(f"-{proxy}") for one in ids):
            yield from _holds(proxy)


def _holds(proxy: str) -> list[Figure]:
    reports = []
    with tempfile.TemporaryDirectory(prefix="switchback-bench-") as home, Holding(Path(home), proxy) as behind:
        engine = Engine()
        with Load(behind.url, clients=_CLIENTS, minimum=500, seconds=120) as load:
            for _ in range(_HOLDS):
                with hold(engine, behind.place, seconds=10 * _SECONDS) as held:
                    time.sleep(_SECONDS)
                reports.append(held.report)
    count = sum(report.held for report in reports)
    if count < _HOLDS * _CLIENTS:
        raise AssertionError(f"only {count} requests were held")
    failed = sum(load.tally.failed.get(kind, 0) for kind in KINDS) + sum(r.failed + r.refused for r in reports)
    what = f"{_HOLDS} holds of {_SECONDS:g} s through {proxy}, under {_CLIENTS} clients"
    return [
        at_most(
            f"hold-failed-{proxy}",
            f"requests lost over {what}, of {load.tally.total:,} ({count} were held)",
            failed,
            "requests",
            0,
        ),
        at_most(
            f"hold-longest-{proxy}",
            f"longest wait of a held request over {what}",
            max(report.longest_wait for report in reports),
            "s",
            None,
        ),
    ]

"""Lost requests, over twenty switches and over twenty deploys, and how long a switch takes."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterator

from bench.figure import Figure, at_most
from bench.hammer import deploys, dropped, hammer, switches
from bench.load import Tally
from bench.worlds import world

PROXIES = ("caddy", "nginx")
KIND_IDS = {
    "GET keep-alive": "get-keepalive",
    "GET fresh": "get-fresh",
    "POST keep-alive": "post-keepalive",
    "POST fresh": "post-fresh",
}
IDS = tuple(
    f"lost-{what}-{proxy}-{kind}" for what in ("switches", "deploys") for proxy in PROXIES for kind in KIND_IDS.values()
)
SWITCH_IDS = tuple(f"switch-{proxy}" for proxy in PROXIES)


def measure(ids: set[str]) -> Iterator[Figure]:
    """Each of the four kinds of client sends at least 10,000 requests; 32 clients in all, the sample service behind."""
    for proxy in PROXIES:
        if any(f"-switches-{proxy}" in one or one == f"switch-{proxy}" for one in ids):
            yield from _switches(proxy)
        if any(f"-deploys-{proxy}" in one for one in ids):
            yield from _deploys(proxy)


def _switches(proxy: str) -> list[Figure]:
    said: list[str] = []
    with world(proxy) as one:
        one.config["slots"]["green"] = {"imageTag": "2"}
        one.must_up()
        switch = switches(one)
        tally = hammer(one, lambda number: said.append(switch(number)))
    took = [float(found[1]) for text in said if (found := re.search(r"verified in (\d+) ms", text))]
    figure = at_most(
        f"switch-{proxy}",
        f"a switch through {proxy}, from rename to verified, under load (median of {len(took)})",
        statistics.median(took),
        "ms",
        150,
    )
    return [*_lost("switches", "20 switches", proxy, tally), figure]


def _deploys(proxy: str) -> list[Figure]:
    with world(proxy) as one:
        one.must_up()
        tally = hammer(one, deploys(one))
    return _lost("deploys", "20 deploys of new releases", proxy, tally)


def _lost(what: str, words: str, proxy: str, tally: Tally) -> list[Figure]:
    for reason in tally.reasons:
        print(f"  lost: {reason}", file=sys.stderr)
    return [
        at_most(
            f"lost-{what}-{proxy}-{KIND_IDS[kind]}",
            f"{kind} requests lost over {words} through {proxy}, of {tally.requests[kind]:,}",
            failed,
            "requests",
            0,
        )
        for kind, failed in dropped(tally).items()
    ]

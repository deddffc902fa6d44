"""WebSockets over twenty switches: none is closed, none changes its release, and a new one is with the new release."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.figure import Figure, at_most
from bench.hammer import CHANGES, switches
from bench.worlds import world
from tests.integration.connections import Connections

PROXIES = ("caddy", "nginx")
IDS = tuple(f"sockets-{proxy}" for proxy in PROXIES)
SOCKETS = 200
_DRAIN = 5  # seconds
_BETWEEN = 0.5  # seconds between two switches, so that the first is over for its drain time long before the last


def measure(ids: set[str]) -> Iterator[Figure]:
    """200 WebSockets are opened, and each is asked after every one of 20 switches."""
    for proxy in PROXIES:
        if f"sockets-{proxy}" in ids:
            yield _sockets(proxy)


def _sockets(proxy: str) -> Figure:
    with world(proxy) as one:
        one.config["slots"]["green"] = {"imageTag": "2"}
        one.config["proxy"]["drain"] = _DRAIN
        one.must_up()
        switch = switches(one)
        old = one.serving()
        began = time.monotonic()
        with Connections(one.url) as held:
            sockets = held.websockets(SOCKETS)
            assert {socket.version for socket in sockets} == {old}
            for number in range(CHANGES):
                switch(number)
                assert held.websockets(1)[0].version == ("2", "1")[number % 2]
                held.ask(sockets)
                time.sleep(_BETWEEN)
            assert time.monotonic() - began > _DRAIN
            held.ask(sockets)
            closed = [socket.how for socket in sockets if socket.how]
            assert not any(socket.others for socket in sockets), "a WebSocket changed its release"
    return at_most(
        f"sockets-{proxy}",
        f"WebSockets closed over {CHANGES} switches through {proxy}, of {SOCKETS} open ones",
        len(closed),
        "WebSockets",
        0,
    )

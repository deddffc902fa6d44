"""The meter in its toolbox behind real proxies: it counts what was asked, and nothing waits for it."""

from __future__ import annotations

import json
import math
import time

import pytest

from bench.load import Load
from tests.integration.breaking import in_toolbox, process_in_toolbox, until
from tests.integration.sharing import BOTH, shared_world
from tests.integration.world import World

pytestmark = pytest.mark.integration

# Runs in the toolbox. Container to requests, errors, and requests whose latency is known.
_ASK = """
import json, sys
from switchback.metering import ask
cells = ask(float(sys.argv[1]), 1e12, patience=60)
print(json.dumps({name: [sum(c.requests for c in seen), sum(c.errors for c in seen),
                         sum(sum(c.buckets.values()) for c in seen)] for name, seen in cells.items()}))
"""


def declare(world: World) -> None:
    """What nobody analyses is not counted."""
    world.config["analysis"] = {"bake": 1}


world = shared_world(declare, proxies=BOTH)


def counted(world: World, since: float) -> dict[str, list[int]]:
    """Container to requests, errors and known latencies since then."""
    told: dict[str, list[int]] = json.loads(in_toolbox(world, "python3", "-c", _ASK, str(since)))
    return told


def from_now(world: World) -> float:
    """The next whole second, which has begun, on the clock that this machine shares with its containers."""
    begin = math.floor(time.time()) + 1
    until("a second begins", lambda: time.time() > begin)
    assert counted(world, begin) == {}
    return begin


def meter_of(world: World) -> str:
    """The process id of the meter in the toolbox; empty when none runs."""
    return process_in_toolbox(world, "switchback.inside.meter")


def in_proxy(world: World, script: str) -> str:
    """Runs a script in the proxy's container, and returns what it printed."""
    said = world.part("proxy").exec_run(["sh", "-c", script]).output
    assert isinstance(said, bytes)
    return said.decode()


def load(world: World) -> Load:
    return Load(world.url, clients=4, rate=200, minimum=50)


def test_B4_the_meter_counts_each_request_once(world: World) -> None:
    begin = from_now(world)
    with load(world) as asked:
        pass
    assert asked.tally.total_failed == 0, asked.tally.reasons
    sent = asked.tally.total
    until("all is counted", lambda: counted(world, begin) == {f"{world.name}-web-blue-1": [sent, 0, sent]})


def test_B4_a_release_that_does_not_answer_has_errors_and_no_latency(world: World) -> None:
    release = world.container("web", "blue", "1")
    release.stop(timeout=1)
    try:
        begin = from_now(world)
        assert [world.get()[0] in (502, 504) for _ in range(5)] == [True] * 5
        until("all is counted", lambda: counted(world, begin) == {f"{world.name}-web-blue-1": [5, 5, 0]})
    finally:
        release.start()
        until("the release answers", lambda: world.get()[0] == 200)


def test_B4_a_meter_that_dies_is_back_and_knows_what_it_knew(world: World) -> None:
    begin = from_now(world)
    with load(world) as asked:
        pass
    everything = {f"{world.name}-web-blue-1": [asked.tally.total, 0, asked.tally.total]}
    until("all is counted", lambda: counted(world, begin) == everything)
    api, toolbox = world.docker.api, world.part("toolbox")
    gate = api.exec_create(toolbox.id, ["cat"], stdin=True)  # stands for a gate: it must not notice
    wire = api.exec_start(gate["Id"], socket=True)
    meter = meter_of(world)
    in_toolbox(world, "sh", "-c", 'kill -9 "$0"', meter)
    until("another meter runs", lambda: meter_of(world) not in ("", meter))
    assert counted(world, begin) == everything
    assert api.exec_inspect(gate["Id"])["Running"]
    wire.close()
    assert world.part("toolbox").attrs["State"]["StartedAt"] == toolbox.attrs["State"]["StartedAt"]
    toolbox.restart(timeout=0)
    assert counted(world, begin) == everything


def test_B4_a_full_log_costs_no_request_and_is_emptied_when_the_toolbox_is_back(world: World) -> None:
    proxy, toolbox = world.part("proxy"), world.part("toolbox")
    toolbox.stop(timeout=0)
    try:
        assert "No space left" in in_proxy(world, "dd if=/dev/zero bs=1M count=40 2>&1 >>/run/meter/access.log")
        with load(world) as asked:
            pass
        assert asked.tally.total_failed == 0, asked.tally.reasons
        assert 31 << 20 < int(in_proxy(world, "wc -c </run/meter/access.log")) <= 32 << 20
    finally:
        toolbox.start()
    begin = from_now(world)
    with load(world) as asked:
        pass
    assert asked.tally.total_failed == 0, asked.tally.reasons
    sent = asked.tally.total
    until("all is counted", lambda: counted(world, begin) == {f"{world.name}-web-blue-1": [sent, 0, sent]})
    state = world.part("proxy").attrs
    assert (state["Id"], state["RestartCount"], state["State"]["OOMKilled"]) == (proxy.id, 0, False)
    assert state["State"]["StartedAt"] == proxy.attrs["State"]["StartedAt"]

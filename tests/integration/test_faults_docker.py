"""Faults of the Docker Engine itself, caused on one of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import APIError

from tests.integration.breaking import in_toolbox, process_in_toolbox, until, until_runs
from tests.integration.engine import OwnEngine
from tests.integration.world import World

pytestmark = pytest.mark.integration


@pytest.fixture
def engine() -> Iterator[OwnEngine]:
    """An engine with the images of a small world."""
    own = OwnEngine()
    try:
        own.start()
        own.take(f"switchback/{name}" for name in ("demo:1", "demo:2", "toolbox:local", "caddy:local"))
        yield own
    finally:
        own.remove()


def asked_inside(world: World) -> str:
    """What the proxy answers on the environment's network, for the host's is another one here; empty for nothing."""
    ask = f"import urllib.request as u; print(u.urlopen('http://{world.name}-proxy:8080/', timeout=5).read().decode())"
    try:
        return in_toolbox(world, "python3", "-c", ask)
    except (APIError, AssertionError):
        return ""


def test_fault_22_an_engine_that_restarts_in_mid_deploy_is_no_end_of_it(engine: OwnEngine, tmp_path: Path) -> None:
    world = World(tmp_path / "world", docker_host=engine.host)
    world.config["proxy"]["address"] = "0.0.0.0"
    world.must_up()
    before = world.containers()
    world.config["slots"]["green"] = {"imageTag": "2", "env": {"START_DELAY": "4"}}
    world.config["activeSlot"] = "green"
    update = world.popen("up", "--yes")
    until_runs(update, "gate")
    engine.stop()
    said, _ = update.communicate(timeout=60)
    assert update.returncode != 0
    assert f"Docker does not answer at {engine.host}" in said or "Gate failed" in said
    assert "run `pulumi up` again" in said or "pulumi up   # try again" in said
    engine.start()

    until("what served serves again", lambda: '"version": "1"' in asked_inside(world))
    assert before.items() <= world.containers().items()
    world.must_up()
    assert '"version": "2"' in asked_inside(world)
    assert set(world.must_up().summary) == {"same"}
    world.close()


def test_fault_22_an_engine_that_restarts_in_a_bake_leaves_the_release_to_the_next_update(
    engine: OwnEngine, tmp_path: Path
) -> None:
    world = World(tmp_path / "world", docker_host=engine.host)
    world.config["proxy"]["address"] = "0.0.0.0"
    world.config["analysis"] = {"bake": 10, "minRequests": 100, "synthetic": {"rate": 50}}
    world.must_up()
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    update = world.popen("up", "--yes")
    until("release 2 is watched", lambda: process_in_toolbox(world, "switchback.inside.analysis") != "")
    engine.stop()
    said, _ = update.communicate(timeout=60)
    assert update.returncode != 0
    assert "run `pulumi up` again" in said or "pulumi up   # watch it again" in said
    engine.start()

    until("what had the traffic has it again", lambda: '"version": "2"' in asked_inside(world))
    assert "has to prove itself" in world.pulumi("preview", "--diff").text
    assert ": accepted" in world.must_up().text
    assert '"version": "2"' in asked_inside(world)
    assert set(world.must_up().summary) == {"same"}
    world.close()

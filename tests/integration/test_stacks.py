"""The stacks that come with the project: they are realistic, and they preview as they are."""

from __future__ import annotations

import pytest
import yaml

from tests.integration.conftest import MakeWorld
from tests.integration.world import ROOT, World, free_port

pytestmark = pytest.mark.integration


def shipped(make_world: MakeWorld, stack: str) -> World:
    """A world whose stack file is the shipped one, but for the port, which the machine may have given away.

    The stack itself has a name of its own: this machine may run the real one.
    """
    world = make_world()
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    world.config = {key.removeprefix("switchback:"): value for key, value in config.items()}
    world.config["proxy"]["httpPort"] = world.port = free_port()
    return world


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_E3_a_shipped_stack_previews_cleanly(make_world: MakeWorld, stack: str) -> None:
    world = shipped(make_world, stack)
    outcome = world.preview()
    assert outcome.ok, outcome.text
    assert set(outcome.summary) == {"create"}
    assert "warning" not in outcome.text


def test_E3_the_shipped_production_stack_can_be_deployed(make_world: MakeWorld) -> None:
    world = shipped(make_world, "production")
    # Its slots are sized for a server; here it shares two cores with other tests.
    for service in world.config["services"].values():
        service.setdefault("resources", {})["cpus"] = 1
    world.must_up()
    assert set(world.must_up().summary) == {"same"}
    live = world.outputs()["live"]
    assert {held["slot"] for held in live.values()} == {world.config["activeSlot"]}

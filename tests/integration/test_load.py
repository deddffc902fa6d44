"""No request is lost: GET and POST, with keep-alive and without, over switches and over releases, at full load."""

from __future__ import annotations

import pytest

from bench.hammer import dropped, hammer, switches
from bench.load import KINDS
from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_C1_twenty_switches_under_32_clients_lose_no_request(world: World) -> None:
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.must_up()
    switch = switches(world)
    tally = hammer(world, lambda number: print(switch(number)))
    assert dropped(tally) == dict.fromkeys(KINDS, 0), tally.reasons
    assert set(tally.served) == {"1", "2"}

"""No request is lost: GET and POST, with keep-alive and without, over switches and over releases, at full load."""

from __future__ import annotations

import pytest

from bench.hammer import dropped, hammer, releases_in_place, switches
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


def test_C1_releases_into_the_live_slot_under_32_clients_lose_no_request(world: World) -> None:
    world.must_up()
    tally = hammer(world, releases_in_place(world), changes=4, minimum=2_000)
    assert dropped(tally, 2_000) == dict.fromkeys(KINDS, 0), tally.reasons
    assert set(tally.served) == {"1", "2"}

"""Twenty changes under full load: what the load test asserts and the figures publish."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

from bench.load import KINDS, Load, Tally
from tests.integration.world import World

CLIENTS = 32
CHANGES = 20
MINIMUM = 10_000  # requests of each kind
_BETWEEN = 0.5  # seconds between two changes, so that they are spread over the load


def hammer(world: World, change: Callable[[int], None], *, changes: int = CHANGES, minimum: int = MINIMUM) -> Tally:
    """Changes something again and again while 32 clients of all four kinds ask as fast as they can."""
    with Load(world.url, clients=CLIENTS, minimum=minimum, seconds=900) as load:
        for number in range(changes):
            time.sleep(_BETWEEN)
            change(number)
    return load.tally


def switches(world: World) -> Callable[[int], str]:
    """A function that switches a deployed world to and fro, by the procedure and the very specifications that
    `pulumi up` gave it, but without the rest of an update; it returns what the procedure said."""
    specifications = []
    for slot in ("green", "blue"):
        world.config["activeSlot"] = slot
        world.must_up()
        state = json.loads(world.pulumi("stack", "export").text)
        [turn] = [r for r in state["deployment"]["resources"] if r["urn"].endswith("::switch-turn")]
        specifications.append(turn["inputs"]["stdin"])

    def switch(number: int) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "switchback", "switch"],
            input=specifications[number % 2],
            env={**os.environ, **world.env},
            text=True,
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return str(ran.stdout)

    return switch


def deploys(world: World) -> Callable[[int], None]:
    """A function that deploys a new release into the standby slot of a world, by `pulumi up`."""

    def deploy(number: int) -> None:
        slot = ("green", "blue")[number % 2]
        world.config["slots"][slot] = {"imageTag": ("2", "1")[number % 2], "revision": number + 2}
        world.config["activeSlot"] = slot
        world.must_up()

    return deploy


def releases_in_place(world: World) -> Callable[[int], None]:
    """A function that releases into the live slot of a world, by `pulumi up`: what has the traffic is replaced."""

    def release(number: int) -> None:
        slot = world.config["activeSlot"]
        world.config["slots"][slot] = {"imageTag": ("2", "1")[number % 2], "revision": number + 2}
        world.must_up()

    return release


def dropped(tally: Tally, minimum: int = MINIMUM) -> dict[str, int]:
    """Kind to failed requests, where the kind had its minimum; a kind that had not is an error, not a zero."""
    for kind in KINDS:
        if tally.requests.get(kind, 0) < minimum:
            raise AssertionError(f"only {tally.requests.get(kind, 0)} requests of {kind}")
    return {kind: tally.failed.get(kind, 0) for kind in KINDS}

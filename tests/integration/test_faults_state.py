"""Faults of Pulumi's own state: stale locks, locks taken away, broken state files, operations left half done.

What a person is told to type is read from `docs/runbooks/state.md` and typed.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.breaking import kill_family, links, load, resources, until, until_runs
from tests.integration.sharing import shared_world
from tests.integration.world import ROOT, World

pytestmark = pytest.mark.integration

RUNBOOK = ROOT / "docs/runbooks/state.md"
SLOW_GATE = {"START_DELAY": "20"}  # of a release whose gate is interrupted
PENDING = "pending operations from previous deployment"


def declare(world: World) -> None:
    """Blue serves 1, and green is there for releases."""
    world.config["services"]["web"]["health"]["timeout"] = 30


shared = shared_world(declare)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world; what a test changes is taken back, but for its release in green."""
    before = copy.deepcopy(shared.config)
    yield shared
    shared.config = before | {"slots": shared.config["slots"]}
    shared.config["slots"].get("green", {}).pop("env", None)
    type_from_runbook(shared, "unlock")
    shared.must_up()
    assert shared.serving() == "1"


def release(world: World, env: dict[str, str] | None = None) -> str:
    """Declares a new release, in green, and returns the name of its container."""
    revision = world.config["slots"].get("green", {}).get("revision", 1) + 1
    world.config["slots"]["green"] = {"imageTag": "2", "revision": revision, **({"env": env} if env else {})}
    world.config["activeSlot"] = "green"
    return f"{world.name}-web-green-2-r{revision}"


def type_from_runbook(world: World, what: str) -> str:
    """Types the commands under a mark in the runbook, in the directory of the program; returns what they printed."""
    [commands] = re.findall(rf"<!-- test: {what} -->\n```sh\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    ran = subprocess.run(
        ["bash", "-eu", "-c", commands],
        cwd=world.home,
        env={**os.environ, **world.env, "STACK": world.name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def state_file(world: World) -> Path:
    return world.backend / ".pulumi/stacks/switchback" / f"{world.name}.json"


def killed_while_it_made(world: World, container: str) -> None:
    """A `pulumi up` that is killed with `kill -9` when Docker has a new container, and state has not."""
    update = world.popen("up", "--yes")
    found: dict[str, Any] = {"all": True, "filters": {"name": container}}
    until("Docker has it", lambda: bool(world.docker.api.containers(**found)), every=0.002)
    kill_family(update)


def pending(world: World) -> int:
    """How many operations state says were left half done."""
    held = world.stack.export_stack().deployment or {}
    return len(held.get("pending_operations") or [])


def known(world: World) -> dict[str, Any]:
    """What state knows of each resource: id, inputs and outputs by its full name."""
    return {one["urn"]: [one.get(key) for key in ("id", "inputs", "outputs")] for one in resources(world)}


def test_fault_17_a_stale_lock_is_shown_with_its_holder_and_whether_it_lives(world: World) -> None:
    release(world, SLOW_GATE)
    with load(world) as watched:
        update = world.popen("up", "--yes")
        until_runs(update, "gate")
        holder = f"process {update.pid}"
        at_work = world.preview()
        assert at_work.ok
        assert f"{holder}, since" in at_work.text
        assert "which is at work: wait for it" in at_work.text
        kill_family(update)

        refused = world.up()
        assert not refused.ok
        assert "the stack is currently locked by 1 lock(s)" in refused.text
        assert f"(pid {update.pid})" in refused.text
        assert "`pulumi cancel`" in refused.text
        # Pulumi can't tell whether that one lives; preview, which takes no lock, can.
        gone = world.preview()
        assert gone.ok
        assert holder in gone.text
        assert "which is not running any more" in gone.text
        assert world.serving() == "1"

        type_from_runbook(world, "unlock")
        release(world)
        after = world.must_up()
        assert "this stack is locked" not in after.text
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert world.serving() == "2"


def test_fault_19_a_cancel_during_an_update_does_not_let_a_second_one_in(world: World) -> None:
    world.config["analysis"] = {"bake": 45}
    world.must_up()
    release(world)
    with load(world) as watched:
        first = world.popen("up", "--yes")
        until("the new release is in its bake", lambda: world.serving() == "2")
        before, pointed = world.containers(), links(world)
        type_from_runbook(world, "unlock")
        second = world.pulumi("up", "--yes", "--skip-preview", check=False)
        assert first.poll() is None, "the first update ended before it could be disturbed"
        assert not second.ok
        assert "another update is changing this environment" in second.text
        assert f"process {first.pid}" in second.text
        assert (world.containers(), links(world)["pointer/current"]) == (before, pointed["pointer/current"])
        said, _ = first.communicate(timeout=120)
        assert first.returncode == 0, said
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert world.serving() == "2"
    assert set(world.must_up().summary) == {"same"}


@pytest.mark.parametrize("left", ["half of it", "nothing"])
def test_fault_20_a_truncated_state_file_is_replaced_by_the_one_before(world: World, left: str) -> None:
    before, whole = world.containers(), state_file(world).read_bytes()
    state_file(world).write_bytes(whole[: len(whole) // 2] if left == "half of it" else b"")
    for words in (("preview",), ("up", "--yes")):
        refused = world.pulumi(*words, check=False)
        assert not refused.ok
        assert "failed to load checkpoint" in refused.text
    assert (world.containers(), world.serving()) == (before, "1")
    type_from_runbook(world, "bak")
    assert set(world.preview().summary) == {"same"}
    assert set(world.must_up().summary) == {"same"}
    assert world.containers() == before
    assert "unexpected end" not in world.pulumi("stack", "export").text


def test_fault_20_an_update_that_dies_with_its_state_file_is_finished_from_the_one_before(world: World) -> None:
    container = release(world)
    with load(world) as watched:
        killed_while_it_made(world, container)
        whole = state_file(world).read_bytes()
        state_file(world).write_bytes(whole[: len(whole) // 2])
        type_from_runbook(world, "unlock")
        type_from_runbook(world, "bak")
        world.must_up()
        assert world.serving() == "2"
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert world.containers()[container] in {held.get("id") for held in resources(world)}


def test_fault_20_when_both_files_are_broken_the_history_has_the_last_finished_update(world: World) -> None:
    before = world.containers()
    for file in (state_file(world), state_file(world).with_suffix(".json.bak")):
        file.write_bytes(file.read_bytes()[:1000])
    assert not world.pulumi("preview", check=False).ok
    type_from_runbook(world, "history")
    assert set(world.preview().summary) == {"same"}
    assert set(world.must_up().summary) == {"same"}
    assert world.containers() == before


def test_fault_21_operations_left_half_done_are_made_good_and_then_cleared(world: World) -> None:
    container = release(world)
    killed_while_it_made(world, container)
    type_from_runbook(world, "unlock")
    assert pending(world) > 0
    went_on = world.must_up()
    assert PENDING in went_on.text
    assert world.serving() == "2"
    assert world.containers()[container] in {held.get("id") for held in resources(world)}
    # Pulumi says so until it is told otherwise, which touches nothing else.
    assert PENDING in world.must_up().text
    before, state = world.containers(), known(world)
    type_from_runbook(world, "pending")
    assert pending(world) == 0
    assert (world.containers(), known(world)) == (before, state)
    quiet = world.must_up()
    assert PENDING not in quiet.text
    assert set(quiet.summary) == {"same"}

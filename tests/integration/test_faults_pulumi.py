"""Faults around `pulumi up`: what it can't have is known before anything, and what interrupts it is survived."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from docker.errors import NotFound

from switchback.errors import EngineError
from switchback.leftovers import remove_leftover_container, remove_leftover_network
from tests.integration.breaking import (
    SLOW_ANSWERS,
    copy_of,
    crash_proxy,
    kill_family,
    links,
    load,
    resources,
    stopped_in_mid_switch,
    until,
    until_runs,
    until_serves,
)
from tests.integration.sharing import shared_world
from tests.integration.world import World, web

pytestmark = pytest.mark.integration

SLOW_GATE = {"START_DELAY": "20"}  # of a release whose gate is interrupted


def declare(world: World) -> None:
    """Blue serves 1, and green is there for releases."""
    world.config["services"]["web"]["health"]["timeout"] = 30


shared = shared_world(declare)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world; what a test changes is taken back, but for its release in green."""
    before = copy.deepcopy(shared.config)
    yield shared
    if shared.config != before:
        shared.config = before | {"slots": shared.config["slots"]}
        unlock(shared)
        shared.must_up()
    assert shared.serving() == "1"


def release(world: World, env: dict[str, str] | None = None) -> None:
    """Declares a new release, in green."""
    revision = world.config["slots"].get("green", {}).get("revision", 1) + 1
    world.config["slots"]["green"] = {"imageTag": "2", "revision": revision, "env": env or {}}
    world.config["activeSlot"] = "green"


def green(world: World) -> str:
    """The name of its container."""
    return f"{world.name}-web-green-2-r{world.config['slots']['green']['revision']}"


def unlock(world: World) -> None:
    """What Pulumi says to type after an update that was killed."""
    world.pulumi("cancel", "--yes", check=False)


def mend(world: World) -> None:
    """What people do after an interrupted update: no slow start any more, the lock taken away, and again."""
    release(world)
    unlock(world)
    world.must_up()
    assert world.serving() == "2"
    names = [name for name in world.containers() if "-web-" in name]
    assert sorted(names) == [f"{world.name}-web-blue-1", green(world)]


def test_fault_05_an_image_that_is_missing_while_the_registry_is_down_is_known_before_anything(world: World) -> None:
    before, state = world.containers(), resources(world)
    world.config["services"]["web"]["image"] = "localhost:1/acme/web"  # where nothing listens
    release(world)
    with load(world) as watched:
        failed = world.up()
    assert not failed.ok
    assert "image localhost:1/acme/web:2 is neither on the Docker host nor in its registry" in failed.text
    assert "slots/green/imageTag of services/web/image" in failed.text
    assert "connection refused" in failed.text
    assert "nothing was changed, what served still serves" in failed.text
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert (world.containers(), resources(world)) == (before, state)
    # A standby that can't be had is no reason to refuse what serves, whose image is not asked for again.
    world.config["activeSlot"] = "blue"
    warned = world.must_up()
    assert "the standby slot goes without it" in warned.text
    assert set(warned.summary) == {"same"}


def test_fault_06_a_tag_that_moved_is_said_and_restarts_nothing(world: World) -> None:
    images, name = world.docker.images, f"switchback-test/{world.name}"
    one, two = images.get("switchback/demo:1"), images.get("switchback/demo:2")
    try:
        assert one.tag(name, "2")
        world.config["services"]["web"] = web(image=name, health={"expectVersion": False})
        release(world)
        assert "moved" not in world.must_up().text
        before, tagged = world.containers(), green(world).removeprefix(f"{world.name}-web-green-")
        assert two.tag(name, "2")
        previewed, done = world.preview(), world.must_up()
        for said in (previewed, done):
            assert f"tag {name}:2 moved: web {tagged} (green) was made from image {one.short_id[7:]}" in said.text
            assert f"the tag now names {two.short_id[7:]}" in said.text
            assert "raise slots.green.revision" in said.text
            assert set(said.summary) == {"same"}
        assert world.containers() == before
        assert world.serving() == "1"
        # What it says to do.
        world.config["slots"]["green"]["revision"] += 1
        assert "moved" not in world.must_up().text
        assert world.serving() == "2"
    finally:
        world.config["activeSlot"] = "blue"
        images.remove(f"{name}:2")


def test_fault_14_kill_9_during_the_gate_leaves_the_old_release_serving(world: World) -> None:
    release(world, SLOW_GATE)
    with load(world) as watched:
        update = world.popen("up", "--yes")
        until_runs(update, "gate")
        kill_family(update)
        assert world.serving() == "1"
        locked = world.up()
        assert not locked.ok
        assert "pulumi cancel" in locked.text
        mend(world)
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert set(watched.tally.served) == {"1", "2"}


def test_fault_14_kill_9_while_a_container_is_made_does_not_block_its_name(world: World) -> None:
    release(world)
    name = green(world)
    update = world.popen("up", "--yes")
    until("Docker has it", lambda: bool(world.docker.api.containers(all=True, filters={"name": name})), every=0.002)
    kill_family(update)
    orphan = world.docker.containers.get(name).id
    assert orphan not in {held.get("id") for held in resources(world)}
    unlock(world)
    world.must_up()
    assert world.serving() == "2"
    assert world.docker.containers.get(name).id != orphan
    assert world.docker.containers.get(name).id in {held.get("id") for held in resources(world)}


def test_fault_14_a_container_that_serves_is_never_taken_for_a_leftover(world: World) -> None:
    release(world)
    world.must_up()
    before = world.containers()
    # The state is lost, and an old backup put in its place: it knows of no green.
    backup = world.home / "backup.json"
    backup.write_text(world.pulumi("stack", "export").text)
    [container] = [held["urn"] for held in resources(world) if held.get("id") == before[green(world)]]
    world.pulumi("state", "delete", container, "--yes", "--target-dependents", "--force")
    failed = world.up()
    assert not failed.ok
    assert f"{green(world)} takes traffic, but the state of this stack does not know it" in failed.text
    assert world.containers() == before
    assert world.serving() == "2"
    world.pulumi("stack", "import", "--file", str(backup))
    assert set(world.must_up().summary) == {"same"}


def test_fault_14_leftovers_are_told_from_what_is_somebody_elses(world: World) -> None:
    other, name = f"{world.name}x", f"{world.name}-left"
    mine = {"switchback.environment": other}
    network = world.docker.networks.create(name, labels=mine)
    held = world.docker.containers.create(
        "switchback/demo:1", ["sleep", "60"], name=name, network=name, labels={"switchback.environment": "foreign"}
    )
    try:
        with pytest.raises(EngineError, match="not of this environment, and is left alone"):
            remove_leftover_container(other, name)
        held.start()
        remove_leftover_network(other, name)
        assert world.docker.networks.list(names=[name])  # in use
        held.remove(force=True)
        remove_leftover_container(other, name)  # nothing there is fine
        remove_leftover_network("another", name)
        assert world.docker.networks.list(names=[name])  # not its own
        remove_leftover_network(other, name)
        assert not world.docker.networks.list(names=[name])
    finally:
        with contextlib.suppress(NotFound):
            held.remove(force=True)
        with contextlib.suppress(NotFound):
            network.remove()


@pytest.mark.parametrize("what", ["pulumi alone", "the whole machine"])
def test_fault_15_kill_9_after_the_rename_is_finished_by_the_next_run(world: World, what: str) -> None:
    release(world, SLOW_ANSWERS)
    with stopped_in_mid_switch(world) as stopped:
        kill_family(stopped.process)
        if what == "pulumi alone":
            stopped.resume()
            until("the switch ends", lambda: links(world)["pointer/verified"] == links(world)["pointer/current"])
            until_serves(world, "2")
        else:
            stopped.kill_switch()
            # One link decides for all requests, so there are never two live slots, verified or not.
            assert {world.serving() for _ in range(10)} == {"2"}
            crash_proxy(world)
            until_serves(world, "1")
    unlock(world)
    world.must_up()
    until_serves(world, "2")
    assert links(world)["pointer/verified"] == links(world)["pointer/current"]
    assert set(world.preview().summary) == {"same"}


@pytest.mark.parametrize("times", [1, 2])
def test_fault_16_ctrl_c_during_the_gate_leaves_the_old_release_serving(world: World, times: int) -> None:
    release(world, SLOW_GATE)
    update = world.popen("up", "--yes")
    gate = until_runs(update, "gate")
    os.killpg(update.pid, signal.SIGINT)
    if times == 2:
        assert update.stdout
        while "^C received; cancelling" not in update.stdout.readline():
            assert update.poll() is None
        os.killpg(update.pid, signal.SIGINT)
    try:
        said, _ = update.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it did not end: {kill_family(update)}") from None
    assert update.returncode != 0, said
    until("the gate has ended", lambda: not gate.is_running())
    assert world.serving() == "1"
    mend(world)


def test_fault_18_the_second_of_two_updates_at_once_is_refused(world: World) -> None:
    release(world, {"START_DELAY": "6"})
    first = world.popen("up", "--yes")
    until_runs(first, "gate")
    before = world.containers()
    second = world.pulumi("up", "--yes", "--skip-preview", check=False)
    assert not second.ok
    assert "the stack is currently locked by 1 lock(s)" in second.text
    assert f"(pid {first.pid})" in second.text
    assert world.containers() == before
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert world.serving() == "2"


def test_fault_23_a_docker_that_is_down_is_known_before_anything(world: World) -> None:
    before, state = world.containers(), resources(world)
    release(world)
    world.write_config()
    down = {"DOCKER_HOST": f"unix://{world.home}/nobody.sock"}
    for words in (("preview",), ("up", "--yes")):
        failed = world.pulumi(*words, check=False, env=down)
        assert not failed.ok
        assert f"Docker does not answer at {down['DOCKER_HOST']}" in failed.text
        assert "Nothing was changed; what serves still serves. Start Docker, or set DOCKER_HOST" in failed.text
        assert "Traceback" not in failed.text
    assert (world.containers(), resources(world)) == (before, state)
    world.must_up()
    assert world.serving() == "2"


def test_fault_44_a_wrong_passphrase_changes_nothing(world: World) -> None:
    world.write_config()
    world.pulumi("config", "set", "--secret", "--path", "switchback:services.web.secretEnv.TOKEN", "a secret")
    before, files = world.containers(), copy_of(world.backend)
    for words in (("preview",), ("up", "--yes")):
        failed = world.pulumi(*words, check=False, env={"PULUMI_CONFIG_PASSPHRASE": "another one"})
        assert not failed.ok
        assert "incorrect passphrase" in failed.text
    assert (world.containers(), copy_of(world.backend)) == (before, files)
    assert world.serving() == "1"
    world.pulumi("config", "rm", "--path", "switchback:services.web.secretEnv")


def test_E3_containers_removed_by_hand_are_made_again(world: World) -> None:
    before = world.containers()
    serving, proxy, toolbox = (f"{world.name}-{part}" for part in ("web-blue-1", "proxy", "toolbox"))
    for name in (serving, proxy, toolbox):
        world.docker.containers.get(name).remove(force=True)
    assert world.preview().summary["replace"] >= 3
    world.must_up()
    until_serves(world, "1")
    after = world.containers()
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} == {serving, proxy, toolbox}
    assert set(world.must_up().summary) == {"same"}
    assert world.part("proxy").attrs["HostConfig"]["PidsLimit"] > 0

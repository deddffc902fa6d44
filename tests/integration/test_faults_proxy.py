"""Faults of the proxy, of its configuration and of its pointer, caused for real."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from switchback.proxies import DRIVERS, caddy
from switchback.specs import Configure, Place, encode
from tests.integration.breaking import (
    SLOW_ANSWERS,
    config_file,
    crash_proxy,
    in_toolbox,
    links,
    load,
    procedure,
    stopped_in_mid_switch,
    until_serves,
)
from tests.integration.sharing import BOTH, shared_world
from tests.integration.world import World

pytestmark = pytest.mark.integration


def declare(world: World) -> None:
    """Blue serves 1, green stands by with 2."""
    world.config["slots"]["green"] = {"imageTag": "2", "env": SLOW_ANSWERS}


shared = shared_world(declare, proxies=BOTH)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world, whole at the start of each test: what a test changed, or left broken, is taken back."""
    before = copy.deepcopy(shared.config)
    yield shared
    shared.config = before
    shared.must_up()
    assert shared.serving() == "1"


def configure(world: World, text: str) -> str:
    """The specification that makes a text the proxy's configuration."""
    place = Place(
        environment=world.name,
        toolbox=f"{world.name}-toolbox",
        proxy=f"{world.name}-proxy",
        proxy_kind=world.kind,
    )
    return encode(Configure(place=place, filename=DRIVERS[world.kind].FILENAME, text=text, digest="0123456789ab"))


def test_fault_08_a_configuration_that_the_proxy_refuses_is_never_applied(world: World) -> None:
    before = links(world)
    text = {"caddy": '{"apps": {"http": {"servers": "none"}}}', "nginx": "events {}\nhttp { proxy_pas x; }\n"}
    with load(world) as watched:
        tried = procedure("configure", configure(world, text[world.kind]))
    assert tried.returncode == 1
    assert f"{world.kind} refuses the new configuration:" in tried.stderr
    assert {"caddy": "cannot unmarshal", "nginx": "proxy_pas"}[world.kind] in tried.stderr  # its own words
    assert "Still serving: web 1 (blue)." in tried.stderr
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert links(world) == before
    assert set(world.preview().summary) == {"same"}


def test_fault_08_a_configuration_that_is_valid_but_cannot_run_is_taken_back(world: World) -> None:
    before = links(world)
    # An address that is nobody's: known only when the proxy tries to listen there.
    running = in_toolbox(world, "cat", config_file(world))
    listening = {"caddy": ('":8080"', '":8080", "192.0.2.1:8080"'), "nginx": ("listen 8080", "listen 192.0.2.1:8080")}
    with load(world) as watched:
        tried = procedure("configure", configure(world, running.replace(*listening[world.kind])))
    assert tried.returncode == 1
    assert "192.0.2.1:8080" in tried.stderr
    assert "Still serving: web 1 (blue)." in tried.stderr
    assert watched.tally.total_failed == 0, watched.tally.reasons
    assert links(world) == before
    assert set(world.preview().summary) == {"same"}


def test_fault_09_a_dead_admin_endpoint_leaves_configuration_and_traffic_as_they_are(world: World) -> None:
    # nginx's is a signal to the process that this file names.
    admin = {"caddy": caddy.SOCKET, "nginx": "/tmp/nginx.pid"}[world.kind]
    before, proxy = links(world), world.part("proxy")
    assert proxy.exec_run(["rm", admin])[0] == 0
    world.config["services"]["web"]["routes"] = [{"path": "/"}, {"path": "/more"}]
    with load(world) as watched:
        failed = world.up()
    assert not failed.ok
    assert f"{world.kind} does not run the new configuration; the former one stays:" in failed.text
    assert admin in failed.text
    assert "Still serving: web 1 (blue)." in failed.text
    assert f"docker restart {world.name}-proxy" in failed.text
    assert watched.tally.total_failed == 0, watched.tally.reasons
    after = links(world)
    assert after == before
    # A switch needs no admin endpoint: a rollback would work all the same.
    world.config["services"]["web"]["routes"] = [{"path": "/"}]
    world.config["activeSlot"] = "green"
    world.must_up()
    assert world.serving() == "2"
    # What the message says to type.
    proxy.restart()
    world.config["services"]["web"]["routes"] = [{"path": "/"}, {"path": "/more"}]
    world.must_up()
    assert links(world)["config/verified"] != before["config/verified"]


def test_fault_10_a_proxy_that_crashes_comes_back_on_what_was_last_verified(world: World) -> None:
    before = links(world)
    green = world.container("web", "green", "2").name
    pointer = {"caddy": {"web": f"{green}:8080"}, "nginx": {f"web@{green}": f"{green}:8080"}}[world.kind]
    # A switch that got no further than its rename.
    in_toolbox(
        world,
        *("python3", "-c"),
        "from pathlib import Path; from switchback.pointer import relink, write_generation;"
        f" folder = Path('/run/switchback/pointer'); write_generation(folder, 'half', {pointer!r});"
        " relink(folder, 'current', 'half')",
    )
    assert world.serving() == "2"  # the pointer is read for every request
    crash_proxy(world)
    until_serves(world, "1")
    assert links(world) == before


def test_fault_10_a_proxy_killed_in_mid_switch_is_started_by_the_next_up(world: World) -> None:
    before = links(world)
    world.config["activeSlot"] = "green"
    with stopped_in_mid_switch(world) as stopped:
        world.part("proxy").kill()
        stopped.resume()
        said = stopped.ended()
    assert "Switch failed: the traffic did not arrive where it should, so it was switched back." in said
    assert "the proxy" in said
    assert "is exited" in said
    assert links(world)["pointer/current"] == before["pointer/current"]
    # What would serve when anybody starts it is what was last verified.
    world.part("proxy").start()
    until_serves(world, "1")
    world.part("proxy").kill()
    assert "the proxy is exited" in world.pulumi("preview", "--diff").text
    world.must_up()
    assert world.serving() == "2"


def test_fault_10_a_switch_that_is_killed_is_finished_by_the_next_up(world: World) -> None:
    world.config["activeSlot"] = "green"
    with stopped_in_mid_switch(world) as stopped:
        stopped.kill_switch()
        assert "Switch failed" in stopped.ended()
    assert world.serving() == "2"  # one rename, and all of the traffic: never two live slots
    assert "the last switch was never verified" in world.pulumi("preview", "--diff").text
    world.must_up()
    now = links(world)
    assert now["pointer/current"] == now["pointer/verified"]
    assert world.serving() == "2"


def test_fault_11_empty_pointer_and_configuration_files_are_noticed_and_rewritten(world: World) -> None:
    emptied = f"for f in /run/switchback/pointer/current/* {config_file(world)}; do : >$f; done"
    in_toolbox(world, "sh", "-c", emptied)
    noticed = world.pulumi("preview", "--diff").text
    # nginx goes by the names of the files, and still knows where to.
    said = {"caddy": "web is on nothing, declared on", "nginx": "the pointer was edited by hand"}
    assert said[world.kind] in noticed
    assert "is declared, none runs" in noticed
    # A proxy that starts now waits for a configuration instead of ending over and over.
    crash_proxy(world)
    restarts = world.part("proxy").attrs["RestartCount"]
    world.must_up()
    assert world.serving() == "1"
    assert world.part("proxy").attrs["RestartCount"] == restarts
    assert set(world.preview().summary) == {"same"}


def test_fault_11_missing_pointer_and_configuration_files_are_rewritten(world: World) -> None:
    in_toolbox(world, "sh", "-c", f"rm /run/switchback/pointer/current/* {config_file(world)}")
    assert world.get()[0] in (502, 503)
    world.must_up()
    assert world.serving() == "1"
    in_toolbox(world, "sh", "-c", "cd /run/switchback; rm pointer/current pointer/verified config/current")
    assert world.get()[0] in (502, 503)
    world.must_up()
    assert world.serving() == "1"
    assert set(world.preview().summary) == {"same"}

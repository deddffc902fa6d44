"""Reality against the declaration: what was changed by hand is a diff in the preview, and the update repairs it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
from docker.models.containers import Container

from switchback.docker_host import Engine
from switchback.observe import observe
from switchback.proxies import DRIVERS, caddy
from tests.integration.breaking import config_file, in_toolbox, links, load, until, until_serves
from tests.integration.sharing import BOTH, shared_world
from tests.integration.world import World

pytestmark = pytest.mark.integration


def declare(world: World) -> None:
    """Blue serves 1, green stands by with 2, and a database is there."""
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}


shared = shared_world(declare, proxies=BOTH)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world, whole at the start of each test, and in order again at its end."""
    before = copy.deepcopy(shared.config)
    yield shared
    whole = shared.config == before and set(shared.preview().summary) == {"same"}
    if not whole:
        shared.config = before
        shared.must_up()


def repaired(world: World, *said: str, served_meanwhile: bool = True, reloaded: bool = False) -> str:
    """Previews, which says what is wrong and changes nothing; repairs it, under load if anything can be served.

    Args:
        world: The world.
        said: What the preview has to say.
        served_meanwhile: Whether there is anything that can answer until it is repaired.
        reloaded: Whether the proxy has to load another configuration. Caddy then closes connections on which it has
            read nothing yet, idle or just accepted, so a client that repeats nothing may lose one request on each.

    Returns:
        What the update printed.
    """
    before = world.containers()
    previewed = world.pulumi("preview", "--diff").text
    for part in said:
        assert part in previewed
    assert world.containers() == before
    if not served_meanwhile:
        done = world.must_up()
    else:
        with load(world) as watched:
            done = world.must_up()
        assert watched.tally.total > 0
        # There is one client of each kind, so at most one connection of each is in that state.
        allowed = 1 if reloaded and world.kind == "caddy" else 0
        lost = {what: failed for what, failed in watched.tally.failed.items() if failed > allowed}
        assert lost == {}, watched.tally.reasons
    until_serves(world, "1")
    assert set(world.preview().summary) == {"same"}
    return done.text


def break_it(container: Container, how: str) -> None:
    """Stops, pauses or removes a container."""
    match how:
        case "stop":
            container.stop(timeout=2)
        case "pause":
            container.pause()
        case _:
            container.remove(force=True)


def replace(
    world: World, old: Container, *, labelled: bool, image: str = "switchback/demo:3", **more: Any
) -> Container:
    """Puts another container in the place of one, as somebody would who does not want to wait for a deployment."""
    name, labels = str(old.name), dict(old.labels)
    old.remove(force=True)
    run = world.docker.containers.run
    network = f"switchback-{world.name}"
    return run(image, name=name, labels=labels if labelled else {}, network=network, detach=True, **more)


@contextlib.contextmanager
def set_aside(stranger: Container) -> Iterator[None]:
    """What took a name must still be there afterwards, stopped and under another name; then it is removed."""
    name = str(stranger.name)
    try:
        yield
        stranger.reload()
        assert str(stranger.name).startswith(f"{name}-replaced-")
        assert stranger.status == "exited"
        assert stranger.attrs["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    finally:
        stranger.remove(force=True)


# The proxy.


def test_E3_a_configuration_file_edited_by_hand_is_put_back(world: World) -> None:
    before = in_toolbox(world, "cat", config_file(world))
    in_toolbox(world, "sh", "-c", f"sed -i 's/8080/8081/' {config_file(world)}")
    assert in_toolbox(world, "cat", config_file(world)) != before
    repaired(world, "was edited by hand")
    assert in_toolbox(world, "cat", config_file(world)) == before


def test_E3_a_configuration_edited_and_reloaded_is_put_back(world: World) -> None:
    digest = links(world)["config/current"]
    # As an editor leaves it: another file of the same name. The route that it adds is answered by nobody else.
    added = {
        "caddy": 's/"routes": \\[/"routes": [{"match": [{"path": ["\\/by-hand"]}], "handle": [{"handler": '
        '"static_response", "status_code": 418}], "terminal": true},/',
        "nginx": "s/^        listen 8080 default_server;/&\\n        location = \\/by-hand { return 418; }/",
    }[world.kind]
    script = 'f="$0"; sed -e "$1" $f >/tmp/edited && cat /tmp/edited >$f'
    in_toolbox(world, "sh", "-c", script, config_file(world), added)
    assert world.part("proxy").exec_run(list(DRIVERS[world.kind].APPLY))[0] == 0
    until("the edited configuration runs", lambda: world.get("/by-hand")[0] == 418)
    done = repaired(world, f"the file of configuration {digest} was edited by hand", reloaded=True)
    assert "runs configuration" in done
    until("the declared configuration runs", lambda: world.get("/by-hand")[0] != 418)


def test_E3_another_configuration_in_the_running_proxy_is_seen_though_the_files_are_right(world: World) -> None:
    digest, driver = links(world)["config/current"], DRIVERS[world.kind]
    proxy = world.part("proxy")
    # nginx can be given no other file than its own: it is edited, loaded, and put back.
    other = {
        "caddy": f'sed -e \'s/"body": "{digest}"/"body": "by hand"/\' $0 >/tmp/o.json;'
        f" exec caddy reload --config /tmp/o.json --address {getattr(driver, 'ADMIN', '')}",
        "nginx": f"cp $0 /tmp/kept && sed -e 's/{digest}/by hand/' /tmp/kept >$0"
        " && nginx -s reload -c $0; sleep 1; cat /tmp/kept >$0",
    }[world.kind]
    code, said = proxy.exec_run(["sh", "-c", other, config_file(world)])
    assert code == 0, said
    running = observe(Engine(), world.name).links.running
    assert running == "by hand"
    done = repaired(world, f"configuration {digest} is declared, the proxy runs by hand", reloaded=True)
    assert "runs configuration" in done


_TO_ADMIN = """
import http.client, socket, sys
class Admin(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
admin = Admin("localhost")
admin.request("PUT", sys.argv[2], sys.argv[3], {"Content-Type": "application/json"})
print(admin.getresponse().status)
"""


@pytest.mark.one_proxy
def test_E3_a_change_through_caddys_admin_endpoint_is_seen_though_the_digest_is_right(world: World) -> None:
    digest = links(world)["config/current"]
    route = '{"match": [{"path": ["/by-hand"]}], "handle": [{"handler": "static_response", "status_code": 418}]}'
    where = "/config/apps/http/servers/public/routes/0"
    assert in_toolbox(world, "python3", "-c", _TO_ADMIN, caddy.SOCKET, where, route).strip() == "200"
    until("the changed configuration runs", lambda: world.get("/by-hand")[0] == 418)
    repaired(world, f"configuration {digest} is declared, the proxy runs {digest}, changed by hand", reloaded=True)
    until("the declared configuration runs", lambda: world.get("/by-hand")[0] != 418)


# The pointer.


def test_E3_a_slot_switched_by_hand_is_switched_back(world: World) -> None:
    green = f"{world.name}-web-green-2"
    pointer = {"caddy": {"web": f"{green}:8080"}, "nginx": {f"web@{green}": f"{green}:8080"}}[world.kind]
    in_toolbox(
        world,
        *("python3", "-c"),
        "from pathlib import Path; from switchback.pointer import relink, write_generation;"
        f" folder = Path('/run/switchback/pointer'); write_generation(folder, 'by-hand', {pointer!r});"
        " relink(folder, 'current', 'by-hand')",
    )
    assert world.serving() == "2"
    repaired(world, f"web is on {green}, declared on {world.name}-web-blue-1")


def test_E3_a_pointer_edited_in_place_is_put_back(world: World) -> None:
    live_name, green = f"{world.name}-web-blue-1", f"{world.name}-web-green-2"
    script = {
        "caddy": f"echo {green}:8080 >/run/switchback/pointer/current/web",
        "nginx": f"cd /run/switchback/pointer/current && mv web@{live_name} web@{green}",
    }[world.kind]
    in_toolbox(world, "sh", "-c", script)
    until("the edit has its effect", lambda: world.serving() == "2")
    repaired(world, f"web is on {green}, declared on {live_name}")


def test_E3_a_verified_link_led_elsewhere_is_put_right(world: World) -> None:
    in_toolbox(world, "sh", "-c", "cd /run/switchback/pointer; mkdir -p old; ln -sfn old verified")
    repaired(world, "the last switch was never verified")
    assert links(world)["pointer/verified"] == links(world)["pointer/current"]


# Containers.


STATE = {"stop": "is exited", "pause": "is paused", "remove": "does not exist"}


@pytest.mark.parametrize("how", ["stop", "pause", "remove"])
def test_E3_a_live_release_and_a_proxy_that_are_gone_come_back(world: World, how: str) -> None:
    release, proxy = world.container("web", "blue", "1"), world.part("proxy")
    for container in (release, proxy):
        break_it(container, how)
    # They are the only ones that could answer: the standby is another release, which nobody asked for.
    repaired(world, f"{release.name} {STATE[how]}", f"the proxy {STATE[how]}", served_meanwhile=False)
    same = (world.container("web", "blue", "1").id, world.part("proxy").id) == (release.id, proxy.id)
    assert same == (how != "remove")


@pytest.mark.parametrize("how", ["stop", "pause", "remove"])
@pytest.mark.one_proxy
def test_E3_a_standby_a_toolbox_and_a_database_that_are_gone_come_back_unnoticed(world: World, how: str) -> None:
    standby, toolbox, database = world.container("web", "green", "2"), world.part("toolbox"), world.part("database")
    for container in (standby, toolbox, database):
        break_it(container, how)
    wrong = "web 2 (green) is new in the standby slot" if how == "remove" else f"{standby.name} {STATE[how]}"
    repaired(world, wrong, f"{toolbox.name} {STATE[how]}", f"{database.name} {STATE[how]}")
    now = (world.container("web", "green", "2"), world.part("toolbox"), world.part("database"))
    assert [container.status for container in now] == ["running"] * 3
    assert ([c.id for c in now] == [standby.id, toolbox.id, database.id]) == (how != "remove")


@pytest.mark.one_proxy
def test_E3_what_was_restarted_is_verified_again(world: World) -> None:
    restarted = [world.container("web", "blue", "1"), world.part("proxy"), world.part("database")]
    for container in restarted:
        container.restart(timeout=5)
    until_serves(world, "1")
    done = repaired(world, *(f"{container.name} was restarted at" for container in restarted))
    assert "web 1 (blue): fit after" in done
    assert "switched and verified" in done


@pytest.mark.parametrize("labelled", [True, False])
def test_E3_a_live_release_replaced_by_another_image_is_set_aside_and_made_again(world: World, labelled: bool) -> None:
    stranger = replace(world, world.container("web", "blue", "1"), labelled=labelled, image="switchback/demo:2")
    until_serves(world, "2")
    with set_aside(stranger):
        wrong = "it runs image" if labelled else "it was not made by Switchback"
        done = repaired(world, f"{stranger.name} was replaced by hand: {wrong}", served_meanwhile=False)
        # It was the only server of its name; the release that was asked for under that name had to be made first.
        assert "until it runs, no request to web can be answered" in done


@pytest.mark.parametrize("labelled", [True, False])
def test_E3_a_replaced_proxy_is_set_aside_and_made_again(world: World, labelled: bool) -> None:
    address = {"8080/tcp": ("127.0.0.1", world.port)}
    stranger = replace(world, world.part("proxy"), labelled=labelled, image="switchback/demo:2", ports=address)
    until_serves(world, "2")
    with set_aside(stranger):
        done = repaired(world, f"{stranger.name} was replaced by hand", served_meanwhile=False)
        # It was the only way in.
        assert "until it runs, no request can be answered" in done


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.one_proxy
def test_E3_what_replaced_standby_toolbox_and_database_is_set_aside_unnoticed(world: World, labelled: bool) -> None:
    with contextlib.ExitStack() as kept:
        strangers = [
            replace(world, old, labelled=labelled, image="switchback/demo:3", command=["sleep", "600"], init=True)
            for old in (world.container("web", "green", "2"), world.part("toolbox"), world.part("database"))
        ]
        for stranger in strangers:
            kept.enter_context(set_aside(stranger))
        repaired(world, *(f"{stranger.name} was replaced by hand" for stranger in strangers))
        assert world.container("web", "green", "2").status == "running"


@pytest.mark.one_proxy
def test_E3_a_container_that_only_has_the_name_is_left_alone(world: World) -> None:
    world.config["slots"]["green"] = {"imageTag": "2", "revision": 7}
    name = f"{world.name}-web-green-2-r7"
    other = world.docker.containers.run("switchback/demo:1", ["sleep", "600"], name=name, detach=True)
    try:
        with load(world) as watched:
            failed = world.up()
        assert not failed.ok
        assert f"The name {name} is taken by a container that is not of this environment" in failed.text
        assert watched.tally.total_failed == 0, watched.tally.reasons
        other.reload()
        assert (other.name, other.status) == (name, "running")
    finally:
        other.remove(force=True)


@pytest.mark.one_proxy
def test_E3_without_a_toolbox_the_files_are_read_all_the_same(world: World) -> None:
    engine = Engine()
    whole = observe(engine, world.name)
    world.part("toolbox").stop(timeout=1)
    without = observe(engine, world.name)
    assert whole.links.running == whole.links.config_verified
    assert without.links.running is None  # it can't be asked
    assert without.links.current == whole.links.current
    assert without.links.config_contents == whole.links.config_contents

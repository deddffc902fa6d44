"""What is long lives through a switch: WebSockets, events, slow uploads and downloads, slow requests, sessions."""

from __future__ import annotations

import copy
import http.client
import http.cookiejar
import json
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence

import pytest

from tests.integration.breaking import until
from tests.integration.connections import Connections, Events, Socket
from tests.integration.sharing import BOTH, shared_world
from tests.integration.world import Outcome, World

pytestmark = pytest.mark.integration

DRAIN = 15  # seconds; long enough for what a test does within it, short enough to wait for
STOPPED = "1001 this release is being stopped"  # what the service itself says to its WebSockets, on SIGTERM


def declare(world: World) -> None:
    """Blue serves 1, green stands by with 2, and a database is there."""
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}
    world.config["proxy"]["drain"] = DRAIN


shared = shared_world(declare, proxies=BOTH)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world; what a test changes is taken back."""
    before = copy.deepcopy(shared.config)
    yield shared
    shared.config = before
    shared.must_up()
    assert shared.serving() == "1"


class Watching:
    """Asks which release serves, again and again, on fresh connections: when did the traffic move?"""

    def __init__(self, world: World) -> None:
        self._world, self._ending = world, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.last_asked: dict[str, float] = {}  # version -> when it was last asked something that it answered
        self.lost: list[str] = []

    def _run(self) -> None:
        while not self._ending.is_set():
            asked = time.monotonic()
            try:
                self.last_asked[self._world.serving()] = asked
            except OSError as failed:
                self.lost.append(f"{type(failed).__name__}: {failed}")
            self._ending.wait(0.01)

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


class Begun:
    """A `pulumi up` that goes on beside the test."""

    def __init__(self, world: World) -> None:
        self._outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=lambda: self._outcomes.append(world.up()))
        self._thread.start()

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    def ended(self) -> str:
        """Waits for its end, which is a success, and returns what it printed."""
        self._thread.join(240)
        assert self._outcomes, "it does not end"
        assert self._outcomes[0].ok, self._outcomes[0].text
        return self._outcomes[0].text


def still(*kinds: Sequence[Socket | Events]) -> set[str]:
    """The versions that answer on these connections now; none of them may have ended."""
    for one in (found := [one for kind in kinds for one in kind]):
        one.answers()
        assert not one.others
    return {one.version for one in found}


def test_C2_fault_13_what_is_open_stays_with_the_old_slot_and_what_is_new_goes_to_the_new_one(world: World) -> None:
    with Connections(world.url) as held, Watching(world) as watched:
        sockets, streams = held.websockets(20), held.events(3)
        upload, download = held.upload(), held.download()
        world.config["activeSlot"] = "green"
        world.must_up()
        assert still(sockets, streams) == {"1"}
        new: list[Socket | Events] = [*held.websockets(3), *held.events(1)]
        assert {one.version for one in new} | {world.serving()} == {"2"}
        assert (upload.finish(), upload.version) == ("whole", "1")
        assert (download.finish(), download.version) == ("whole", "1")
        # The old slot stays warm, so nobody has to end what is open there: the drain time cuts nothing off.
        over = watched.last_asked["1"] + DRAIN + 1
        until("the drain time is over", lambda: time.monotonic() > over)
        assert still(sockets, streams) == {"1"}
        world.config["activeSlot"] = "blue"
        world.must_up()
        assert still(sockets, streams) == {"1"}
        assert still(new) == {"2"}
    assert watched.lost == []


def test_fault_12_slow_requests_across_a_switch_are_answered(world: World) -> None:
    answers: list[tuple[float, float, int, str]] = []  # when sent, when answered, status, version
    ending = threading.Event()

    def ask(method: str) -> None:
        while not ending.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
            sent = time.monotonic()
            path, body = ("/slow?seconds=2", None) if method == "GET" else ("/echo", b"x" * 512)
            connection.request(method, path, body)
            answer = connection.getresponse()
            said = json.loads(answer.read())
            answers.append((sent, time.monotonic(), answer.status, said["version"]))
            connection.close()

    clients = [threading.Thread(target=ask, args=(method,)) for method in ["GET"] * 8 + ["POST"]]
    for number, client in enumerate(clients):
        client.start()
        if number < 8:
            time.sleep(0.25)  # so that at any moment some have just begun and some are about to end
    try:
        world.config["activeSlot"] = "green"
        world.must_up()
        until("the new release answers", lambda: any(version == "2" for *_, version in answers[-9:]))
    finally:
        ending.set()
        for client in clients:
            client.join(60)
    assert {status for _, _, status, _ in answers} == {200}
    first_new = min(sent for sent, _, _, version in answers if version == "2")
    across = [1 for sent, answered, _, version in answers if version == "1" and sent < first_new < answered]
    assert across, "no request was in flight when the traffic moved"
    assert {version for *_, version in answers} == {"1", "2"}


@pytest.mark.parametrize("what", ["upload", "download"])
def test_C2_an_in_place_release_waits_for_what_is_in_flight(world: World, what: str) -> None:
    with Connections(world.url) as held, Watching(world) as watched:
        sockets = held.websockets(5)
        flying = held.upload() if what == "upload" else held.download()
        world.config["slots"]["blue"] = {"imageTag": "2"}
        update = Begun(world)
        until("the new release serves", lambda: "2" in watched.last_asked)
        assert still(sockets) == {"1"}
        assert held.websockets(1)[0].version == "2"
        for one in sockets:
            one.leave()
        # Nothing but this one is left now, and that is enough to keep its release.
        settled = time.monotonic() + DRAIN * 2 / 3
        until("the drain has looked again and again", lambda: time.monotonic() > settled)
        assert world.container("web", "blue", "1").status == "running"
        assert (flying.finish(), flying.version) == ("whole", "1")
        said = update.ended()
        assert "-web-blue-1: drained after" in said
        assert "connections left" not in said
    assert watched.lost == []
    assert f"{world.name}-web-blue-1" not in world.containers()


def test_C2_an_in_place_release_ends_connections_only_when_the_drain_time_is_over(world: World) -> None:
    with Connections(world.url) as held, Watching(world) as watched:
        sockets, streams = held.websockets(20), held.events(3)
        world.config["slots"]["blue"] = {"imageTag": "2"}
        said = world.must_up().text
        assert f"-web-blue-1: 23 connections left after the drain time of {DRAIN} s" in said
        # Said by the release itself when it was stopped, so no proxy had cut them off before.
        until("the release has let go", lambda: all(one.how for one in (*sockets, *streams)))
        assert {one.how for one in sockets} == {STOPPED}
        assert {one.how for one in streams} == {"whole"}
        moved = watched.last_asked["1"]
        assert min(one.ended_at for one in (*sockets, *streams)) > moved + DRAIN
        assert world.serving() == "2"
    assert watched.lost == []


def test_C2_a_deploy_that_changes_the_configuration_keeps_what_is_open_for_the_drain_time(world: World) -> None:
    with Connections(world.url) as held, Watching(world) as watched:
        sockets, streams = held.websockets(20), held.events(3)
        upload, download = held.upload(), held.download()
        world.config["services"]["web"]["routes"] = [{"path": "/"}, {"path": "/more"}]
        world.config["slots"]["green"] = {"imageTag": "2", "revision": 2}
        world.config["activeSlot"] = "green"
        update = Begun(world)
        until("the new release serves", lambda: "2" in watched.last_asked)
        assert still(sockets, streams) == {"1"}
        assert held.websockets(1)[0].version == "2"
        assert (upload.finish(), download.finish()) == ("whole", "whole")
        update.ended()
        # The proxy may end what is open when the drain time is over, and not before.
        over = watched.last_asked["1"] + DRAIN
        until("it is over", lambda: time.monotonic() > over or any(one.how for one in (*sockets, *streams)))
        early = {one.how for one in (*sockets, *streams) if one.how and one.ended_at < over}
        assert early == set()


def test_C2_a_standby_that_has_just_lost_the_traffic_is_drained_before_it_is_replaced(world: World) -> None:
    world.config["proxy"]["drain"] = 600  # so that it cannot be over, however slow the machine is
    world.must_up()
    with Connections(world.url) as held:
        sockets = held.websockets(10)
        world.config["activeSlot"] = "green"
        world.must_up()
        # Forward again, at once: the slot that has just lost the traffic gets the next release.
        world.config["slots"]["blue"] = {"imageTag": "1", "revision": 2}
        update = Begun(world)
        settled = time.monotonic() + 30
        until("the update had time to end", lambda: time.monotonic() > settled or not update.goes_on)
        assert {one.how or one.answers() for one in sockets} == {"1"}
        for one in sockets:
            one.leave()
        update.ended()
    assert f"{world.name}-web-blue-1" not in world.containers()


def test_C2_uploads_and_downloads_may_be_larger_than_the_memory_of_the_proxy(world: World) -> None:
    size = 300 << 20
    assert size > world.part("proxy").attrs["HostConfig"]["Memory"]
    with Connections(world.url) as held:
        sockets, download = held.websockets(2), held.download(size)
        assert held.upload(size).finish() == "whole"
        assert download.finish() == "whole"
        assert still(sockets) == {"1"}


def test_C2_sessions_in_the_database_and_in_cookies_survive_a_switch(world: World) -> None:
    jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def visit(path: str) -> dict[str, object]:
        with jar.open(world.url + path, timeout=10) as answer:
            said: dict[str, object] = json.loads(answer.read())
            return said

    assert visit("/session") == {"visits": 1, "began": "1", "version": "1"}
    assert visit("/visits") == {"visits": 1, "version": "1"}
    world.config["activeSlot"] = "green"
    world.must_up()
    assert visit("/session") == {"visits": 2, "began": "1", "version": "2"}
    assert visit("/visits") == {"visits": 2, "version": "2"}
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert visit("/session") == {"visits": 3, "began": "1", "version": "1"}
    assert visit("/visits") == {"visits": 3, "version": "1"}

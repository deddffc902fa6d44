"""Maintenance: users are turned away and let in again, and nobody else notices."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.load import KINDS, Load
from switchback.proxies.maintenance import DEFAULT_PAGE, FILE, FOLDER
from switchback.specs import Features, Maintenance
from tests.integration.behind import Answer, Behind
from tests.integration.breaking import crash_proxy, in_toolbox, load, until, until_serves
from tests.integration.connections import Connections
from tests.integration.world import World

pytestmark = pytest.mark.integration

# Everything in it that means something to one of the proxies, a shell or HTML, and longer than a word of nginx's.
PAGE = (
    '<!doctype html><style>p {color: red}</style><p title="$host ${uri} {http.request.host} {env.HOME} \\{x\\} \\n">\n'
    "\t'back' soon; \\\\ `id` $(id) # % äöü 🙂\r\n</p>" + "<!-- $9 {file./etc/passwd} -->\n" * 300
)
ON = f"/run/switchback/{FOLDER}/{FILE}"


class Doors:
    """A proxy that knows of maintenance, and a hand on its file."""

    def __init__(self, behind: Behind, home: Path) -> None:
        self.behind, self._file = behind, home / "state" / FOLDER / FILE

    def close(self) -> None:
        self._file.parent.mkdir(exist_ok=True)
        self._file.parent.chmod(0o755)
        self._file.touch()
        self._file.chmod(0o644)  # the tests may have a strict umask

    def open(self) -> None:
        self._file.unlink()

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.behind.port, timeout=10)
        try:
            connection.request(method, path, body=b"x" * 4096 if method == "POST" else None, headers=headers)
            answer = connection.getresponse()
            return Answer(status=answer.status, body=answer.read().decode(), headers=dict(answer.getheaders()))
        finally:
            connection.close()


@pytest.fixture(params=["caddy", "nginx"])
def doors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Doors]:
    """With the proxies' other features, as they have to live together."""
    features = Features(shares=True, maintenance=Maintenance(page=PAGE, retry_after=90, allow=("192.0.2.0/24",)))
    with Behind(tmp_path, str(request.param), features) as behind:
        yield Doors(behind, tmp_path)


def test_C4_strangers_get_503_the_page_and_when_to_come_back(doors: Doors) -> None:
    assert doors.ask().version == "1"
    doors.close()
    for method, path in (("GET", "/"), ("GET", "/notes?x=1"), ("POST", "/echo"), ("PUT", "/a/b"), ("DELETE", "/x")):
        answer = doors.ask(path, method)
        assert (answer.status, answer.body) == (503, PAGE), (method, path)
        assert answer.headers["Retry-After"] == "90"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
    head = doors.ask("/", "HEAD")
    assert (head.status, head.body, head.headers["Retry-After"]) == (503, "", "90")
    assert doors.behind.ask_inside().status == 200  # the switch goes on to see who answers
    doors.open()
    assert doors.ask().version == "1"


def test_C4_no_header_makes_an_allowed_address(doors: Doors) -> None:
    doors.close()
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"):
        claimed = "for=192.0.2.7" if name == "Forwarded" else "192.0.2.7"
        assert doors.ask(**{name: claimed}).status == 503, name
    # What there is inside is nobody's business outside.
    assert doors.ask("/.switchback/closed").status in (404, 503)
    assert doors.ask("/.switchback/maintenance").body != "on"
    doors.open()
    assert doors.ask("/.switchback/closed").body != PAGE
    assert doors.ask("/.switchback/maintenance").body != "off"


def test_C4_the_health_path_stays_reachable_and_nothing_else_by_way_of_it(doors: Doors) -> None:
    doors.close()
    assert doors.ask("/health").version == "1"
    assert doors.ask("/health?deep=1").version == "1"
    assert doors.ask("/health", "HEAD").status == 200
    for other in (
        "/healthz",
        "/health/",
        "/health/x",
        "/HEALTH",
        "/notes/../health",
        "//health",
        "/?/health",
        "/x/health",
    ):
        assert doors.ask(other).status == 503, other


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_C4_listed_addresses_are_served(kind: str, tmp_path: Path) -> None:
    # Whatever address the tests come from here, it is not one of 192.0.2.0/24.
    features = Features(maintenance=Maintenance(page="p", allow=("0.0.0.0/1", "128.0.0.0/1", "::/0")))
    with Behind(tmp_path, kind, features) as behind:
        doors = Doors(behind, tmp_path)
        doors.close()
        assert doors.ask().version == "1"
        with Load(behind.url, clients=8, minimum=200, seconds=60) as asking:
            for _ in range(10):
                doors.open()
                doors.ask()
                doors.close()
                doors.ask()
        assert {what: asking.tally.failed.get(what, 0) for what in KINDS} == dict.fromkeys(KINDS, 0)


def test_C4_it_stays_on_whatever_the_traffic_does(doors: Doors) -> None:
    behind = doors.behind
    doors.close()
    behind.share(10)
    assert doors.ask().status == doors.ask(Cookie="switchback=00").status == 503
    assert doors.ask("/health", Cookie="switchback=00").version == "2"
    behind.point(behind.driver.pointer([behind.green]))
    assert (doors.ask().status, doors.ask("/health").version) == (503, "2")
    behind.proxy.restart(timeout=5)
    until("the proxy is back", lambda: _status(doors) != 0)
    assert doors.ask().status == 503
    doors.open()
    assert doors.ask().version == "2"


def _status(doors: Doors) -> int:
    try:
        return doors.ask().status
    except (OSError, http.client.HTTPException):
        return 0


def test_C4_what_is_turned_away_counts_for_no_release(doors: Doors) -> None:
    doors.close()
    for _ in range(5):
        assert doors.ask().status == 503
    doors.open()
    assert doors.ask().status == 200
    until("the line is written", lambda: len(doors.behind.lines()) >= 1)
    assert [line.status for line in doors.behind.lines()] == [200]


def test_C4_websockets_in_flight_live_on(doors: Doors) -> None:
    with Connections(doors.behind.url) as held:
        sockets = held.websockets(5)
        upload = held.upload()
        doors.close()
        assert doors.ask("/ws").status == 503
        assert {socket.answers() for socket in sockets} == {"1"}
        assert upload.finish() == "whole"
        doors.open()
        assert {socket.answers() for socket in sockets} == {"1"}


# As a user turns it on and off.


def test_C4_on_and_off_by_config_and_a_hand_is_seen(world: World) -> None:
    # Whoever wants it at hand declares it: then it is a matter of a file, and of no configuration.
    world.config["maintenance"] = {"enabled": False}
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.must_up()
    assert set(world.preview().summary) == {"same"}
    config = in_toolbox(world, "readlink", "/run/switchback/config/current")

    with Connections(world.url) as held:
        [socket] = held.websockets(1)
        world.config["maintenance"] = {"enabled": True}
        world.write_config()
        previewed = world.pulumi("preview", "--diff")
        assert "maintenance is off, declared on" in previewed.text
        assert world.get()[0] == 200  # a preview changes nothing
        done = world.must_up()
        assert "maintenance is on: users get HTTP 503" in done.text
        assert page_of(world) == (503, DEFAULT_PAGE)
        assert world.get("/health")[0] == 200
        assert set(world.preview().summary) == {"same"}

        # A switch, and a crash of the proxy, change nothing about it.
        world.config["activeSlot"] = "green"
        assert "web 2 (green): takes the traffic" in world.must_up().text
        assert (world.get()[0], world.serving("/health")) == (503, "2")
        assert socket.answers() == "1"
        assert socket.how == ""

        # It was taken away by hand: the preview says so, and the update puts it back.
        in_toolbox(world, "rm", ON)
        assert world.get()[0] == 200
        assert "maintenance is off, declared on" in world.pulumi("preview", "--diff").text
        world.must_up()
        assert world.get()[0] == 503

        world.config["maintenance"] = {"enabled": False}
        assert "maintenance is off: users are let in again" in world.must_up().text
        assert world.serving() == "2"
        assert socket.answers() == "1"
    assert in_toolbox(world, "readlink", "/run/switchback/config/current") == config or world.kind == "nginx"

    # It was put there by hand.
    in_toolbox(world, "touch", ON)
    assert world.get()[0] == 503
    assert "maintenance is on, declared off" in world.pulumi("preview", "--diff").text
    world.must_up()
    assert world.serving() == "2"
    assert set(world.preview().summary) == {"same"}

    # A crash of the proxy leaves it on.
    in_toolbox(world, "touch", ON)
    crash_proxy(world)
    until("the proxy answers", lambda: reachable(world))
    assert world.get()[0] == 503

    # And so does the key's own end.
    del world.config["maintenance"]
    world.must_up()
    until_serves(world, "2")
    assert "cannot open" in in_toolbox(world, "sh", "-c", f"cat {ON} 2>&1 || echo cannot open")
    assert set(world.preview().summary) == {"same"}


def test_C4_turning_it_on_and_off_loses_nothing_and_a_failed_release_lets_nobody_in(world: World) -> None:
    everybody = ["0.0.0.0/1", "128.0.0.0/1", "::/0"]
    world.config["maintenance"] = {"enabled": False, "allow": everybody}
    world.must_up()
    with load(world) as watched:
        for enabled in (True, False):
            world.config["maintenance"]["enabled"] = enabled
            world.must_up()
    assert watched.tally.total > 0
    assert watched.tally.total_failed == 0, watched.tally.reasons

    world.config["maintenance"] = {"enabled": True, "page": "<p>later</p>"}
    world.must_up()
    world.config["maintenance"]["enabled"] = False
    world.config["slots"]["green"] = {"imageTag": "3"}
    world.config["services"]["web"]["health"]["timeout"] = 3
    world.config["activeSlot"] = "green"
    refused = world.up()
    assert not refused.ok
    assert "Still serving: web 1 (blue); maintenance is on, so users get HTTP 503." in refused.text
    assert page_of(world) == (503, "<p>later</p>")
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.serving() == "1"


def page_of(world: World) -> tuple[int, str]:
    """Status and body of a page through the proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=10)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def reachable(world: World) -> bool:
    try:
        return world.get()[0] > 0
    except OSError:
        return False

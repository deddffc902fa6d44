"""What the proxies can do beside routing and switching, asked of real ones: access lines and shares of the traffic."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bench.load import KINDS, Load
from switchback.proxies.shares import buckets
from switchback.specs import Features
from tests.integration.behind import Behind
from tests.integration.breaking import until

pytestmark = pytest.mark.integration

BOTH = pytest.mark.parametrize("kind", ["caddy", "nginx"])


@pytest.fixture(params=["caddy", "nginx"])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """A proxy that can give a release a share."""
    with Behind(tmp_path, str(request.param), Features(shares=True)) as behind:
        yield behind


# Access lines.


@BOTH
def test_B4_every_request_that_a_release_was_given_has_its_line(kind: str, tmp_path: Path) -> None:
    with Behind(tmp_path, kind, Features()) as behind:
        for _ in range(20):
            assert behind.ask().status == 200
        assert behind.ask("/slow?seconds=0.3").status == 200
        assert behind.ask_inside().status == 200  # nobody's but ours
        until("the lines are written", lambda: len(behind.lines()) >= 21)
        assert {(line.container, line.status) for line in behind.lines()} == {(behind.blue.container, 200)}
        assert sum(1 for line in behind.lines() if line.latency is not None and 0.3 <= line.latency < 10) == 1
        assert all(line.latency is not None and line.latency >= 0 for line in behind.lines())
        behind.forget_lines()

        # After the meter has truncated them, the next ones start at the beginning: no hole, and nothing twice.
        assert behind.ask("/notes").status == 503  # the release's own: it has no database here
        behind.point(behind.driver.pointer([behind.green]))
        assert behind.ask().version == "2"
        until("the lines are written", lambda: len(behind.lines()) >= 2)
        assert [(line.container, line.status) for line in behind.lines()] == [
            (behind.blue.container, 503),
            (behind.green.container, 200),
        ]
        behind.forget_lines()

        # The proxy's answer for a release that does not answer counts against the release, without a latency.
        behind.releases["green"].kill()
        assert behind.ask().status in (502, 504)
        until("the line is written", lambda: len(behind.lines()) >= 1)
        [line] = behind.lines()
        assert (line.container, line.status >= 500, line.latency) == (behind.green.container, True, None)
        behind.forget_lines()

        # What no release has to do with has no line.
        behind.point({})
        assert behind.ask().status >= 500
        behind.point(behind.driver.pointer([behind.blue]))
        assert behind.ask().status == 200
        until("the line is written", lambda: len(behind.lines()) >= 1)
        assert [line.status for line in behind.lines()] == [200]


@BOTH
def test_B4_a_client_that_gives_up_is_no_error_of_the_release(kind: str, tmp_path: Path) -> None:
    with Behind(tmp_path, kind, Features()) as behind:
        with socket.create_connection(("127.0.0.1", behind.port)) as client:
            client.sendall(b"GET /slow?seconds=30 HTTP/1.1\r\nHost: x\r\n\r\n")
            until("the proxy has a connection to the release", lambda: _upstream_connections(behind) > 0)
        until("the line is written", lambda: len(behind.lines()) >= 1)
        [line] = behind.lines()
        assert line.container == behind.blue.container
        assert line.status < 500
        assert line.latency is None


def _free_bytes(behind: Behind) -> int:
    """What is left of the directory for access lines."""
    said = behind.proxy.exec_run(["df", "-P", "/run/meter"]).output
    assert isinstance(said, bytes)
    return int(said.split()[-3])


def _upstream_connections(behind: Behind) -> int:
    """How many connections the proxy has to port 8080 of anybody."""
    table = behind.proxy.exec_run(["cat", "/proc/net/tcp"]).output
    assert isinstance(table, bytes)
    rows = [line.split() for line in table.decode().splitlines()[1:]]
    return sum(1 for row in rows if row[2].endswith(":1F90") and row[3] == "01")


@BOTH
@pytest.mark.parametrize("meter", ["missing", "small"])
def test_B4_a_proxy_that_cannot_count_serves(kind: str, meter: str, tmp_path: Path) -> None:
    with (
        Behind(tmp_path, kind, Features(), meter=meter) as behind,
        Load(behind.url, clients=8, minimum=1000, seconds=60) as load,
    ):
        # A reload opens the log once more.
        assert behind.proxy.exec_run(list(behind.driver.APPLY)).exit_code == 0
        if meter == "small":
            until("the lines have filled it", lambda: _free_bytes(behind) == 0)
    # A reload itself may lose a request that is just being accepted; what is asked here is whether it goes on.
    assert load.tally.total >= 4000
    assert load.tally.total_failed < 40
    assert set(load.tally.served) == {"1"}


# Shares.


def test_E4_a_share_is_that_part_of_the_clients(sharing: Behind) -> None:
    assert _without_cookie(sharing) == {"1"}
    sharing.share(10)
    with Load(sharing.url, clients=8, kinds=("GET keep-alive",), minimum=20_000, seconds=120) as load:
        pass
    assert load.tally.total_failed == 0
    share, count = len(buckets(10)) / 256, load.tally.total
    spread = math.sqrt(count * share * (1 - share))
    assert abs(load.tally.served["2"] - count * share) < 5 * spread  # one run of two million is further off


def test_E4_a_client_stays_where_its_cookie_says(sharing: Behind) -> None:
    plain = sharing.ask()
    assert (plain.status, plain.cookie) == (200, "")  # no share, no cookie
    sharing.share(50)
    drawn = {}
    for _ in range(40):
        first = sharing.ask()
        name, _, bucket = first.cookie.partition("=")
        assert name == "switchback"
        assert {part.strip() for part in first.headers["Set-Cookie"].split(";")[1:]} == {
            *("Path=/", "HttpOnly", "SameSite=Lax")
        }
        drawn[bucket] = first.version
        again = sharing.ask(cookie=first.cookie)
        assert (again.version, again.cookie) == (first.version, "")
    assert {bucket: "2" if bucket in buckets(50) else "1" for bucket in drawn} == drawn
    assert len(drawn) > 20
    for wrong in ("", "0", "000", "0G", "AB", "zz", "../1", "%30%30", '"00"x'):
        answer = sharing.ask(cookie=f"switchback={wrong}")
        assert answer.status == 200
        assert answer.cookie, wrong
    other = sharing.ask(cookie="session=x; switchback=00; theme=y")
    assert (other.version, other.cookie) == ("2", "")
    # An answer that is no success keeps the client as well.
    assert sharing.ask("/notes").status == 503
    assert sharing.ask("/notes").cookie


def test_E4_a_wider_share_only_moves_clients_to_the_new_release(sharing: Behind) -> None:
    cookies = [f"switchback={number:02x}" for number in range(256)]
    before: set[str] = set()
    for percent in (1, 10, 50, 100):
        sharing.share(percent)
        now = {cookie for cookie in cookies if sharing.ask(cookie=cookie).version == "2"}
        assert len(now) == math.ceil(256 * percent / 100)
        assert before <= now
        before = now
    sharing.share(0)
    assert {sharing.ask(cookie=cookie).version for cookie in cookies} == {"1"}


def test_E4_the_inner_port_tells_who_has_a_bucket_and_sets_no_cookie(sharing: Behind) -> None:
    sharing.share(10)
    assert sharing.upstream("switchback=00") == sharing.green.container
    assert sharing.upstream("switchback=19") == sharing.green.container
    assert sharing.upstream("switchback=1a") == sharing.blue.container
    assert sharing.ask_inside().cookie == ""
    assert "X-Switchback-Upstream" not in sharing.ask().headers
    # The rehearsal of a share asks the release that is coming.
    sharing.point(sharing.shared(10), "next")
    assert sharing.upstream(path="/.switchback/next/web") == sharing.green.container
    sharing.point(sharing.driver.pointer([sharing.blue]), "next")
    assert sharing.upstream(path="/.switchback/next/web") == sharing.blue.container


def test_E4_a_websocket_goes_where_its_client_does_and_outlives_the_steps(sharing: Behind) -> None:
    sharing.share(10)

    async def talk() -> None:
        async with aiohttp.ClientSession(sharing.url) as session:
            held = []
            for bucket, version in (("00", "2"), ("ff", "1")):
                wire = await session.ws_connect("/ws", headers={"Cookie": f"switchback={bucket}"})
                held.append((wire, version))
            for percent in (50, 100, 0):
                sharing.share(percent)
                for wire, version in held:
                    await wire.send_str("x")
                    assert (await wire.receive_json(timeout=10))["version"] == version
            sharing.share(50)
            fresh = await session.ws_connect("/ws")
            assert fresh._response.headers["Set-Cookie"].startswith("switchback=")

    asyncio.run(talk())


def test_E4_the_steps_of_a_rollout_lose_nothing(sharing: Behind) -> None:
    # Many times as many as there will ever be, so that a rename falls between any two looks at the pointer.
    steps = [sharing.prepare(sharing.shared(percent)) for percent in (10, 50, 100, 0, 100, 50, 0)]
    with Load(sharing.url, clients=32, minimum=1000, seconds=120) as load:
        for number in range(700):
            steps[number % len(steps)]()
            assert sharing.ask().status == 200
    assert {kind: load.tally.failed.get(kind, 0) for kind in KINDS} == dict.fromkeys(KINDS, 0), load.tally.reasons
    assert load.tally.served.keys() == {"1", "2"}


def _without_cookie(behind: Behind) -> set[str]:
    return {behind.ask().version for _ in range(5)}

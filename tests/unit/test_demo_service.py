"""The sample service keeps its contracts, in this process: what the demo and the integration tests rely on."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("psycopg")

import psycopg
from aiohttp import ClientSession, WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from demo.service import faults
from demo.service.app import make_app
from demo.service.health import reason
from demo.service.settings import Settings

Client = TestClient[Any, Any]


def ask(env: dict[str, str], talk: Callable[[Client], Awaitable[None]], *, worker: bool = False) -> None:
    """Serves with that environment on a free port, and lets `talk` talk to it."""

    async def run() -> None:
        server = TestServer(make_app(Settings.from_environment(env), worker=worker))
        async with TestClient(server) as client:
            await talk(client)

    asyncio.run(run())


def health(env: dict[str, str], times: int = 1) -> list[tuple[int, str]]:
    """Status and body of so many answers of `/health`."""
    said: list[tuple[int, str]] = []

    async def talk(client: Client) -> None:
        for _ in range(times):
            answer = await client.get("/health")
            said.append((answer.status, await answer.text()))

    ask(env, talk)
    return said


def test_B1_health_contract() -> None:
    ((status, body),) = health({"VERSION": "7"})
    assert status == 200
    assert json.loads(body) == {
        "status": "ok",
        "version": "7",
        "checks": [{"name": "self", "status": "ok", "message": "nothing else to check"}],
    }


def test_B1_a_database_that_does_not_answer_fails_its_check_and_names_no_password() -> None:
    ((status, body),) = health({"DATABASE_URL": "postgresql://app:hunter2@127.0.0.1:9/app"})
    (check,) = json.loads(body)["checks"]
    assert status == 503
    assert (check["name"], check["status"]) == ("database", "error")
    assert "Connection refused" in check["message"]
    assert "hunter2" not in body


def test_an_address_that_cannot_be_read_is_not_quoted() -> None:
    ((_, body),) = health({"DATABASE_URL": "postgresql://app:hunter2@[broken"})
    assert "DATABASE_URL cannot be read as an address" in body
    assert "hunter2" not in body
    assert reason(psycopg.OperationalError("cause\n\thint")) == "cause"


def test_B1_a_plain_endpoint_says_ok() -> None:
    assert health({"HEALTH_PLAIN": "1"}) == [(200, "ok")]


@pytest.mark.parametrize(
    ("env", "statuses"),
    [({"FAIL_HEALTH": "1"}, [503, 503, 503]), ({"FLAP": "true"}, [200, 503, 200]), ({"FAIL_HEALTH": "0"}, [200] * 3)],
)
def test_faults_of_the_health_check(env: dict[str, str], statuses: list[int]) -> None:
    assert [status for status, _ in health(env, times=3)] == statuses


def test_a_failing_check_says_why() -> None:
    ((_, body),) = health({"FAIL_HEALTH": "1"})
    (check,) = json.loads(body)["checks"]
    assert (check["name"], check["status"]) == ("self", "error")
    assert check["message"] == "this release was built to fail its health check"


def test_health_can_report_another_version() -> None:
    ((_, body),) = health({"VERSION": "1", "REPORT_VERSION": "2"})
    assert json.loads(body)["version"] == "2"


def test_hanging_health_is_not_answered_until_the_service_stops() -> None:
    async def talk(client: Client) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("/health"), 0.1)
        assert (await client.get("/")).status == 200

    ask({"HANG_HEALTH": "1"}, talk)


def test_every_answer_names_its_release() -> None:
    async def talk(client: Client) -> None:
        index = await (await client.get("/")).json()
        assert index == {"service": "demo", "version": "3", "slot": "green", "env": {"FOO": "a"}}
        echo = await client.post("/echo", data=b"x" * 100_000)
        assert await echo.json() == {"length": 100_000, "version": "3"}
        slow = await client.get("/slow", params={"seconds": "0.01"})
        assert await slow.json() == {"slept": 0.01, "version": "3"}
        assert (await client.get("/slow", params={"seconds": "soon"})).status == 400
        assert (await client.get("/notes")).status == 503  # no database

    ask({"VERSION": "3", "SWITCHBACK_SLOT": "green", "FOO": "a"}, talk)


def test_C2_a_websocket_answers_and_is_told_when_the_service_stops() -> None:
    async def run() -> None:
        server = TestServer(make_app(Settings(version="4")))
        await server.start_server()
        async with ClientSession() as client, client.ws_connect(server.make_url("/ws")) as socket:
            await socket.send_str("hello")
            assert await socket.receive_json() == {"echo": "hello", "version": "4"}
            stopping = asyncio.create_task(server.close())
            assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
            assert socket.close_code == 1001
            await stopping

    asyncio.run(run())


def test_C2_events_end_when_the_service_stops() -> None:
    async def run() -> None:
        server = TestServer(make_app(Settings(version="5")))
        await server.start_server()
        async with ClientSession() as client, client.get(server.make_url("/events")) as answer:
            assert await answer.content.readline() == b'data: {"n": 1, "version": "5"}\n'
            stopping = asyncio.create_task(server.close())
            rest = await asyncio.wait_for(answer.content.read(), 5)
            assert rest.strip().count(b"data:") <= 1
            await stopping

    asyncio.run(run())


def test_C2_a_request_in_flight_is_finished_when_the_service_stops() -> None:
    async def run() -> None:
        server = TestServer(make_app(Settings(version="6")))
        await server.start_server()
        async with ClientSession() as client:
            asked = asyncio.create_task(client.get(server.make_url("/slow?seconds=0.3")))
            await asyncio.sleep(0.1)
            await server.close()
            assert (await (await asked).json())["version"] == "6"

    asyncio.run(run())


def test_C2_downloads_and_uploads_of_any_length_name_their_release() -> None:
    async def talk(client: Client) -> None:
        answer = await client.get("/download", params={"bytes": "100000", "seconds": "0.01"})
        assert (answer.headers["X-Version"], len(await answer.read())) == ("7", 100_000)
        for wrong in ({"bytes": "many"}, {"bytes": "-1"}, {"seconds": "1e9"}, {"seconds": "nan"}):
            assert (await client.get("/download", params=wrong)).status == 400
        body = b"x" * (17 << 20)  # longer than what `/echo` would take
        said = await (await client.post("/upload", data=io.BytesIO(body))).json()
        assert said == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "version": "7"}

    ask({"VERSION": "7"}, talk)


def test_C2_a_cookie_carries_a_session_and_a_forged_one_starts_anew() -> None:
    async def talk(client: Client) -> None:
        for visits in (1, 2, 3):
            assert await (await client.get("/visits")).json() == {"visits": visits, "version": "8"}
        forged = await client.get("/visits", cookies={"visits": "1; DROP TABLE"})
        assert (await forged.json())["visits"] == 1
        assert (await client.get("/session")).status == 503  # no database

    ask({"VERSION": "8"}, talk)


def test_a_worker_has_only_health() -> None:
    async def talk(client: Client) -> None:
        assert (await client.get("/health")).status == 200
        assert (await client.get("/")).status == 404

    ask({}, talk, worker=True)


def test_settings_name_the_variable_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="CRASH_AFTER: 'soon' is not a number"):
        Settings.from_environment({"CRASH_AFTER": "soon"})


@pytest.mark.parametrize(("text", "limit"), [("67108864\n", 64 << 20), ("max\n", None), (str(1 << 63), None)])
def test_memory_is_only_eaten_within_a_limit(
    text: str, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.max"
    file.write_text(text)
    monkeypatch.setattr(faults, "_LIMIT_FILES", (str(tmp_path / "missing"), str(file)))
    assert faults.memory_limit() == limit

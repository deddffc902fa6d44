"""Holding requests: they wait and lose nothing, the queue has an end, and a dead holder holds nobody up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest

from bench.load import KINDS, Load
from switchback.docker_host import Engine
from switchback.hold import hold
from switchback.proxies import holding
from tests.integration.breaking import until
from tests.integration.holding import Holding

pytestmark = pytest.mark.integration

FILE = f"/run/switchback/{holding.FOLDER}/{holding.FILE}"


@pytest.fixture(params=["caddy", "nginx"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Holding]:
    with Holding(tmp_path, str(request.param)) as made:
        yield made


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_C4_four_holds_under_load_lose_nothing(behind: Holding, engine: Engine) -> None:
    reports = []
    with Load(behind.url, clients=32, minimum=500, seconds=120) as load:
        for slot in ("green", "blue", "green", "blue"):
            with hold(engine, behind.place, seconds=10) as held:
                time.sleep(1)  # what is held under: it takes a second
                behind.point(behind.driver.pointer([getattr(behind, slot)]))
            reports.append(held.report)
    assert {kind: load.tally.failed.get(kind, 0) for kind in KINDS} == dict.fromkeys(KINDS, 0), load.tally.reasons
    assert load.tally.served.keys() == {"1", "2"}
    for report in reports:
        assert report.held >= 32
        assert report.longest_wait >= 1
        assert (report.refused, report.failed) == (0, 0)


def test_C4_a_held_request_goes_to_the_release_that_is_live_afterwards_with_its_body(
    behind: Holding, engine: Engine
) -> None:
    body = bytes(range(256)) * 4096  # 1 MiB: more than anybody keeps in a buffer
    plain = behind.post(body)
    assert plain[0] == 200
    with ThreadPoolExecutor(3) as pool:
        with hold(engine, behind.place, seconds=20) as held:
            asked = pool.submit(behind.post, body)
            got = pool.submit(behind.ask, "/")
            wire = pool.submit(asyncio.run, _websocket(behind.url))
            until("three wait", lambda: behind.waiting() >= 3)
            assert not asked.done()
            assert not got.done()
            assert behind.ask_inside().status == 200  # what verifies a switch is not held
            behind.point(behind.driver.pointer([behind.green]))
        assert asked.result()[:2] == plain[:2]
        assert len(asked.result()[2]) == len(plain[2])
        assert got.result().version == "2"
        assert wire.result() == "2"
    assert (held.report.held, held.report.failed) == (3, 0)


async def _websocket(url: str) -> str:
    async with aiohttp.ClientSession(url) as session, session.ws_connect("/ws") as wire:
        await wire.send_str("x")
        return str((await wire.receive_json(timeout=60))["version"])


def test_C4_the_queue_has_an_end(behind: Holding, engine: Engine) -> None:
    with ThreadPoolExecutor(12) as pool:
        with hold(engine, behind.place, seconds=20, limit=10) as held:
            asked = [pool.submit(behind.post, b"x") for _ in range(10)]
            until("ten wait", lambda: behind.waiting() >= 10)
            for method in ("GET", "POST"):
                beyond = behind.ask(method=method)
                assert (beyond.status, beyond.body, beyond.headers["Retry-After"]) == (503, holding.FULL, "1")
        assert {one.result()[0] for one in asked} == {200}
    assert (held.report.held, held.report.refused, held.report.failed) == (10, 2, 0)
    # What was refused has nothing to do with a release.
    until("the lines are written", lambda: len(behind.lines()) >= 10)
    assert {line.status for line in behind.lines()} == {200}


def test_C4_a_hold_ends_by_itself(behind: Holding, engine: Engine) -> None:
    with hold(engine, behind.place, seconds=1) as held:
        assert behind.post(b"x")[0] == 200  # nobody lets it go
        assert behind.exec("sh", "-c", f"test -e {FILE} || echo gone").strip() == "gone"
    assert held.report.held == 1


@pytest.mark.parametrize("how", ["killed before", "killed while they wait"])
def test_C4_a_dead_holder_holds_nobody_up(behind: Holding, engine: Engine, how: str) -> None:
    with ThreadPoolExecutor(8) as pool, hold(engine, behind.place, seconds=25) as held:
        if how == "killed before":
            behind.kill_holder()
            asked = []
        else:
            asked = [pool.submit(behind.post, b"x" * 4096) for _ in range(8)]
            until("eight wait", lambda: behind.waiting() >= 8)
            behind.kill_holder()
        assert {one.result(timeout=20)[0] for one in asked} <= {200}
        assert behind.exec("sh", "-c", f"test -e {FILE} && echo there").strip() == "there"
        # The file still says that they have to wait, and there is nobody to wait for.
        assert behind.post(b"x" * 4096)[0] == 200
        assert behind.ask().version == "1"
    assert held.report.held == 0  # nobody could tell


def test_C4_maintenance_comes_before_a_hold(behind: Holding, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "maintenance"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "on").touch()
    (folder / "on").chmod(0o644)
    with hold(engine, behind.place, seconds=20) as held:
        assert (behind.ask().status, behind.ask().body) == (503, "closed")
    assert held.report.held == 0

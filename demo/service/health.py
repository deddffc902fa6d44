"""`GET /health`: whether this release can do its work, check by check."""

from __future__ import annotations

import asyncio
import time
from typing import TypedDict

import psycopg
from aiohttp import web

from .keys import CLOSING, SETTINGS

_DATABASE_WITHIN = 1.0  # seconds; a gate asks several times a second and must not pile up


class Check(TypedDict):
    """One check of the health contract."""

    name: str
    status: str
    message: str


class Health:
    """Answers `GET /health` with 200 or 503, and counts the requests, for the fault that flaps."""

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        """The health contract: `{"status", "version", "checks"}`; or the fault that was asked for."""
        settings = request.app[SETTINGS]
        faults = settings.faults
        self.asked += 1
        if faults.hang_health:
            await request.app[CLOSING].wait()
        if faults.health_plain:
            return web.Response(text="ok")
        checks: list[Check] = []
        if faults.fail_health:
            checks.append(failing("self", "this release was built to fail its health check"))
        if faults.flap and self.asked % 2 == 0:
            checks.append(failing("self", f"flapping: request {self.asked} is one of those that fail"))
        if settings.database_url:
            checks.append(await database_check(settings.database_url))
        if not checks:
            checks.append({"name": "self", "status": "ok", "message": "nothing else to check"})
        fit = all(check["status"] == "ok" for check in checks)
        body = {
            "status": "ok" if fit else "error",
            "version": faults.report_version or settings.version,
            "checks": checks,
        }
        return web.json_response(body, status=200 if fit else 503)


def failing(name: str, message: str) -> Check:
    """A check that fails."""
    return {"name": name, "status": "error", "message": message}


async def database_check(url: str) -> Check:
    """Connects and asks, within a second. The message never holds the address, which has a password in it."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_DATABASE_WITHIN), await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("SELECT 1")
    except TimeoutError:
        return failing("database", f"no answer within {_DATABASE_WITHIN:g} s")
    except psycopg.Error as failed:
        return failing("database", reason(failed))
    milliseconds = (time.monotonic() - began) * 1000
    return {"name": "database", "status": "ok", "message": f"answered in {milliseconds:.0f} ms"}


def reason(failed: psycopg.Error) -> str:
    """The first line of a database's error, which says the cause; never a part of the address."""
    if isinstance(failed, psycopg.ProgrammingError) and failed.sqlstate is None:
        return "DATABASE_URL cannot be read as an address"  # its own message quotes what it could not read
    return str(failed).strip().partition("\n")[0] or type(failed).__name__

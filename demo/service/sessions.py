"""`GET /session` and `GET /visits`: state that belongs to a client, kept where it outlives a release.

`/session` keeps it in PostgreSQL under an id in a cookie, `/visits` in the cookie itself.
"""

from __future__ import annotations

import logging
import re
import secrets

import psycopg
from aiohttp import web

from .health import reason
from .keys import SETTINGS

log = logging.getLogger("demo")

_COUNT = """\
INSERT INTO sessions (id, version) VALUES (%s, %s)
ON CONFLICT (id) DO UPDATE SET visits = sessions.visits + 1
RETURNING visits, version"""
_CREATE = """\
CREATE TABLE IF NOT EXISTS sessions (
    id text PRIMARY KEY,
    version text NOT NULL,
    visits bigint NOT NULL DEFAULT 1
)"""
_LOCK = 7_264_002  # an advisory lock of our own: two releases may make the table at the same moment
_ID = re.compile(r"[0-9a-f]{32}")


async def stored(request: web.Request) -> web.Response:
    """Which visit of the session this is, and which release began it: `{"visits": 2, "began": "1", "version": "2"}`."""
    settings = request.app[SETTINGS]
    if not settings.database_url:
        return web.json_response({"error": "DATABASE_URL is not set"}, status=503)
    given = request.cookies.get("session", "")
    session = given if _ID.fullmatch(given) else secrets.token_hex(16)
    try:
        connecting = psycopg.AsyncConnection.connect(settings.database_url, connect_timeout=5)
        async with await connecting as connection:
            try:
                row = await (await connection.execute(_COUNT, [session, settings.version])).fetchone()
            except psycopg.errors.UndefinedTable:
                await connection.rollback()
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                await connection.execute(_CREATE)
                row = await (await connection.execute(_COUNT, [session, settings.version])).fetchone()
    except psycopg.Error as failed:
        log.warning("sessions: %s", reason(failed))
        return web.json_response({"error": f"database: {reason(failed)}"}, status=503)
    assert row is not None  # noqa: S101 - RETURNING of one row
    answer = web.json_response({"visits": row[0], "began": row[1], "version": settings.version})
    answer.set_cookie("session", session, httponly=True, samesite="Lax")
    return answer


async def carried(request: web.Request) -> web.Response:
    """Which visit this is, as the client's own cookie counts them: `{"visits": 2, "version": "2"}`."""
    given = request.cookies.get("visits", "")
    visits = int(given) + 1 if re.fullmatch(r"[0-9]{1,9}", given) else 1
    answer = web.json_response({"visits": visits, "version": request.app[SETTINGS].version})
    answer.set_cookie("visits", str(visits), httponly=True, samesite="Lax")
    return answer

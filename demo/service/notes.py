"""`GET` and `POST /notes`: a table in PostgreSQL, so that what a release wrote can be seen from the next one."""

from __future__ import annotations

import logging

import psycopg
from aiohttp import web
from psycopg.rows import dict_row

from .health import reason
from .keys import SETTINGS

log = logging.getLogger("demo")

_LIST = """\
SELECT id, text, version, to_char(written_at, 'YYYY-MM-DD"T"HH24:MI:SSOF') AS written_at
FROM notes ORDER BY id DESC LIMIT 100"""
_ADD = "INSERT INTO notes (text, version) VALUES (%s, %s) RETURNING id"
_CREATE = """\
CREATE TABLE IF NOT EXISTS notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL,
    version text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
)"""
_LOCK = 7_264_001  # an advisory lock of our own: two releases may make the table at the same moment
_LONGEST = 10_000  # characters


async def read(request: web.Request) -> web.Response:
    """The last 100 notes, newest first, and how many there are."""
    try:
        async with await _connect(request) as connection:
            rows = await (await connection.execute(_LIST)).fetchall()
            counted = await (await connection.execute("SELECT count(*) AS n FROM notes")).fetchone()
    except psycopg.errors.UndefinedTable:
        return web.json_response({"count": 0, "notes": []})
    except psycopg.Error as failed:
        return _unavailable(failed)
    return web.json_response({"count": counted["n"] if counted else 0, "notes": rows})


async def write(request: web.Request) -> web.Response:
    """Stores `{"text": "…"}`, or a plain text body; 201 with the note's id."""
    text = await _text(request)
    version = request.app[SETTINGS].version
    try:
        async with await _connect(request) as connection:
            try:
                added = await (await connection.execute(_ADD, [text, version])).fetchone()
            except psycopg.errors.UndefinedTable:
                await connection.rollback()
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                await connection.execute(_CREATE)
                added = await (await connection.execute(_ADD, [text, version])).fetchone()
    except psycopg.Error as failed:
        return _unavailable(failed)
    assert added is not None  # noqa: S101 - RETURNING of one row
    return web.json_response({"id": added["id"], "text": text, "version": version}, status=201)


async def _connect(request: web.Request) -> psycopg.AsyncConnection[dict[str, object]]:
    url = request.app[SETTINGS].database_url
    if not url:
        raise web.HTTPServiceUnavailable(text='{"error": "DATABASE_URL is not set"}', content_type="application/json")
    return await psycopg.AsyncConnection.connect(url, connect_timeout=5, row_factory=dict_row)


async def _text(request: web.Request) -> str:
    body: object = await request.text()
    if request.content_type == "application/json":
        try:
            body = (await request.json())["text"]
        except (ValueError, KeyError, TypeError):
            body = None
    if not isinstance(body, str) or not 0 < len(body) <= _LONGEST or "\0" in body:
        said = f'{{"error": "send {{\\"text\\": …}} with 1 to {_LONGEST} characters"}}'
        raise web.HTTPBadRequest(text=said, content_type="application/json")
    return body


def _unavailable(failed: psycopg.Error) -> web.Response:
    log.warning("notes: %s", reason(failed))
    return web.json_response({"error": f"database: {reason(failed)}"}, status=503)

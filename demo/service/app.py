"""The routes: short and long requests, WebSocket and server-sent events, each saying which release answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

from aiohttp import WSCloseCode, WSMsgType, web

from . import notes, sessions, streams
from .health import Health
from .keys import CLOSING, SETTINGS
from .settings import Settings

_EVENT_EVERY = 0.5  # seconds
_SLOWEST = 300.0  # seconds
_LARGEST = 16 << 20  # bytes of a request body

_SOCKETS = web.AppKey("SOCKETS", set[web.WebSocketResponse])


def make_app(settings: Settings, *, worker: bool = False) -> web.Application:
    """The application. A worker has no routes but `/health`."""
    app = web.Application(client_max_size=_LARGEST)
    app[SETTINGS] = settings
    app[CLOSING] = asyncio.Event()
    app[_SOCKETS] = set()
    app.on_shutdown.append(_let_go)
    app.router.add_get("/health", Health().answer)
    if not worker:
        app.router.add_get("/", index)
        app.router.add_post("/echo", echo)
        app.router.add_get("/slow", slow)
        app.router.add_get("/ws", websocket)
        app.router.add_get("/events", events)
        app.router.add_get("/download", streams.download)
        app.router.add_post("/upload", streams.upload)
        app.router.add_get("/session", sessions.stored)
        app.router.add_get("/visits", sessions.carried)
        app.router.add_get("/notes", notes.read)
        app.router.add_post("/notes", notes.write)
        # Whatever path a proxy's route hands over, so that one image can stand for any service.
        app.router.add_get("/{path:.*}", index)
    return app


async def index(request: web.Request) -> web.Response:
    """Who answers: service, version, slot, and the setting FOO of this release."""
    settings = request.app[SETTINGS]
    if settings.faults.answer_delay:
        await asyncio.sleep(settings.faults.answer_delay)
    _fail_by_chance(settings)
    return web.json_response(
        {"service": settings.name, "version": settings.version, "slot": settings.slot, "env": {"FOO": settings.foo}}
    )


def _fail_by_chance(settings: Settings) -> None:
    if settings.faults.error_share and random.random() < settings.faults.error_share:  # noqa: S311 - no secret
        raise web.HTTPInternalServerError(text="this release was built to fail\n")


async def echo(request: web.Request) -> web.Response:
    """How long the body was. It is read to the end, so a request that was cut off is not answered as if whole."""
    body = await request.read()
    _fail_by_chance(request.app[SETTINGS])
    return web.json_response({"length": len(body), "version": request.app[SETTINGS].version})


async def slow(request: web.Request) -> web.Response:
    """Answers after `?seconds=` (2), also when the service was told to stop meanwhile."""
    text = request.query.get("seconds", "2")
    try:
        seconds = min(max(float(text), 0.0), _SLOWEST)
    except ValueError:
        raise web.HTTPBadRequest(text=f"seconds: {text!r} is not a number\n") from None
    await asyncio.sleep(seconds)
    return web.json_response({"slept": seconds, "version": request.app[SETTINGS].version})


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Sends every text back with the version: `{"echo": "…", "version": "1"}`."""
    socket = web.WebSocketResponse(heartbeat=30.0)
    await socket.prepare(request)
    sockets = request.app[_SOCKETS]
    sockets.add(socket)
    version = request.app[SETTINGS].version
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(json.dumps({"echo": message.data, "version": version}))
    except ConnectionResetError:
        pass  # the client left in the middle of an answer
    finally:
        sockets.discard(socket)
    return socket


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events, one every half second: `data: {"n": 1, "version": "1"}`."""
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await stream.prepare(request)
    version, closing = request.app[SETTINGS].version, request.app[CLOSING]
    number = 0
    with contextlib.suppress(ConnectionResetError):
        while not closing.is_set():
            number += 1
            await stream.write(f"data: {json.dumps({'n': number, 'version': version})}\n\n".encode())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), _EVENT_EVERY)
    return stream


async def _let_go(app: web.Application) -> None:
    """Ends what would never end by itself; requests in flight are left to finish."""
    app[CLOSING].set()
    sockets = app[_SOCKETS]
    for socket in list(sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"this release is being stopped")

"""`GET /download` and `POST /upload`: bodies that take their time, so that a switch falls into the middle of one."""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import web

from .keys import SETTINGS

_PIECE = b"0123456789abcdef" * 4096  # 64 KiB
_LARGEST = 1 << 30  # bytes of a download
_SLOWEST = 300.0  # seconds


async def download(request: web.Request) -> web.StreamResponse:
    """So many bytes, spread over so many seconds; the headers say how long it is and which release sends it.

    `?bytes=` (default 1 MiB, at most 1 GiB) and `?seconds=` (default 0, at most 300).
    """
    size = int(_number(request, "bytes", 1 << 20, _LARGEST))
    seconds = _number(request, "seconds", 0, _SLOWEST)
    stream = web.StreamResponse(headers={"X-Version": request.app[SETTINGS].version})
    stream.content_length, stream.content_type = size, "application/octet-stream"
    await stream.prepare(request)
    for begin in range(0, size, len(_PIECE)):
        await stream.write(_PIECE[: size - begin])
        await asyncio.sleep(seconds * len(_PIECE) / size)
    return stream


async def upload(request: web.Request) -> web.Response:
    """Reads the body as it comes, of any length: `{"length": 3, "sha256": "…", "version": "1"}`."""
    length, digest = 0, hashlib.sha256()
    async for piece in request.content.iter_any():
        length += len(piece)
        digest.update(piece)
    version = request.app[SETTINGS].version
    return web.json_response({"length": length, "sha256": digest.hexdigest(), "version": version})


def _number(request: web.Request, name: str, default: float, most: float) -> float:
    text = request.query.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise web.HTTPBadRequest(text=f"{name}: {text!r} is not a number from 0 to {most:g}\n")
    return value

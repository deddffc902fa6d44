"""Hands that hold long connections through a proxy: WebSockets, server-sent events, slow uploads and downloads.

`with Connections(url) as held: sockets = held.websockets(20)`. They live in a thread of their own, so a test can
deploy meanwhile. Nothing here repeats or reconnects: what ends has ended, and says when and how.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

import aiohttp

Result = TypeVar("Result")

_PATIENCE = 60.0  # seconds until a test gives up waiting; no test is about how long
_PIECE = b"0123456789abcdef" * 4096  # 64 KiB


class Held:
    """A connection, and what became of it."""

    def __init__(self, held: Connections) -> None:
        self._held = held
        self.version = ""  # of the release that answered first
        self.others: set[str] = set()  # other versions that answered on it later; there are none
        self.heard = 0  # answers or events until now
        self.how = ""  # how it ended: a WebSocket's close code and reason, "whole", or the error; empty while it lives
        self.ended_at = 0.0  # time.monotonic()

    def _hears(self, message: str) -> None:
        version = str(json.loads(message)["version"])
        self.version = self.version or version
        self.others |= {version} - {self.version}
        self.heard += 1

    def _ends(self, how: str) -> None:
        self.how, self.ended_at = how, time.monotonic()

    async def close(self) -> None:
        """Lets go of it, however it stands."""


class Socket(Held):
    """A WebSocket."""

    async def open(self) -> None:
        self._socket = await self._held.session.ws_connect("/ws", timeout=aiohttp.ClientWSTimeout(ws_close=1))
        self._answered = asyncio.Event()
        self._held.spawn(self._listen())
        await self.ask()

    async def ask(self) -> None:
        """Sends a text, and waits for the answer, or for the end."""
        self._answered.clear()
        with contextlib.suppress(ConnectionResetError):  # it has just ended, as `_listen` will find
            await self._socket.send_str("hello")
        async with asyncio.timeout(_PATIENCE):
            await self._answered.wait()

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            self._hears(message.data)
            self._answered.set()
        reason = f" {message.extra}" if message.type is aiohttp.WSMsgType.CLOSE and message.extra else ""
        self._ends(f"{self._socket.close_code}{reason}")
        self._answered.set()

    def answers(self) -> str:
        """Sends a text, waits for the answer, and returns the version in it.

        Raises:
            AssertionError: the WebSocket has ended.
        """
        if not self.how:
            self._held.do(self.ask())
        assert not self.how, f"the WebSocket has ended: {self.how}"
        return self.version

    async def close(self) -> None:
        await self._socket.close()

    def leave(self) -> None:
        """Closes it, as a client that has what it wanted."""
        self._held.do(self.close())


class Events(Held):
    """A stream of server-sent events."""

    async def open(self) -> None:
        self._answer = await self._held.session.get("/events", headers={"Accept": "text/event-stream"})
        self._first = asyncio.Event()
        self._held.spawn(self._listen())
        async with asyncio.timeout(_PATIENCE):
            await self._first.wait()

    async def _listen(self) -> None:
        try:
            async for line in self._answer.content:
                if line.startswith(b"data: "):
                    self._hears(line[6:].decode())
                    self._first.set()
            self._ends("whole")
        except aiohttp.ClientError as cut:
            self._ends(f"{type(cut).__name__}: {cut}")
        self._first.set()

    def answers(self) -> str:
        """Waits for one more event, and returns its version.

        Raises:
            AssertionError: the stream has ended, or nothing comes.
        """
        before, deadline = self.heard, time.monotonic() + _PATIENCE
        while self.heard == before:
            assert not self.how, f"the stream has ended: {self.how}"
            assert time.monotonic() < deadline, "no event comes"
            time.sleep(0.02)
        return self.version

    async def close(self) -> None:
        self._answer.close()


class Upload(Held):
    """A POST of a known length, whose second half is sent when `finish` says so."""

    async def open(self, size: int) -> None:
        self._size, self._digest = size, hashlib.sha256()
        self._begun, self._rest = asyncio.Event(), asyncio.Event()
        self._task = self._held.spawn(self._post())
        async with asyncio.timeout(_PATIENCE):
            await self._begun.wait()

    async def _post(self) -> None:
        # The body is begun when "100 Continue" came: by then the proxy has the request, and has chosen a release.
        headers = {"Content-Length": str(self._size)}
        try:
            async with self._held.session.post("/upload", data=self._body(), headers=headers, expect100=True) as answer:
                text = await answer.text()
                if answer.status == 200:
                    self._hears(text)
                    said = json.loads(text)
                    right = (said["length"], said["sha256"]) == (self._size, self._digest.hexdigest())
                    self._ends("whole" if right else text)
                else:
                    self._ends(f"HTTP {answer.status}: {text[:200]}")
        except aiohttp.ClientError as cut:
            self._ends(f"{type(cut).__name__}: {cut}")
        self._begun.set()

    async def _body(self) -> AsyncIterator[bytes]:
        sent = 0
        while sent < self._size:
            if sent >= self._size // 2:
                await self._rest.wait()
            piece = _PIECE[: self._size - sent]
            self._digest.update(piece)
            sent += len(piece)
            yield piece
            self._begun.set()

    def finish(self) -> str:
        """Sends the rest, and returns how it ended: `whole` when the release had all of it."""
        self._held.call(self._rest.set)
        self._held.do(asyncio.wait_for(self._task, _PATIENCE))
        return self.how


class Download(Held):
    """A GET of a known length, of which next to nothing is read until `finish` says so."""

    async def open(self, size: int) -> None:
        self._size, self._rest = size, asyncio.Event()
        self._answer = await self._held.session.get("/download", params={"bytes": str(size)})
        self.version = self._answer.headers.get("X-Version", "")
        self._task = self._held.spawn(self._read())

    async def _read(self) -> None:
        await self._rest.wait()
        length = 0
        try:
            async for piece in self._answer.content.iter_any():
                length += len(piece)
            self._ends("whole" if length == self._size else f"{length} of {self._size} bytes")
        except aiohttp.ClientError as cut:
            self._ends(f"{length} of {self._size} bytes: {type(cut).__name__}: {cut}")

    def finish(self) -> str:
        """Reads the rest, and returns how it ended: `whole` when all of it came."""
        self._held.call(self._rest.set)
        self._held.do(asyncio.wait_for(self._task, _PATIENCE))
        return self.how

    async def close(self) -> None:
        self._answer.close()


class Connections:
    """Holds connections to one address until its block ends."""

    session: aiohttp.ClientSession

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: list[Held] = []

    def __enter__(self) -> Connections:
        self._thread.start()
        self.do(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE)
        # Every request on a connection of its own: what is idle in a pool proves nothing.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self.session = aiohttp.ClientSession(self._url, connector=connector, timeout=timeout)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _all(one.close() for one in self._opened)
        await self.session.close()
        await asyncio.sleep(0)  # lets the transports go

    def websockets(self, number: int) -> list[Socket]:
        """Opens WebSockets; each has been answered once."""
        sockets = [Socket(self) for _ in range(number)]
        self.do(_all(socket.open() for socket in sockets))
        self._opened += sockets
        return sockets

    def ask(self, sockets: Sequence[Socket]) -> None:
        """Asks all of them at once, and waits until each has answered, or has ended."""
        self.do(_all(socket.ask() for socket in sockets if not socket.how))

    def events(self, number: int) -> list[Events]:
        """Opens streams of events; each has had one."""
        streams = [Events(self) for _ in range(number)]
        self.do(_all(stream.open() for stream in streams))
        self._opened += streams
        return streams

    def upload(self, size: int = 8 << 20) -> Upload:
        """Begins an upload and sends half of it; its release is chosen."""
        upload = Upload(self)
        self.do(upload.open(size))
        return upload

    def download(self, size: int = 48 << 20) -> Download:
        """Begins a download, more than the buffers on its way hold; its release has answered."""
        download = Download(self)
        self.do(download.open(size))
        self._opened.append(download)
        return download

    # For the connections themselves.

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs something in the thread of the connections, and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def call(self, act: Any) -> None:
        """Calls something in the thread of the connections."""
        self._loop.call_soon_threadsafe(act)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs something beside, until it ends or the block does."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        return task


async def _all(works: Any) -> None:
    await asyncio.gather(*works)

"""Runs in the toolbox while requests are held: whoever asks has to wait until the hold ends.

It ends when the file is taken away (which lets all go at once), when its time is over, or with this program: then the
proxies find nobody to ask, and go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from pathlib import Path

from switchback.events import Event, tell
from switchback.proxies.holding import FILE, FOLDER, GO_ON, LONGEST, PORT, TOO_MANY
from switchback.specs import Hold, HoldReport, decode, encode

ON = Path("/run/switchback") / FOLDER / FILE
_LOOK_EVERY = 0.01  # seconds
_LINGER = 0.5  # seconds for those that saw the file just before it was taken away
_FILES = 65536


class Holder:
    """A server with one answer, which comes late."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._over = asyncio.Event()
        self._waiting = self._held = self._refused = self._failed = 0
        self._longest = 0.0

    async def run(self) -> HoldReport:
        """Holds, and returns what became of the requests."""
        server = await asyncio.start_server(self._serve, "0.0.0.0", PORT, backlog=4096)  # noqa: S104 - a container's
        async with server:
            ON.parent.mkdir(mode=0o755, exist_ok=True)
            ON.touch(mode=0o644)
            tell(Event(kind="holding"))
            deadline = time.monotonic() + min(self._hold.seconds, LONGEST)
            while ON.exists() and time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_EVERY)
            ON.unlink(missing_ok=True)
            self._over.set()
            await asyncio.sleep(_LINGER)
        return HoldReport(held=self._held, longest_wait=self._longest, refused=self._refused, failed=self._failed)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            status = await self._wait(reader)
            if status:
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _wait(self, reader: asyncio.StreamReader) -> int:
        """The status to answer with; 0 when there is nobody any more who waits for it."""
        if self._over.is_set():
            return GO_ON
        if self._waiting >= self._hold.limit:
            self._refused += 1
            return TOO_MANY
        self._waiting, self._held = self._waiting + 1, self._held + 1
        began = time.monotonic()
        over, gone = asyncio.ensure_future(self._over.wait()), asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((over, gone), return_when=asyncio.FIRST_COMPLETED)
            if not self._over.is_set():
                self._failed += 1
                return 0
            self._longest = max(self._longest, time.monotonic() - began)
            return GO_ON
        finally:
            self._waiting -= 1
            over.cancel()
            gone.cancel()


def main() -> int:
    """Holds as `SWITCHBACK_SPEC` says, and tells `holding`, then `done` with the report."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if most == resource.RLIM_INFINITY else min(_FILES, most), most))
    report = asyncio.run(Holder(decode(os.environ["SWITCHBACK_SPEC"], Hold)).run())
    tell(Event(kind="done", text=encode(report)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs in the toolbox, as long as it does: reads the proxy's access lines as they come, and tells what it counted.

A question is a line of JSON on the Unix socket, `{"since": …, "until": …}`; the answer is another, the cells of each
container (`metering.py`). All is counted anew when it starts, from the lines that are still in the file: its memory
is then empty, so none is counted twice, and a toolbox that is replaced in the middle of a release still knows how
the old one did.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from pathlib import Path

import msgspec

from switchback.metering import LOG_NAME, METER, SOCKET_NAME, Aggregate, Query

_EVERY = 0.2  # seconds between two looks at the file when nobody asks
_LARGE = 8 << 20  # bytes from which the file is emptied; the tmpfs holds four times as much
_PIECE = 1 << 20  # bytes read at once
_CLIENT_WITHIN = 1.0  # seconds for one to ask and to take its answer, all others waiting
_SAY_EVERY = 60.0  # seconds between two complaints about strange lines


class Tail:
    """Reads a file that others append to, from its beginning."""

    def __init__(self, path: Path, large: int = _LARGE) -> None:
        self._path, self._large = path, large
        self._file = -1
        self._offset = 0
        self._begun = b""  # a line whose end is not there yet

    def read(self, into: Aggregate) -> None:
        """Counts all that is new, and empties the file when it is large. No file is nothing new."""
        self._read_on(into)
        if self._is_another():
            # What was removed is read to its end before; until there is another, whoever has it open writes to it.
            self._open()
            self._read_on(into)

    def _read_on(self, into: Aggregate) -> None:
        if self._file < 0:
            return
        while True:
            size = os.fstat(self._file).st_size
            if size < self._offset:
                self._offset, self._begun = 0, b""  # emptied by somebody else
            if size == self._offset and size >= self._large:
                # A line that is written just now is lost: one in 100,000. One that was cut off, as the last before
                # the tmpfs was full, will never be finished, and must not keep it full.
                os.ftruncate(self._file, 0)
                into.strange += bool(self._begun)
                self._offset, self._begun = 0, b""
            piece = os.pread(self._file, _PIECE, self._offset)
            if not piece:
                return
            self._offset += len(piece)
            *lines, self._begun = (self._begun + piece).split(b"\n")
            for line in lines:
                into.add(line)
            into.prune(time.time())  # here, since a file of many hours would not fit into memory

    def _is_another(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        if self._file < 0:
            return True
        mine = os.fstat(self._file)
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._offset, self._begun = os.open(self._path, os.O_RDWR | os.O_CLOEXEC), 0, b""


def main(words: list[str]) -> None:
    """Counts and answers until it is ended. One word may name another directory than `/run/meter`."""
    folder = Path(words[0]) if words else METER
    counted, tail = Aggregate(), Tail(folder / LOG_NAME)
    tail.read(counted)  # before anybody can ask
    said, complained = 0, -_SAY_EVERY
    with _listen(folder / SOCKET_NAME) as door:
        while True:
            asked, _, _ = select.select([door], [], [], _EVERY)
            tail.read(counted)
            counted.prune(time.time())
            if asked:
                _answer(door, counted)
            if counted.strange > said and time.monotonic() > complained + _SAY_EVERY:
                print(f"meter: {counted.strange - said} access lines told of no request", file=sys.stderr, flush=True)
                said, complained = counted.strange, time.monotonic()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of the one before
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    path.chmod(0o600)
    door.listen(16)
    return door


def _answer(door: socket.socket, counted: Aggregate) -> None:
    """Answers one client. One that asks nonsense, or goes away, gets nothing, and the meter goes on."""
    try:
        wire, _ = door.accept()
        with wire:
            wire.settimeout(_CLIENT_WITHIN)
            with wire.makefile("rb") as lines:
                question = msgspec.json.decode(lines.readline(4096), type=Query)
            wire.sendall(msgspec.json.encode(counted.since(question.since, question.until)) + b"\n")
    except (OSError, msgspec.MsgspecError) as failed:
        print(f"meter: a question went unanswered: {failed}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What a user's program prints, handed on line by line while it comes, with its end kept for the report."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from switchback.blot import blotted

_KEPT = 20  # lines
_LONGEST = 2_000  # characters of a line that are shown
_WHOLE = 1 << 20  # bytes of a line that are waited for; one cut in two could show half of a secret
_SHOWN = 256 << 10  # characters in all: standard output is kept in the stack's state
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours and cursors


class Relay:
    """Prints whole lines with a bar before them, without secrets and without what a terminal would obey."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.last: deque[str] = deque(maxlen=_KEPT)
        self._secrets = tuple(secrets)
        self._rest = b""
        self._room = _SHOWN

    def feed(self, piece: bytes) -> None:
        """Takes the next piece of output, and prints the lines that it completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._show(line)
        if len(self._rest) > _WHOLE:
            self._rest = b"[a line of more than 1 MiB]"

    def close(self) -> None:
        """Prints what came after the last line's end."""
        if self._rest:
            self._show(self._rest)
            self._rest = b""

    def _show(self, line: bytes) -> None:
        # Of what is written over itself, such as a progress bar, the last state counts.
        text = _ESCAPE.sub("", line.decode(errors="replace")).rstrip("\r").rpartition("\r")[2]
        text = blotted(text, self._secrets)[:_LONGEST]
        text = "".join(c if c.isprintable() or c == "\t" else "?" for c in text)
        self.last.append(text)
        if self._room <= 0:
            return
        self._room -= len(text) + 1
        print(f"| {text}" if self._room > 0 else "| (it says more than is shown here)", flush=True)

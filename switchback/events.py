"""What the programs inside the toolbox tell the procedure that started them: one JSON object a line."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. `kind` is `pid`, `progress`, `fit`, `unfit`, `done` or `failed`."""

    kind: str
    service: str = ""
    text: str = ""
    reasons: tuple[str, ...] = ()
    number: float = 0.0


_telling = threading.Lock()


def tell(event: Event) -> None:
    """Prints an event at once, as a line of its own whichever thread tells it."""
    line = f"{msgspec.json.encode(event).decode()}\n"
    # When nobody listens any more, because whoever started it was killed, what is being done goes on all the same.
    with _telling, suppress(OSError):
        sys.stdout.write(line)
        sys.stdout.flush()


class Listener:
    """Puts pieces of a program's output together into events; what is no event is kept as plain output."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._rest = b""
        self.other: list[str] = []  # a traceback, a message of the container runtime

    def feed(self, piece: bytes) -> None:
        """Takes the next piece; calls `on_event` for every line that it completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            try:
                event = msgspec.json.decode(line, type=Event)
            except msgspec.DecodeError:
                self.other.append(line.decode(errors="replace"))
                continue
            self._on_event(event)

    def close(self) -> str:
        """What came that was no event, as text."""
        return "\n".join([*self.other, self._rest.decode(errors="replace")]).strip()

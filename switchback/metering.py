"""What the proxy's access lines say of each release: counts and latencies by the second. Pure, but for `ask`.

Both proxies append a line for each request that they handed to a release. The meter (`inside/meter.py`) adds them
up and tells whoever asks; what it tells is what the analysis of a release is made of.
"""

from __future__ import annotations

import math
import socket
import time
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple

import msgspec

from switchback.errors import SwitchbackError

METER = Path("/run/meter")  # a tmpfs that the proxy and the toolbox share
LOG_NAME, SOCKET_NAME = "access.log", "meter.sock"
KEPT = 900  # seconds that are remembered: a bake and its baseline, with room

# Eight buckets for each doubling: a quantile is known to 9 %. The last bound is over 100 hours.
BOUNDS = tuple(0.0001 * 2 ** (i / 8) for i in range(256))
_ASK_AGAIN = 0.05  # seconds


class MeterError(SwitchbackError):
    """The meter does not answer."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The question, one line of JSON: every second that the span touches, in Unix seconds."""

    since: float
    until: float


class Cell(msgspec.Struct):
    """One second of one container."""

    second: int  # Unix time
    requests: int = 0
    errors: int = 0  # answered with 500 or more, by the release or, where it did not answer, by the proxy
    buckets: dict[int, int] = {}  # bucket of the time to the answer's header -> requests


Cells = dict[str, list[Cell]]  # by container, each in the order of time


class Request(NamedTuple):
    """What a line says. `latency` is in seconds to the header; None where none came, and for a WebSocket."""

    container: str
    second: int
    status: int
    latency: float | None


class _CaddyLine(msgspec.Struct, gc=False):
    ts: float
    status: int
    upstream: str | None = None
    latency_ms: float | None = None


_decode_caddy = msgspec.json.Decoder(_CaddyLine).decode
_decode_answer = msgspec.json.Decoder(Cells).decode


def bucket_of(seconds: float) -> int:
    """The bucket of a latency: the first whose upper bound is not below it."""
    return min(bisect_left(BOUNDS, seconds), len(BOUNDS) - 1)


def upper_bound(bucket: int) -> float:
    """The longest latency, in seconds, that a bucket holds."""
    return BOUNDS[bucket]


def parse(line: bytes) -> Request | None:
    """The request that a line of either proxy tells of; None when it tells of none that a release was given."""
    return parse_caddy(line) if line.startswith(b"{") else parse_nginx(line)


def parse_nginx(line: bytes) -> Request | None:
    """A line of `$msec $proxy_host $status $upstream_header_time`, which are `-` where there is nothing to tell."""
    try:
        moment, container, status, *times = line.split()
        # Several times (`0.001, 0.002`) are several tries; the last is that of the answer.
        latency = None if not times or times[-1] == b"-" or status == b"101" else float(times[-1])
        return _request(container.decode(), float(moment), int(status), latency)
    except (ValueError, OverflowError):
        return None


def parse_caddy(line: bytes) -> Request | None:
    """A line of JSON with `ts`, `status`, `upstream` (`container:port`) and `latency_ms` (null where none came)."""
    try:
        said = _decode_caddy(line)
        latency = None if said.latency_ms is None or said.status == 101 else said.latency_ms / 1000
        return _request((said.upstream or "").rpartition(":")[0], said.ts, said.status, latency)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None


def _request(container: str, moment: float, status: int, latency: float | None) -> Request | None:
    if not container or container == "-" or (latency is not None and math.isnan(latency)):
        return None
    return Request(container, int(moment), status, latency)


class Aggregate:
    """The cells of the last 15 minutes."""

    def __init__(self) -> None:
        self.strange = 0  # lines that told of no request
        self._cells: dict[str, dict[int, Cell]] = {}

    def add(self, line: bytes) -> None:
        """Counts a line; one that tells of no request is counted as strange."""
        request = parse(line)
        if request is None:
            self.strange += 1
            return
        container, second, status, latency = request
        cells = self._cells.get(container)
        if cells is None:
            cells = self._cells[container] = {}
        cell = cells.get(second)
        if cell is None:
            cell = cells[second] = Cell(second)
        cell.requests += 1
        if status >= 500:
            cell.errors += 1
        if latency is not None:
            bucket = bucket_of(latency)
            cell.buckets[bucket] = cell.buckets.get(bucket, 0) + 1

    def since(self, since: float, until: float = math.inf) -> Cells:
        """The cells of every second that the span touches."""
        found = {
            container: sorted(
                (cell for cell in cells.values() if since < cell.second + 1 and cell.second < until),
                key=lambda cell: cell.second,
            )
            for container, cells in self._cells.items()
        }
        return {container: cells for container, cells in found.items() if cells}

    def prune(self, now: float) -> None:
        """Forgets what is older than 15 minutes; and what is as far ahead, after the clock was set back."""
        for container, cells in [*self._cells.items()]:
            for second in [second for second in cells if abs(now - second) > KEPT]:
                del cells[second]
            if not cells:
                del self._cells[container]


def ask(since: float, until: float, *, path: Path = METER / SOCKET_NAME, patience: float = 5.0) -> Cells:
    """What the meter counted in every second that the span touches, up to this moment. Runs in the toolbox.

    Args:
        since: Unix time in seconds, as the proxies' clock has it.
        until: The same.
        path: The meter's socket.
        patience: Seconds until it has to have answered; one that was ended is back after one.

    Raises:
        MeterError: when it does not answer.
    """
    question = msgspec.json.encode(Query(since=since, until=until)) + b"\n"
    deadline = time.monotonic() + patience
    while True:
        try:
            return _decode_answer(_exchange(question, path, max(0.01, deadline - time.monotonic())))
        except (OSError, msgspec.MsgspecError) as failed:
            if time.monotonic() + _ASK_AGAIN > deadline:
                why = getattr(failed, "strerror", None) or failed
                raise MeterError(
                    f"the toolbox's meter does not answer at {path} within {patience:g} s: {why}"
                ) from None
        time.sleep(_ASK_AGAIN)


def _exchange(question: bytes, path: Path, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(timeout)
        wire.connect(str(path))
        wire.sendall(question)
        answer = b""
        while piece := wire.recv(1 << 20):
            answer += piece
    return answer

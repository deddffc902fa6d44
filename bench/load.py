"""A load on loopback that counts what fails: GET and POST, keep-alive and fresh connections, and no retries.

A browser and most HTTP libraries repeat an idempotent request by themselves when a connection breaks, so they
never show what a reload drops. This client repeats nothing: a request that is not answered whole, with a 2xx
status, within its time, has failed. It runs in a process of its own, bounded in time.
"""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

_ANSWER_WITHIN = 30.0  # seconds
_BODY = b"x" * 512
# New connections a second, altogether. A closed one keeps its port for 60 s (TCP_TIMEWAIT_LEN), and Linux deals out
# 28,232 of them: beyond this rate this client, or Docker's own proxy before the container, soon has none left.
_FRESH = 400.0
KINDS = ("GET keep-alive", "GET fresh", "POST keep-alive", "POST fresh")


class Tally(msgspec.Struct, kw_only=True):
    """What a load saw. `served` counts the answers by the version in them; `reasons` samples the failures."""

    requests: dict[str, int] = {}
    failed: dict[str, int] = {}
    served: dict[str, int] = {}
    reasons: list[str] = []
    seconds: float = 0.0
    p99: float = 0.0  # seconds

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())

    @property
    def total_failed(self) -> int:
        """All failed requests."""
        return sum(self.failed.values())


class _Client(threading.Thread):
    """One client: asks again and again until the end, at most so often a second."""

    def __init__(self, url: str, kind: str, ending: threading.Event, pause: float) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._path = {"GET": parts.path or "/", "POST": "/echo"}[kind.partition(" ")[0]]
        self.kind, self._ending, self._pause = kind, ending, pause
        self.sent, self.failed, self.served = 0, 0, Counter[str]()
        self.reasons: list[str] = []
        self.times: list[float] = []

    def run(self) -> None:
        method, _, manner = self.kind.partition(" ")
        connection: http.client.HTTPConnection | None = None
        while not self._ending.is_set():
            began = time.monotonic()
            self.sent += 1
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*self._address, timeout=_ANSWER_WITHIN)
                    connection.connect()
                    # Without this, Nagle's algorithm and delayed acknowledgements add 40 ms to a POST.
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.request(method, self._path, body=_BODY if method == "POST" else None)
                answer = connection.getresponse()
                body = answer.read()
                if not 200 <= answer.status <= 299:
                    raise ConnectionError(f"HTTP {answer.status}: {body[:80]!r}")
                self.served[_version(body)] += 1
                self.times.append(time.monotonic() - began)
                if answer.will_close or manner == "fresh":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as failed:
                self.failed += 1
                self.reasons.append(f"{time.time():.3f} {self.kind}: {type(failed).__name__}: {failed}")
                connection = None
                time.sleep(0.01)
            if self._pause:
                self._ending.wait(max(0.0, self._pause - (time.monotonic() - began)))


def _version(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return "?"
    return str(said.get("version", "?")) if isinstance(said, dict) else "?"


def run(
    url: str, *, clients: int, rate: float, seconds: float, kinds: tuple[str, ...] = KINDS, minimum: int = 0
) -> Tally:
    """Loads until standard input ends and every kind has its minimum, or for `seconds` at most.

    Args:
        url: On loopback; GET asks its path, POST sends 512 bytes to `/echo`.
        clients: How many, dealt out evenly to the kinds.
        rate: Requests a second altogether; 0 is as many as go, but for fresh connections, which have a bound.
        seconds: The bound.
        kinds: Which of `KINDS`.
        minimum: Requests of each kind that are sent at least.

    Raises:
        ValueError: the address is not loopback.
    """
    if not ipaddress.ip_address(socket.gethostbyname(urlsplit(url).hostname or "")).is_loopback:
        raise ValueError(f"{url} is not on loopback")
    ending, input_ended = threading.Event(), threading.Event()

    def until_input_ends() -> None:
        sys.stdin.read()
        input_ended.set()

    threading.Thread(target=until_input_ends, daemon=True).start()
    dealt = [kinds[i % len(kinds)] for i in range(clients)]
    pause = clients / rate if rate else 0.0
    fresh = max(pause, sum(kind.endswith("fresh") for kind in dealt) / _FRESH)
    pool = [_Client(url, kind, ending, fresh if kind.endswith("fresh") else pause) for kind in dealt]
    began = time.monotonic()
    for client in pool:
        client.start()
    input_ended.wait(seconds)
    while time.monotonic() - began < seconds and _fewest(pool) < minimum:
        time.sleep(0.05)
    ending.set()
    for client in pool:
        client.join(_ANSWER_WITHIN + 5)
    tally, times = Tally(seconds=time.monotonic() - began), sorted(t for client in pool for t in client.times)
    tally.p99 = times[int(len(times) * 0.99)] if times else 0.0
    served: Counter[str] = Counter()
    for client in pool:
        tally.requests[client.kind] = tally.requests.get(client.kind, 0) + client.sent
        tally.failed[client.kind] = tally.failed.get(client.kind, 0) + client.failed
        tally.reasons += client.reasons[: 10 - len(tally.reasons)] if len(tally.reasons) < 10 else []
        served += client.served
    tally.served = dict(sorted(served.items()))
    return tally


def _fewest(pool: list[_Client]) -> int:
    """How many requests the kind with the fewest has sent."""
    sent: Counter[str] = Counter()
    for client in pool:
        sent[client.kind] += client.sent
    return min(sent.values())


class Load:
    """A load in a process of its own: `with Load(url) as load: …`, then `load.tally`."""

    def __init__(
        self,
        url: str,
        *,
        clients: int = 32,
        rate: float = 0,
        seconds: float = 600,
        kinds: tuple[str, ...] = KINDS,
        minimum: int = 0,
    ) -> None:
        self._argv = [
            *(sys.executable, "-m", "bench.load", url, "--clients", str(clients), "--rate", str(rate)),
            *("--seconds", str(seconds), "--minimum", str(minimum), "--kinds", *kinds),
        ]
        self.tally = Tally()

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        out, _ = self._process.communicate()  # closes standard input, which ends the load
        if error is None:
            self.tally = msgspec.json.decode(out, type=Tally)


def main() -> None:
    """`python -m bench.load URL`: prints the tally as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minimum", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    given = parser.parse_args()
    tally = run(
        given.url,
        clients=given.clients,
        rate=given.rate,
        seconds=given.seconds,
        kinds=tuple(given.kinds),
        minimum=given.minimum,
    )
    print(msgspec.json.encode(tally).decode())


if __name__ == "__main__":
    main()

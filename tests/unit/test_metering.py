"""The meter: what access lines say, how they are added up, and how it is asked; with real files and a real socket."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.inside.meter import Tail
from switchback.metering import (
    BOUNDS,
    KEPT,
    LOG_NAME,
    SOCKET_NAME,
    Aggregate,
    Cell,
    MeterError,
    Request,
    ask,
    bucket_of,
    parse,
    upper_bound,
)

_AT = 1_700_000_000


def line(container: str = "web", status: int = 200, latency: float | None = 0.01, at: float = _AT) -> bytes:
    """A line as nginx writes it."""
    return f"{at:.3f} {container} {status} {'-' if latency is None else f'{latency:.3f}'}".encode()


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("1700000000.123 test-web-blue-1.4.0 200 0.012", Request("test-web-blue-1.4.0", _AT, 200, 0.012)),
        ("1700000000.999 web 502 -", Request("web", _AT, 502, None)),
        ("1700000000.000 web 499 -", Request("web", _AT, 499, None)),
        ("1700000000.000 web 101 0.012", Request("web", _AT, 101, None)),
        ("1700000000.000 web 200 0.900, 0.020", Request("web", _AT, 200, 0.02)),
        ("1700000000.000 web 502 0.900, -", Request("web", _AT, 502, None)),
        ('{"ts":1700000000.9,"status":200,"latency_ms":12,"upstream":"web:80"}', Request("web", _AT, 200, 0.012)),
        ('{"ts":1700000000,"status":502,"latency_ms":null,"upstream":"web:80"}', Request("web", _AT, 502, None)),
        ('{"ts":1700000000,"status":101,"latency_ms":0.5,"upstream":"web:80"}', Request("web", _AT, 101, None)),
        ('{"level":"info","ts":1700000000,"status":0,"upstream":"web:80","x":{}}', Request("web", _AT, 0, None)),
    ],
)
def test_B4_a_line_of_either_proxy_tells_of_a_request(text: str, request_: Request) -> None:
    assert parse(text.encode()) == request_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "1700000000.123 - 503 -",
        "1700000000.123 web 200 soon",
        "1700000000.123 web 200 nan",
        "inf web 200 0.012",
        "1700000000.123 web",
        "{",
        '{"ts":1700000000,"status":404,"latency_ms":null,"upstream":null}',
        '{"ts":1700000000,"status":404,"upstream":""}',
        '{"ts":"yesterday","status":200,"upstream":"web:80"}',
    ],
)
def test_B4_a_line_that_tells_of_no_request_is_counted_as_strange(text: str) -> None:
    aggregate = Aggregate()
    aggregate.add(text.encode())
    assert (aggregate.since(0), aggregate.strange) == ({}, 1)


@given(st.binary())
def test_B4_no_line_stops_the_meter(text: bytes) -> None:
    Aggregate().add(text)
    Aggregate().add(b"{" + text)


@given(st.floats(min_value=0, max_value=1e5))
def test_B4_a_latency_is_within_a_tenth_of_its_buckets_bound(seconds: float) -> None:
    bound = upper_bound(bucket_of(seconds))
    assert seconds <= bound
    assert bound <= max(BOUNDS[0], seconds * 1.1)


def test_B4_bounds_are_their_own_buckets_and_no_latency_is_outside() -> None:
    assert [bucket_of(bound) for bound in BOUNDS] == [*range(len(BOUNDS))]
    assert upper_bound(8) == pytest.approx(0.0002)
    assert (bucket_of(-1), bucket_of(math.inf)) == (0, len(BOUNDS) - 1)


def test_B4_requests_are_added_up_by_container_and_second() -> None:
    aggregate = Aggregate()
    for text in (
        line(),
        line(latency=0.011),
        line(status=500),
        line(status=502, latency=None),
        line(status=499, latency=None),
        line(status=101, latency=0.5),
        line(at=_AT + 1),
        line(container="api"),
    ):
        aggregate.add(text)
    ten, eleven = bucket_of(0.010), bucket_of(0.011)
    assert aggregate.since(_AT) == {
        "web": [
            Cell(_AT, requests=6, errors=2, buckets={ten: 2, eleven: 1}),
            Cell(_AT + 1, requests=1, buckets={ten: 1}),
        ],
        "api": [Cell(_AT, requests=1, buckets={ten: 1})],
    }


def test_B4_a_span_takes_every_second_that_it_touches() -> None:
    aggregate = Aggregate()
    for second in (3, 1, 0, 2):
        aggregate.add(line(at=_AT + second))
    seen = aggregate.since(_AT + 0.5, _AT + 2)
    assert [cell.second - _AT for cell in seen["web"]] == [0, 1]
    assert aggregate.since(_AT + 4) == {}


def test_B4_what_is_far_from_now_is_forgotten_also_when_the_clock_stepped() -> None:
    aggregate = Aggregate()
    for at in (-KEPT - 1, -KEPT, 0, KEPT + 1):
        aggregate.add(line(at=_AT + at))
    aggregate.add(line(container="gone", at=_AT - 2 * KEPT))
    aggregate.prune(_AT)
    assert {name: [cell.second - _AT for cell in cells] for name, cells in aggregate.since(0).items()} == {
        "web": [-KEPT, 0]
    }


def test_B4_a_file_is_read_as_it_grows_and_no_line_twice(tmp_path: Path) -> None:
    log, aggregate = tmp_path / LOG_NAME, Aggregate()
    tail = Tail(log)
    tail.read(aggregate)  # there is none yet
    with log.open("ab", buffering=0) as out:
        _write(out.fileno(), 3)
        tail.read(aggregate)
        tail.read(aggregate)
        whole = line(at=time.time()) + b"\n"
        out.write(whole[:9])
        tail.read(aggregate)
        assert _count(aggregate) == 3
        out.write(whole[9:])
        tail.read(aggregate)
    assert (_count(aggregate), aggregate.strange) == (4, 0)


def test_B4_a_large_file_is_emptied_when_all_is_read(tmp_path: Path) -> None:
    log, aggregate = tmp_path / LOG_NAME, Aggregate()
    tail = Tail(log, large=1000)
    with log.open("ab", buffering=0) as out:
        _write(out.fileno(), 100)
        tail.read(aggregate)
        assert log.stat().st_size == 0
        _write(out.fileno(), 5)
        tail.read(aggregate)
        assert log.stat().st_size > 0
        # The last before the tmpfs was full is cut off; it must not keep it full.
        _write(out.fileno(), 100)
        out.write(b"1700000")
        tail.read(aggregate)
        assert log.stat().st_size == 0
        _write(out.fileno(), 1)
        tail.read(aggregate)
    assert (_count(aggregate), aggregate.strange) == (206, 1)


def test_B4_a_file_that_others_empty_remove_or_replace_is_followed(tmp_path: Path) -> None:
    log, aggregate = tmp_path / LOG_NAME, Aggregate()
    tail = Tail(log)
    with log.open("ab", buffering=0) as out:
        _write(out.fileno(), 10)
        tail.read(aggregate)
        os.truncate(log, 0)
        _write(out.fileno(), 1)
        tail.read(aggregate)
        assert _count(aggregate) == 11
        log.unlink()
        _write(out.fileno(), 1)
        tail.read(aggregate)
        assert _count(aggregate) == 12
        _write(out.fileno(), 1)
        with log.open("ab", buffering=0) as anew:
            _write(anew.fileno(), 2)
            tail.read(aggregate)
    assert _count(aggregate) == 15


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Path]:
    """A meter that runs; its directory."""
    process = _start(tmp_path)
    yield tmp_path
    process.kill()
    process.wait()


def test_B4_a_running_meter_tells_what_it_counted_up_to_the_question(meter: Path) -> None:
    now = time.time()
    assert _asked(meter) == 0
    with (meter / LOG_NAME).open("ab", buffering=0) as out:
        for round_ in range(1, 4):
            _write(out.fileno(), 100)
            assert _asked(meter) == 100 * round_
    assert ask(now + 60, now + 120, path=meter / SOCKET_NAME) == {}
    assert (meter / SOCKET_NAME).stat().st_mode & 0o777 == 0o600


def test_B4_nonsense_on_the_socket_harms_nobody_else(meter: Path) -> None:
    assert _asked(meter) == 0  # it listens
    for nonsense in (b"", b"\n", b"{}\n", b'{"since": "x", "until": 1}\n', b"x" * 10_000):
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(meter / SOCKET_NAME))
            wire.sendall(nonsense)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(meter / SOCKET_NAME))
        assert _asked(meter) == 0


def test_B4_a_meter_that_was_killed_counts_what_is_in_the_file_once(tmp_path: Path) -> None:
    first = _start(tmp_path)
    with (tmp_path / LOG_NAME).open("ab", buffering=0) as out:
        _write(out.fileno(), 50)
        assert _asked(tmp_path) == 50
        first.kill()
        first.wait()
        _write(out.fileno(), 7)
        second = _start(tmp_path)
        try:
            assert _asked(tmp_path) == 57
        finally:
            second.kill()
            second.wait()


def test_B4_a_meter_that_does_not_answer_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME
    with pytest.raises(MeterError, match=r"meter\.sock within 0\.1 s: No such file"):
        ask(0, 1, path=path, patience=0.1)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        with pytest.raises(MeterError, match="timed out"):
            ask(0, 1, path=path, patience=0.1)


def test_B4_an_answer_that_breaks_off_is_not_taken_for_less_traffic(tmp_path: Path) -> None:
    whole = msgspec.json.encode({"web": [Cell(1, requests=1)]})
    server = subprocess.Popen(
        [sys.executable, "-c", _BREAKS_OFF, str(tmp_path / SOCKET_NAME), whole[:-4].decode()], stdout=subprocess.PIPE
    )
    with server:
        assert server.stdout
        server.stdout.readline()
        with pytest.raises(MeterError):
            ask(0, 1, path=tmp_path / SOCKET_NAME, patience=0.3)
        server.kill()


_BREAKS_OFF = """
import socket, sys
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1])
door.listen()
print("listening", flush=True)
while True:
    wire, _ = door.accept()
    wire.recv(4096)
    wire.sendall(sys.argv[2].encode())
    wire.close()
"""


def _start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "switchback.inside.meter", str(folder)])


def _write(file: int, count: int) -> None:
    os.write(file, b"".join(line(at=time.time()) + b"\n" for _ in range(count)))


def _count(aggregate: Aggregate) -> int:
    return sum(cell.requests for cell in aggregate.since(0).get("web", []))


def _asked(folder: Path) -> int:
    now = time.time()
    cells = ask(now - 60, now + 1, path=folder / SOCKET_NAME, patience=20)
    return sum(cell.requests for cell in cells.get("web", []))

"""The probe against real sockets: which answers count, how many in a row, and that it always comes to an end."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from switchback.events import Event
from switchback.inside import probe
from switchback.specs import Gate, Place, Probe, Target, encode

PLACE = Place(environment="t", toolbox="t-toolbox", proxy="t-proxy", proxy_kind="caddy")
Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]


def plain(status: int, body: bytes = b"ok") -> Answer:
    """Always the same answer."""

    def answer(request: http.server.BaseHTTPRequestHandler, _number: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def failing_at(*numbers: int) -> Answer:
    """Passes, but for these requests (counted from one)."""
    return lambda request, number: plain(503 if number in numbers else 200)(request, number)


@contextmanager
def served(answer: Answer) -> Iterator[int]:
    """A service that answers so; its port."""
    asked = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal asked
            asked += 1
            answer(self, asked)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[Event]]]:
    """Runs the probe for services on these ports; its exit code, and what it told but for its process id."""

    def run(*ports: int, **more: Any) -> tuple[int, list[Event]]:
        targets = tuple(
            Target(
                service=f"s{number}",
                slot="green",
                release="2",
                version="2",
                container="127.0.0.1",
                port=port,
                probe=Probe(**{"interval": 0.01, "timeout": 20.0, **more}),
            )
            for number, port in enumerate(ports)
        )
        monkeypatch.setenv("SWITCHBACK_SPEC", encode(Gate(place=PLACE, targets=targets)))
        code = probe.main()
        first, *events = [msgspec.json.decode(line, type=Event) for line in capsys.readouterr().out.splitlines()]
        assert first.kind == "pid"
        return code, events

    return run


Ask = Callable[..., tuple[int, list[Event]]]


def test_B2_it_takes_n_passes_in_a_row(ask: Ask) -> None:
    asked: list[int] = []

    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        asked.append(number)
        failing_at(1, 2, 5)(request, number)

    with served(answer) as port:
        code, [event] = ask(port, passes=3)
    assert (code, event.kind, event.service) == (0, "fit", "s0")
    assert asked[-1] == 8  # two passes, a failure, and three passes


def test_B2_a_flapping_release_is_never_fit(ask: Ask) -> None:
    with served(lambda request, number: plain(200 if number % 2 else 503, b"flap")(request, number)) as port:
        code, [event] = ask(port, passes=2, timeout=0.5)
        assert (code, event.kind) == (1, "unfit")
        assert event.text.startswith("not fit within 0.5 s (")
        assert event.reasons == ("answered HTTP 503", "body: flap")
        assert ask(port, passes=1)[0] == 0


def test_B2_all_are_asked_side_by_side(ask: Ask) -> None:
    meeting = threading.Barrier(3)

    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            meeting.wait(15)
        plain(200)(request, number)

    with served(answer) as one, served(answer) as two, served(answer) as three:
        code, events = ask(one, two, three)
    assert code == 0
    assert {event.service for event in events if event.kind == "fit"} == {"s0", "s1", "s2"}


def test_B2_one_that_is_not_fit_is_enough(ask: Ask) -> None:
    with served(plain(200)) as fit, served(plain(500)) as unfit:
        code, events = ask(fit, unfit, passes=1, timeout=1.0)
    assert code == 1
    assert {event.service: event.kind for event in events} == {"s0": "fit", "s1": "unfit"}


def test_B2_nothing_that_listens_is_a_reason(ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        code, [event] = ask(port, timeout=0.2)
    assert code == 1
    assert event.reasons == (f"nothing listens on port {port}",)


@pytest.mark.parametrize("beginning", [b"", b"SSH-2.0-OpenSSH\r\n"])
def test_B2_what_does_not_speak_http_is_a_reason(ask: Ask, beginning: bytes) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler, _number: int) -> None:
        request.wfile.write(beginning)

    with served(answer) as port:
        code, [event] = ask(port, timeout=0.2)
    assert code == 1
    assert event.reasons[0].startswith(f"no HTTP answer on port {port}: ")


def test_B2_a_hanging_release_is_given_up_at_its_deadline(ask: Ask) -> None:
    over = threading.Event()
    with served(lambda _request, _number: (over.wait(20), None)[1]) as port:
        code, [event] = ask(port, timeout=0.4)
        over.set()
    assert code == 1
    assert event.reasons[0].startswith("no complete answer within 0.")


def test_B2_an_answer_that_never_ends_is_none(ask: Ask) -> None:
    over = threading.Event()

    def answer(request: http.server.BaseHTTPRequestHandler, _number: int) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        try:
            while not over.is_set():
                request.wfile.write(b"data: alive\n\n")
                time.sleep(0.02)
        except OSError:
            return

    with served(answer) as port:
        code, [event] = ask(port, timeout=0.5)
        over.set()
    assert code == 1
    assert event.reasons[0].startswith("no complete answer within 0.")


def test_B2_a_huge_body_is_not_read_to_the_end(ask: Ask) -> None:
    with served(plain(200, b"x" * (1 << 20))) as port:
        assert ask(port, passes=1)[0] == 0


def test_B2_a_heap_of_brackets_is_a_plain_2xx(ask: Ask) -> None:
    with served(plain(200, b"[" * 200_000)) as port:
        assert ask(port, passes=2)[0] == 0


def test_B2_another_version_is_not_fit_unless_any_will_do(ask: Ask) -> None:
    with served(plain(200, json.dumps({"version": "9"}).encode())) as port:
        code, [event] = ask(port, timeout=0.2)
        assert code == 1
        assert event.reasons == ("says version 9, expected 2 (health.expectVersion: false accepts any)",)
        code, [event] = ask(port, expect_version=False)
        assert (code, event.text) == (0, "9")


def test_B2_a_probe_that_breaks_does_not_pass(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(probe, "judge", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with served(plain(200)) as port:
        code, events = ask(port)
    assert (code, events) == (1, [])

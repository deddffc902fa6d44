"""The events: whatever pieces they come in, and whatever comes between them."""

from __future__ import annotations

import contextlib
import io
import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.events import Event, Listener, tell

events = st.builds(
    Event,
    kind=st.sampled_from(["pid", "progress", "fit", "unfit", "done", "failed"]),
    service=st.text(max_size=8),
    text=st.text(max_size=20),
    reasons=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    number=st.floats(allow_nan=False, allow_infinity=False),
)


def heard(pieces: list[bytes]) -> tuple[list[Event], str]:
    """The events in these pieces of output, and what else was in them."""
    found: list[Event] = []
    listener = Listener(found.append)
    for piece in pieces:
        listener.feed(piece)
    return found, listener.close()


def test_what_is_told_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event(kind="unfit", service="web", text="not fit", reasons=("a\nb", "ü"), number=1.5)
    tell(event)
    assert heard([capsys.readouterr().out.encode()]) == ([event], "")


@given(st.lists(events, max_size=5), st.data())
def test_events_are_put_together_from_any_pieces(told: list[Event], data: st.DataObject) -> None:
    output = b"".join(_line(event) for event in told)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=6)))
    edges = [0, *cuts, len(output)]
    pieces = [output[start:end] for start, end in itertools.pairwise(edges)]
    assert heard(pieces) == (told, "")


def _line(event: Event) -> bytes:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        tell(event)
    return out.getvalue().encode()


def test_several_threads_do_not_mix_their_lines(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    together = threading.Barrier(8)

    def talk(number: int) -> None:
        together.wait()
        for turn in range(100):
            tell(Event(kind="fit", service=str(number), number=turn))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told, rest = heard([capfdbinary.readouterr().out])
    assert rest == ""
    assert sorted((event.service, event.number) for event in told) == [
        (str(number), turn) for number in range(8) for turn in range(100)
    ]


def test_what_is_no_event_is_kept_as_it_came() -> None:
    told, rest = heard([b'Traceback:\n{"kind":"done"}\n{"kind":1}\n[]\n  boom', b"!"])
    assert told == [Event(kind="done")]
    assert rest == 'Traceback:\n{"kind":1}\n[]\n  boom!'


@given(st.binary(max_size=200))
def test_no_output_stops_the_listener(output: bytes) -> None:
    told, rest = heard([output, b"\n", _line(Event(kind="done"))])
    assert told[-1] == Event(kind="done")
    assert isinstance(rest, str)


@given(st.text(max_size=20))
def test_an_event_is_one_line_whatever_is_in_it(text: str) -> None:
    assert _line(Event(kind="failed", text=text, reasons=(text,))).count(b"\n") == 1

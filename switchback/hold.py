"""Holding requests for a moment, so that something can be changed under them which may not be seen half-done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.events import Event, Listener
from switchback.proxies.holding import FILE, FOLDER
from switchback.serving import still_serving
from switchback.specs import Hold, HoldReport, Place, decode, encode

_STARTS_WITHIN = 15.0  # seconds


class Held:
    """A hold, and when it is over what became of the requests."""

    report = HoldReport()


@contextmanager
def hold(engine: Engine, place: Place, seconds: float, limit: int = 1000) -> Iterator[Held]:
    """Lets requests wait at the proxy while the block runs, for `seconds` at most; then all go on at once.

    The proxy's configuration has to know of the holder (`Features.holder`). What comes beyond `limit` waiting requests
    gets a 503. If the block takes longer, or this process or the holder dies, requests go on without it.

    Raises:
        ProcedureFailed: nothing could be held; what came went on as ever.
        EngineError: when the Engine does not answer.
    """
    held, begun, said = Held(), threading.Event(), list[Event]()

    def heard(event: Event) -> None:
        said.append(event)
        begun.set()

    listener = Listener(heard)

    def run() -> None:
        try:
            argv, env = ("python3", "-m", "switchback.inside.holder"), {"SWITCHBACK_SPEC": encode(spec)}
            engine.exec(place.toolbox, argv, env=env, on_output=listener.feed)
        finally:
            begun.set()

    spec = Hold(seconds=seconds, limit=limit)
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(run)
        try:
            if not begun.wait(_STARTS_WITHIN) or not said:
                why = f"  {listener.close() or 'it does not start'}"
                raise ProcedureFailed("\n".join(["Requests cannot be held:", why, still_serving(engine, place)]))
            yield held
        finally:
            engine.exec(place.toolbox, ("rm", "-f", f"/run/switchback/{FOLDER}/{FILE}"))
            holding.result()
    if said[-1].kind == "done":
        held.report = decode(said[-1].text, HoldReport)

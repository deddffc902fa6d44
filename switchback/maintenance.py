"""Maintenance: users are turned away at the proxy, or let in again; no connection that is open is touched."""

from __future__ import annotations

from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.events import Event, Listener
from switchback.serving import still_serving
from switchback.specs import Maintain, encode

_WAY_OUT = "pulumi config set --path maintenance.enabled false && pulumi up"


def run(spec: Maintain) -> None:
    """Turns it on or off, or raises with everything as it was.

    Raises:
        ProcedureFailed: the proxy does not see it.
        EngineError: when the Engine does not answer.
    """
    if spec.idle:
        return
    engine = Engine()
    events: list[Event] = []
    listener = Listener(events.append)
    code, _ = engine.exec(
        spec.place.toolbox,
        ("python3", "-m", "switchback.inside.maintenance"),
        env={"SWITCHBACK_SPEC": encode(spec)},
        on_output=listener.feed,
    )
    last = events[-1] if events else Event(kind="broken", reasons=(listener.close() or f"exit code {code}",))
    if code != 0 or last.kind != "done":
        lines = [f"Maintenance was not turned {'on' if spec.on else 'off'}:", *(f"  {why}" for why in last.reasons)]
        next_step = "What to type next:\n  pulumi up   # try again, when the cause is mended"
        raise ProcedureFailed("\n".join([*lines, still_serving(engine, spec.place), next_step]))
    if spec.on:
        print(f"maintenance is on: users get HTTP 503 and the page. To let them in again: {_WAY_OUT}", flush=True)
    else:
        print("maintenance is off: users are let in again", flush=True)

"""Starts what changes the traffic in the toolbox, under a lease: two updates never do so at the same time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.events import Event, Listener
from switchback.lease import in_the_way, is_dead, own_lease
from switchback.record import Lease
from switchback.serving import still_serving
from switchback.specs import Analyse, Claim, Switch, decode, encode


def run_claimed(
    engine: Engine, spec: Switch | Analyse, module: str, *, seconds: float, on_event: Callable[[Event], None]
) -> tuple[int, Event]:
    """Runs a module in the toolbox, and takes over the lease of an update whose process is dead.

    Args:
        engine: The Docker Engine.
        spec: What the module is asked to do.
        module: Constant of the caller's.
        seconds: How long the lease has to last.
        on_event: Called with every event but the last.

    Returns:
        Exit code and last event.

    Raises:
        ProcedureFailed: another update holds the lease; nothing was changed.
    """
    bare = encode(msgspec.structs.replace(spec, way_back=()))
    over: Lease | None = None
    while True:
        events: list[Event] = []

        def heard(event: Event, events: list[Event] = events) -> None:
            for former in events:
                on_event(former)
            events[:] = [event]

        listener = Listener(heard)
        claim = Claim(lease=own_lease(seconds), over=over)
        code, _ = engine.exec(
            spec.place.toolbox,
            ("python3", "-m", module),
            env={"SWITCHBACK_SPEC": bare, "SWITCHBACK_CLAIM": encode(claim)},
            on_output=listener.feed,
        )
        # The exit code says it all: only the words are missing when the Engine lost what the module printed.
        silent = (
            Event(kind="done")
            if code == 0
            else Event(kind="broken", reasons=(listener.close() or f"exit code {code}",))
        )
        last = events[-1] if events else silent
        if last.kind != "held":
            return code, last
        holder = decode(last.text, Lease)
        if over is not None or not is_dead(holder):
            raise ProcedureFailed(
                f"Nothing was switched: {in_the_way(holder) or 'another update took the lease just now'}.\n"
                f"{still_serving(engine, spec.place)}\nWait for it, or end it, then run `pulumi up` again."
            )
        print(f"The update of {holder.who} was cut short; this one goes on in its place.", flush=True)
        over = holder

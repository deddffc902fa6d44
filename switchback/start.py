"""Containers that everything else needs, made to run again before anything is asked of them."""

from __future__ import annotations

from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.revive import revive
from switchback.serving import still_serving
from switchback.specs import Start


def run(spec: Start) -> None:
    """Starts what does not run.

    Raises:
        ProcedureFailed: one is gone, or does not stay up.
        EngineError: when the Engine does not answer, or refuses.
    """
    engine = Engine()
    for container in spec.containers:
        revive(engine, container)
        state = engine.inspect(container)
        if state is None or state.status != "running":
            log = [f"    | {line}" for line in engine.logs(container, 10)] if state else []
            what = f"{container} is {state.status if state else 'gone'}, and nothing can be done without it."
            raise ProcedureFailed("\n".join([what, *log, still_serving(engine, spec.place)]))

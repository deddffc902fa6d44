"""The embedded database made ready: it answers, and the application's role and database are there."""

from __future__ import annotations

from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.revive import revive
from switchback.specs import Provision, encode


def run(spec: Provision) -> None:
    """Waits for the database and provisions it.

    Raises:
        ProcedureFailed: it does not answer in time; with its last log lines.
        EngineError: when the Engine does not answer.
    """
    engine = Engine()
    revive(engine, spec.container)
    code, said = engine.exec(
        spec.place.toolbox, ("python3", "-m", "switchback.inside.provision"), env={"SWITCHBACK_SPEC": encode(spec)}
    )
    text = said.decode(errors="replace").strip()
    if code == 0:
        print(text, flush=True)
        return
    log = [f"    | {line}" for line in engine.logs(spec.container, 10)]
    raise ProcedureFailed("\n".join(["The database is not ready.", f"  {text}", *log]))

"""The switch: one rename for all services, verified through the proxy, taken back on failure."""

from __future__ import annotations

from switchback.claimed import run_claimed
from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.retire import retire
from switchback.serving import next_steps, still_serving
from switchback.specs import Switch

_OUTCOME = {
    "": "the proxy would not reach the releases, so nothing was switched.",
    "back": "the traffic did not arrive where it should, so it was switched back.",
    "kept": "the traffic did not arrive where it should, and there is no earlier release to switch back to.",
}
_LEASE = 120.0  # seconds: a rehearsal, a verification, and room for the procedure that comes next to take it over


def run(spec: Switch) -> None:
    """Switches, or raises with the pointer where it was.

    Raises:
        ProcedureFailed: the proxy does not hand the traffic to the releases; it was switched back.
        EngineError: when the Engine does not answer.
    """
    engine = Engine()
    code, last = run_claimed(engine, spec, "switchback.inside.switch", seconds=_LEASE, on_event=lambda _: None)
    if code != 0 or last.kind != "done":
        lines = [f"Switch failed: {_OUTCOME.get(last.text, last.text)}", *(f"  {reason}" for reason in last.reasons)]
        raise ProcedureFailed("\n".join([*lines, still_serving(engine, spec.place), *next_steps(spec.way_back)]))
    routed = ", ".join(target.label for target in spec.targets if target.routes) or "no routed service"
    if spec.place.proxy_kind == "none":
        print(f"Warning: proxy.kind is none, so no traffic was switched. Active from now on: {routed}.")
        for target in spec.targets:
            print(f"  {target.label}: {_direct_address(engine, target.container, target.port)}")
    else:
        part = "the traffic" if last.text in ("", "100") else f"{last.text} % of the traffic"
        print(f"{routed}: takes {part}; switched and verified in {last.number * 1000:.0f} ms", flush=True)
    if spec.retire:
        retire(engine, spec.retire)


def _direct_address(engine: Engine, container: str, port: int | None) -> str:
    state = engine.inspect(container)
    address = next(iter(state.addresses.values()), "") if state else ""
    return f"http://{address}:{port}" if address and port else "has no port"

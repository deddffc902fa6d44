"""The gate: releases are started where they are stopped, and must be fit before anything points to them."""

from __future__ import annotations

import threading
import time

import msgspec

from switchback.blot import blotted, secrets_in
from switchback.docker_host import ContainerState, Engine
from switchback.errors import EngineError, ProcedureFailed
from switchback.events import Event, Listener
from switchback.observation import LABEL
from switchback.observe import observe
from switchback.serving import next_steps, still_serving
from switchback.specs import Gate, Target, encode
from switchback.watch import Failure, crashed, looked_at, ran_steadily

_LOOK_EVERY = 0.2  # seconds between two looks at the containers
_LOG_LINES = 20
_GRACE = 10.0  # seconds for a container that crashes again and again to end before it is started afresh


def run(spec: Gate) -> None:
    """Opens the gate, or raises what a person has to read.

    Raises:
        ProcedureFailed: with release, causes, log lines, what is still serving and what to type next.
        EngineError: when the Engine does not answer.
    """
    engine = Engine()
    again: list[Target] = []
    refused: list[Failure] = []
    for target in spec.targets:
        try:
            again += [target] if _ensure_started(engine, target, spec) else []
        except EngineError as failed:
            # If the Engine answers to this, the container is what is wrong.
            seen = looked_at(engine, target) or Failure(target=target, cause="it cannot be started")
            refused.append(msgspec.structs.replace(seen, reasons=(*seen.reasons, str(failed))))
    failures = refused or _judge(engine, spec, again)
    if not failures:
        return
    report = "\n".join(_report(engine, spec, failures))
    if spec.advisory:
        # On standard output, with exit code 0: the standby is not what serves.
        print(f"Warning: the standby slot would not pass its gate, so a switch to it would be refused.\n{report}")
        return
    raise ProcedureFailed(report)


def _ensure_started(engine: Engine, target: Target, spec: Gate) -> bool:
    """Starts what is stopped. Returns whether it was given a fresh start after a crash."""
    state = engine.inspect(target.container)
    if state is None:
        return False  # the look at its state says so, with the rest
    again = False
    if state.status in ("created", "exited"):
        print(f"{target.label}: starting", flush=True)
        engine.start(target.container)
    elif state.status == "paused":
        print(f"{target.label}: is paused; letting it go on", flush=True)
        engine.unpause(target.container)
    elif crashed(state):
        # What it crashed on may be mended by now, and Docker waits for up to a minute before it tries again. The
        # crash is forgotten for that, so it has to run steadily this time. What serves is not interrupted.
        serving = observe(engine, spec.place.environment).pointed().values()
        if again := state.status == "restarting" or target.container not in serving:
            print(f"{target.label}: crashed before; starting it afresh", flush=True)
            engine.restart(target.container, _GRACE)
    try:
        engine.limit_pids(target.container, target.pids)
    except EngineError:
        if looked_at(engine, target) is None:
            raise
        # What has just ended cannot be limited, and the look at its state says that it has.
    return again


def _judge(engine: Engine, spec: Gate, again: list[Target]) -> list[Failure]:
    """Asks and watches side by side; the first release that is out of question ends it for all.

    Args:
        engine: The Docker Engine.
        spec: The gate.
        again: Targets that were started afresh: however well they answer, they have to run steadily too.
    """
    fit: set[str] = set()
    failures: list[Failure] = []
    asked = {target.service: target for target in spec.targets if target.port is not None}
    watch_only = [target for target in spec.targets if target.port is None]
    secrets = {target.service: _secrets(engine.inspect(target.container)) for target in asked.values()}
    pid = 0

    def heard(event: Event) -> None:
        nonlocal pid
        target = asked.get(event.service)
        match event.kind:
            case "pid":
                pid = int(event.number)
            case "progress" if target:
                print(f"{target.label}: not yet: {blotted(event.text, secrets[event.service])}", flush=True)
            case "fit" if target:
                fit.add(event.service)
                version = f", says version {blotted(event.text, secrets[event.service])}" if event.text else ""
                print(f"{target.label}: fit after {event.number:.1f} s{version}", flush=True)
            case "unfit" if target:
                reasons = tuple(blotted(reason, secrets[event.service]) for reason in event.reasons)
                failures.append(Failure(target=target, cause=event.text, reasons=reasons))

    listener, broken = Listener(heard), list[str]()

    def ask() -> None:
        question = msgspec.structs.replace(spec, targets=tuple(asked.values()), way_back=())
        argv = ("python3", "-m", "switchback.inside.probe")
        try:
            code, _ = engine.exec(
                spec.place.toolbox, argv, env={"SWITCHBACK_SPEC": encode(question)}, on_output=listener.feed
            )
        except EngineError as failed:
            broken.append(str(failed))
            return
        if code != 0 and not failures:
            broken.append(listener.close() or f"the probe ended with exit code {code}")

    # The watcher needs a connection of its own while the probe's output streams on the other.
    watcher = Engine()
    asking = threading.Thread(target=ask, daemon=True)
    if asked:
        asking.start()
    steady_since = time.monotonic()
    while True:
        if not failures:
            failures += [f for target in spec.targets if (f := looked_at(watcher, target))]
        waiting = [t for t in (*watch_only, *again) if not ran_steadily(watcher, t, steady_since)]
        if failures or broken or (not asking.is_alive() and not waiting):
            break
        asking.join(_LOOK_EVERY) if asking.is_alive() else time.sleep(_LOOK_EVERY)
    if asking.is_alive() and pid:
        # `kill` is a part of every shell, and a program of few images.
        watcher.exec(spec.place.toolbox, ("sh", "-c", 'kill "$0"', str(pid)))
    if not failures and not broken and (unsaid := sorted(asked.keys() - fit)):
        broken.append(listener.close() or f"the probe said nothing about {', '.join(unsaid)}")
    if broken and not failures:
        where = f"The gate could not be asked from {spec.place.toolbox}: {broken[0]}"
        raise ProcedureFailed("\n".join([where, still_serving(engine, spec.place), *next_steps(spec.way_back)]))
    for target in watch_only:
        if not failures:
            print(f"{target.label}: runs steadily", flush=True)
    return failures


def _report(engine: Engine, spec: Gate, failures: list[Failure]) -> list[str]:
    lines = []
    for failure in failures:
        lines.append(f"Gate failed: {failure.target.label}: {failure.cause}.")
        lines += [f"  {reason}" for reason in failure.reasons]
        log = _safe_log(engine, failure.target.container)
        if any("Read-only file system" in line for line in log):
            lines.append(f"  It needs to write: see services.{failure.target.service}.readOnly and .mounts.")
        lines.append(f"  Last {len(log)} lines of {failure.target.container}:" if log else "  It logged nothing.")
        lines += [f"    | {line}" for line in log]
    return [*lines, still_serving(engine, spec.place), *([] if spec.advisory else next_steps(spec.way_back))]


def _secrets(state: ContainerState | None) -> tuple[str, ...]:
    return secrets_in(state.env, state.labels.get(f"{LABEL}secret-env", "").split(",")) if state else ()


def _safe_log(engine: Engine, container: str) -> list[str]:
    """The last log lines, with the values of the container's secret variables blotted out."""
    secrets = _secrets(engine.inspect(container))
    return [
        "".join(c if c.isprintable() or c == "\t" else "?" for c in blotted(line, secrets))
        for line in engine.logs(container, _LOG_LINES)
    ]

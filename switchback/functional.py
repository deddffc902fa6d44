"""The functional gate: a user's own command has to succeed against the releases before anything points to them.

It runs in a container of its own, so that a deadline can end it whatever it is, it takes nothing from the release that
it tests, and nothing of it is left.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from switchback.blot import secrets_in
from switchback.errors import EngineError, ProcedureFailed
from switchback.observation import LABEL
from switchback.once import Ended, Once, Runner
from switchback.relay import Relay
from switchback.serving import next_steps, still_serving
from switchback.specs import Functional, Target

PART = "functional-gate"  # the label by which what an interrupted run left is found


def run(spec: Functional) -> None:
    """Runs one test, or raises what a person has to read.

    Raises:
        ProcedureFailed: with the test, how it ended, its last lines, what is still serving and what to type next.
        EngineError: when the Engine does not answer.
    """
    if spec.idle:
        return
    engine = Runner()
    relay = Relay(_secrets(engine, spec))
    slots = ", ".join(dict.fromkeys(target.slot for target in spec.targets))
    print(f"{spec.test.name}: runs against {slots}", flush=True)
    try:
        with _interruptible():
            cause = _cause(spec, _ran(engine, spec, relay))
    except KeyboardInterrupt:
        cause = "was interrupted, and its container removed"
    except EngineError as failed:
        cause = f"could not be run: {failed}"
    if not cause:
        print(f"{spec.test.name}: passed", flush=True)
        return
    if spec.advisory:
        # On standard output, with exit code 0: the traffic is back already, and that is what counts.
        print(f"Warning: the functional gate {spec.test.name} {cause}. The traffic stays where it is.")
        print("\n".join([*_said(relay), _serving(engine, spec)]), flush=True)
        return
    report = [f"Functional gate failed: {spec.test.name} {cause}.", *_said(relay), _serving(engine, spec)]
    raise ProcedureFailed("\n".join([*report, *next_steps(spec.way_back)]))


def variables(spec: Functional) -> dict[str, str]:
    """What the command finds in its environment; Switchback's own names win over the user's."""
    addressed = {target: f"http://{target.address}" for target in spec.targets if target.port is not None}
    # The way in that a user of the whole thing takes: the shortest path, and of two the first by name.
    routed = [target for target in addressed if target.routes]
    first = min(routed, key=lambda t: (min(len(route.path) for route in t.routes), t.service), default=None)
    told = {
        "SWITCHBACK_ENVIRONMENT": spec.place.environment,
        "SWITCHBACK_SLOT": (first or spec.targets[0]).slot,
        **({"SWITCHBACK_URL": addressed[first]} if first else {}),
        **{f"SWITCHBACK_URL_{_upper(target)}": url for target, url in addressed.items()},
        **{f"SWITCHBACK_RELEASE_{_upper(target)}": target.release for target in spec.targets},
    }
    return {**spec.test.env, **spec.test.secret_env, **told}


def _upper(target: Target) -> str:
    return target.service.upper().replace("-", "_")


def _secrets(engine: Runner, spec: Functional) -> tuple[str, ...]:
    """What is blotted out of the output: the test's own secrets, and those of every release."""
    found = set(secrets_in(spec.test.secret_env, spec.test.secret_env))
    for target in spec.targets:
        state = engine.inspect(target.container)
        found |= set(secrets_in(state.env, state.labels.get(f"{LABEL}secret-env", "").split(","))) if state else set()
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def _ran(engine: Runner, spec: Functional, relay: Relay) -> Ended:
    """Runs the command to its end or its deadline."""
    own = {f"{LABEL}environment": spec.place.environment, f"{LABEL}part": PART}
    for name in engine.remove_labelled(own):
        print(f"removed {name}, which an interrupted run had left", flush=True)
    if spec.test.image and not engine.image_id(spec.test.image):
        print(f"{spec.test.name}: pulling {spec.test.image}", flush=True)
        engine.pull(spec.test.image, spec.test.timeout)
    ended = engine.run_once(_container(engine, spec, own), spec.test.timeout, relay.feed)
    relay.close()
    return ended


def _container(engine: Runner, spec: Functional, labels: dict[str, str]) -> Once:
    toolbox = engine.inspect(spec.place.toolbox)
    if toolbox is None or not toolbox.addresses:
        raise EngineError(f"{spec.place.toolbox} is not there, so neither is the environment's network")
    test, hidden = spec.test, ",".join(sorted(spec.test.secret_env))
    given: dict[str, Any] = {
        # Unlike a release's name, and never one that is taken: what is left of it is found by its labels.
        "name": f"{spec.place.environment}-gate-{test.name}-{secrets.token_hex(3)}",
        "command": test.command,
        "env": variables(spec),
        "network": next(iter(toolbox.addresses)),
        "labels": {**labels, f"{LABEL}secret-env": hidden},
    }
    if test.container:
        return engine.like(test.container, **given)
    return Once(
        image=test.image,
        memory=test.memory,
        cpus=test.cpus,
        pids=test.pids,
        read_only=test.read_only,
        **given,
    )


def _cause(spec: Functional, ended: Ended) -> str:
    """How it failed, to stand after its name; empty when it passed."""
    if ended.exit_code is None:
        return f"was not done within {spec.test.timeout:g} s, and was ended"
    if ended.oom_killed:
        where = f"services.{_service(spec)}" if spec.test.container else "its gate"
        return f"was killed for memory: raise resources.memory of {where}"
    hint = {126: ", which is a program that cannot be run", 127: ", which is a program that is not there"}
    return f"ended with exit code {ended.exit_code}{hint.get(ended.exit_code, '')}" if ended.exit_code else ""


def _service(spec: Functional) -> str:
    return next((t.service for t in spec.targets if t.container == spec.test.container), "?")


def _said(relay: Relay) -> list[str]:
    last = list(relay.last)
    return [f"  Last {len(last)} lines of it:", *(f"    | {line}" for line in last)] if last else ["  It said nothing."]


def _serving(engine: Runner, spec: Functional) -> str:
    try:
        return still_serving(engine, spec.place)
    except EngineError as failed:
        return f"Nothing was switched. {failed}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Takes a SIGTERM as Ctrl-C is taken: what was begun is cleared away."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""The analysis: releases that have taken traffic are watched, and lose it when they do worse than those before them."""

from __future__ import annotations

import msgspec

from switchback import functional
from switchback.claimed import run_claimed
from switchback.docker_host import Engine
from switchback.errors import EngineError, ProcedureFailed
from switchback.events import Event
from switchback.observe import observe
from switchback.retire import retire
from switchback.serving import next_steps, still_serving
from switchback.specs import Analyse, Functional

_OUTCOME = {
    "back": "so all traffic was taken back{seconds}.",
    "left": "and autoRollback is false, so it still has the traffic.",
    "dead": "BUT THERE IS NOTHING TO GO BACK TO: the release before it does not answer. It still has the traffic.",
}
_SLACK = 60.0  # seconds of the lease beyond the bakes: the turns between them, and what leaves afterwards


def run(spec: Analyse) -> None:
    """Watches a trial to its end; where none is under way there is nothing to do.

    Raises:
        ProcedureFailed: with the figures; all traffic was taken back, or the report says why not.
        EngineError: when the Engine does not answer. The watch in the toolbox goes on by itself.
    """
    engine = Engine()
    names = ", ".join(target.label for target in spec.targets if target.routes)

    def heard(event: Event) -> None:
        match event.kind:
            case "progress":
                for reason in event.reasons:
                    print(f"{reason} ({event.number:.0f} s of {spec.bake:g} s)", flush=True)
            case "step":
                print(f"{names}: takes {event.number:.0f} % of the traffic", flush=True)
            case "inconclusive":
                print("Warning: the analysis is inconclusive, and the release keeps the traffic:")
                for reason in event.reasons:
                    print(f"  {reason}", flush=True)

    longest = spec.bake * max(1, len(spec.shares)) + (spec.retire.drain if spec.retire else 0) + _SLACK
    code, last = run_claimed(engine, spec, "switchback.inside.analysis", seconds=longest, on_event=heard)
    if code != 0 or last.kind != "done":
        report = "\n".join(_report(engine, spec, last))
        if last.text.partition("-")[0] == "back":
            _test_what_serves(engine, spec)
        raise ProcedureFailed(report)
    if last.text == "none":
        return
    for reason in last.reasons:
        print(f"{reason}: accepted", flush=True)
    if last.text:
        print(f"Warning: the release before it does not answer any more, so there is no quick way back: {last.text}")
    if spec.retire:
        retire(engine, spec.retire)


def _test_what_serves(engine: Engine, spec: Analyse) -> None:
    """The user's own tests against the releases that have the traffic back: they say so, and fail nothing more."""
    seen = observe(engine, spec.place.environment)
    pointed = seen.pointed()
    targets = []
    for target in spec.targets:
        held = seen.containers.get(pointed.get(target.service, ""))
        if held:
            targets.append(held.as_target(target))
    now = {target.service: target.container for target in targets}
    moved = {target.container: now.get(target.service, "") for target in spec.targets}
    for test in spec.tests:
        test = msgspec.structs.replace(test, container=moved.get(test.container, ""))
        functional.run(Functional(place=spec.place, targets=tuple(targets), test=test, advisory=True))


def _report(engine: Engine, spec: Analyse, last: Event) -> list[str]:
    """What failed, what became of it, what serves, and what to type next."""
    if last.kind == "lost":
        what = "another update took over, and this one left everything as it is."
        return [f"Analysis ended: {what}", still_serving(engine, spec.place)]
    if last.kind == "broken":
        what = "the release still has the traffic, and the next `pulumi up` watches it again."
        lines = [f"Analysis broke off: {what}", *(f"  {reason}" for reason in last.reasons)]
        return [*lines, still_serving(engine, spec.place), *next_steps(["pulumi up   # watch it again"])]
    outcome, _, inconclusive = last.text.partition("-")
    seconds = f" {last.number:.1f} s after the switch" if outcome == "back" else ""
    what = "is inconclusive, and onInconclusive is revert," if inconclusive else "failed,"
    lines = [f"Analysis {what} {_OUTCOME[outcome].format(seconds=seconds)}"]
    lines += [f"  {reason}" for reason in last.reasons]
    if outcome == "back":
        lines += _stopped(engine, spec)
    return [*lines, still_serving(engine, spec.place), *next_steps(spec.way_back)]


def _stopped(engine: Engine, spec: Analyse) -> list[str]:
    """Stops the workers of the release that was taken back: the old ones still run, and are enough."""
    stopped = []
    for target in spec.targets:
        if not target.routes:
            try:
                engine.stop(target.container, 10.0)
                stopped.append(target.container)
            except EngineError:
                continue  # what the report says comes first
    return [f"  Stopped: {', '.join(stopped)}."] if stopped else []

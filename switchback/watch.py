"""The look at a release's container: what the Engine says against it, whatever the release answers itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec

from switchback.docker_host import ContainerState, Engine
from switchback.specs import Target

_CRASHED_LATELY = 30.0  # seconds: a restart within them is a crash-loop, an older one is history


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why one release is not fit."""

    target: Target
    cause: str
    reasons: tuple[str, ...] = ()


def looked_at(engine: Engine, target: Target) -> Failure | None:
    """What the Engine says against a release, whatever it answers itself."""
    state = engine.inspect(target.container)
    # Docker restarts what crashed, and a container that runs shows no exit code any more.
    restarted = state is not None and state.status == "running" and crashed(state)
    ended = engine.last_exit_code(state.id, state.finished_at) if state and restarted else None
    return judged(target, state, ended)


def judged(target: Target, state: ContainerState | None, ended: int | None = None) -> Failure | None:
    """The Engine's view of a release as a failure, or None when it simply runs.

    Args:
        target: The release.
        state: Its container; None when there is none.
        ended: For one that runs again after a crash, the exit code of that crash; None when it is not known.
    """
    if state is None:
        return Failure(target=target, cause=f"its container {target.container} does not exist")
    if state.status == "running" and not crashed(state):
        return None
    if state.status in ("created", "paused"):
        doing = {"created": "was never started", "paused": f"is paused (docker unpause {state.name})"}[state.status]
        return Failure(target=target, cause=f"its container {doing}")
    code = ended if state.status == "running" else state.exit_code
    restarts = state.restart_count
    times = f", restarted {'once' if restarts == 1 else f'{restarts} times'}" if restarts else ""
    limit = f"{state.memory_limit >> 20} MiB"
    if state.oom_killed:
        return Failure(
            target=target,
            cause=f"was killed for memory (limit {limit}){times}",
            reasons=(f"raise services.{target.service}.resources.memory, or mend what eats it",),
        )
    how = "" if code is None else f" with exit code {code}"
    by_whom = (f"137 is SIGKILL: by hand, or for memory (limit {limit})",) if code == 137 else ()
    return Failure(target=target, cause=f"its container ended{how}{times}", reasons=by_whom)


def crashed(state: ContainerState) -> bool:
    """Whether it ended by itself just now: Docker restarts it, so it may look alive at this moment."""
    if state.status in ("restarting", "dead"):
        return True
    return state.restart_count > 0 and _seconds_since(state.finished_at) < _CRASHED_LATELY


def ran_steadily(engine: Engine, target: Target, since: float) -> bool:
    """Whether it has run for as long as `health.steady` asks; or since that time of our monotonic clock."""
    state = engine.inspect(target.container)
    if state is None or state.status != "running":
        return False
    ran = min(_seconds_since(state.started_at), target.probe.timeout)
    return ran >= target.probe.steady or time.monotonic() - since >= target.probe.steady


def _seconds_since(moment: str) -> float:
    """Seconds since a time of the Engine's, `2026-01-31T03:04:05.678901234Z`; never is long ago."""
    if moment.startswith("0001-"):
        return float("inf")
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()

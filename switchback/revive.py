"""What is stopped or paused is made to run again."""

from __future__ import annotations

from switchback.docker_host import Engine


def revive(engine: Engine, container: str) -> bool:
    """Starts a container that is stopped, and lets one go on that is paused; says so.

    Returns:
        Whether there was anything to do. One that does not exist, or that Docker starts again and again, is left.
    """
    state = engine.inspect(container)
    if state is None or state.status not in ("created", "exited", "paused"):
        return False
    paused = state.status == "paused"
    print(f"{container} is {state.status}: {'letting it go on' if paused else 'starting it'}", flush=True)
    (engine.unpause if paused else engine.start)(container)
    return True

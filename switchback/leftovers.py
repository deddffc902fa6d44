"""Room for what is about to be made: what is left in Docker under its name is removed, or set aside.

A `pulumi` that is killed between Docker's "made" and its own note of it leaves a container or a network that its
state does not know, and the next update would fail over the name for ever. And a container that somebody put in the
place of one of ours keeps what it holds: it is renamed and stopped, never removed.
"""

from __future__ import annotations

import time

from switchback.docker_host import Engine
from switchback.errors import EngineError
from switchback.observation import ENVIRONMENT
from switchback.observe import observe

_GRACE = 10.0  # seconds for what is set aside to end


def remove_leftover_container(environment: str, name: str) -> None:
    """Makes room for a container that is about to be made: a leftover is removed, a stranger is set aside.

    Raises:
        EngineError: it only happens to have the name, or takes traffic; it is left alone.
    """
    engine = Engine()
    held = engine.inspect(name)
    if held is None:
        return
    seen = observe(engine, environment)
    if name in seen.strangers:
        aside = f"{name}-replaced-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
        engine.set_aside(held.id, aside, _GRACE)
        return
    if held.labels.get(ENVIRONMENT) != environment:
        raise EngineError(
            f"The name {name} is taken by a container that is not of this environment, and is left alone."
            f" Rename it, or remove it with `docker rm -f {name}`; then run `pulumi up` again."
        )
    if name in seen.pointed().values():
        raise EngineError(
            f"{name} takes traffic, but the state of this stack does not know it; it is left alone and still serves."
            " Bring back the state (a backup lies beside it) and run `pulumi up` again."
        )
    engine.remove(held.id)


def remove_leftover_network(environment: str, name: str) -> None:
    """Removes an empty network of this environment that Pulumi is about to make; any other is left alone."""
    Engine().remove_network(name, {ENVIRONMENT: environment})

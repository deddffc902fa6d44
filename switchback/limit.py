"""The bound on processes and threads, which the Docker provider has no field for."""

from __future__ import annotations

from switchback.docker_host import Engine
from switchback.specs import Limit


def run(spec: Limit) -> None:
    """Sets the bounds; they hold over restarts of a container.

    Raises:
        EngineError: when the Engine does not answer, or a container is gone.
    """
    engine = Engine()
    for container, pids in sorted(spec.pids.items()):
        engine.limit_pids(container, pids)

"""How every container is held: what is the same for services, proxy, database and toolbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi_docker as docker

from components.values import Resources
from switchback.observation import LABEL

_CPU_PERIOD = 100_000  # microseconds, the kernel's default
_LOG = {"max-size": "10m", "max-file": "3"}  # without a bound, a talkative service fills the host's disk


def hardened(resources: Resources, *, capabilities: Sequence[str] = (), read_only: bool = True) -> dict[str, Any]:
    """The arguments of a container that may do no more than it needs.

    The limit of processes is set when the container starts (`Engine.limit_pids`): the provider has no field for it.
    """
    megabytes = resources.memory >> 20
    return {
        "security_opts": ["no-new-privileges:true"],
        "capabilities": docker.ContainerCapabilitiesArgs(
            drops=["ALL"], adds=[f"CAP_{name.removeprefix('CAP_')}" for name in capabilities] or None
        ),
        "read_only": read_only,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,size=256m"},  # noqa: S108 - inside the container
        "memory": megabytes,
        "memory_swap": megabytes,
        # As period and quota: the provider reads `cpus` back in another spelling, which would be a change for ever.
        "cpu_period": _CPU_PERIOD,
        "cpu_quota": round(resources.cpus * _CPU_PERIOD),
        "init": True,  # reaps zombies, and hands SIGTERM to programs that ignore it as process 1
        "restart": "unless-stopped",
        # The provider's Read forgets a stopped container that must run; gate and observation look after that.
        "must_run": False,
        "log_driver": "json-file",
        "log_opts": _LOG,
    }


def labels(environment: str, **more: str) -> list[docker.ContainerLabelArgs]:
    """The labels by which Switchback finds its own, sorted by name."""
    named: Mapping[str, str] = {"environment": environment, **more}
    return [docker.ContainerLabelArgs(label=f"{LABEL}{k.replace('_', '-')}", value=v) for k, v in sorted(named.items())]

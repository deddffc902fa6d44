"""ProcessLimits: the environment's own containers may not hold more processes than their settings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.procedure import upkeep
from components.values import Resources
from switchback.specs import Limit, encode


@dataclass(frozen=True, kw_only=True)
class ProcessLimitsArgs:
    """The containers, each with the settings that its limit stands in."""

    parts: Sequence[tuple[docker.Container, Resources]]


class ProcessLimits(pulumi.ComponentResource):
    """Set anew for every new container; the gate does the same for releases, which come and go."""

    command: local.Command

    def __init__(self, name: str, args: ProcessLimitsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:ProcessLimits", name, {}, opts)
        limits = [resources.pids for _, resources in args.parts]
        spec = pulumi.Output.all(*(container.id for container, _ in args.parts)).apply(
            lambda ids: encode(Limit(pids=dict(sorted(zip(ids, limits, strict=True)))))
        )
        self.command = upkeep(f"{name}-set", "limit", spec, parent=self)
        self.register_outputs({})

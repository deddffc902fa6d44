"""HealthGate: all releases that are to take traffic together are fit, or none of them takes any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.procedure import procedure
from switchback.specs import Gate, encode


@dataclass(frozen=True, kw_only=True)
class HealthGateArgs:
    """What is asked, and why now."""

    gate: Gate
    due: str | None
    after: Sequence[pulumi.Resource]


class HealthGate(pulumi.ComponentResource):
    """Asks every release through the toolbox, on the path that the proxy will use."""

    command: local.Command

    def __init__(self, name: str, args: HealthGateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:HealthGate", name, {}, opts)
        self.command = procedure(
            f"{name}-check", "gate", encode(args.gate), due=args.due, parent=self, depends_on=args.after
        )
        self.register_outputs({"said": self.command.stdout})

"""TrafficSwitch: one rename moves all services to their declared releases; what had traffic is drained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.procedure import procedure
from switchback.specs import Switch, encode


@dataclass(frozen=True, kw_only=True)
class TrafficSwitchArgs:
    """Where the traffic goes, and why now."""

    switch: Switch
    due: str | None
    after: Sequence[pulumi.Resource]


class TrafficSwitch(pulumi.ComponentResource):
    """After this, and only after this, the other slot may be touched."""

    command: local.Command

    def __init__(self, name: str, args: TrafficSwitchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:TrafficSwitch", name, {}, opts)
        self.command = procedure(
            f"{name}-turn", "switch", encode(args.switch), due=args.due, parent=self, depends_on=args.after
        )
        self.register_outputs({"said": self.command.stdout})

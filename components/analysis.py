"""Analysis: what has taken traffic proves itself, or all of the traffic goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.procedure import procedure
from switchback.specs import Analyse, encode


@dataclass(frozen=True, kw_only=True)
class AnalysisArgs:
    """What is watched, and why now."""

    analyse: Analyse
    due: str | None
    after: Sequence[pulumi.Resource]
    secret: bool = False  # whether a test that it may run has secrets


class Analysis(pulumi.ComponentResource):
    """After this, and only after this, the other slot may be touched, where there is an analysis."""

    command: local.Command

    def __init__(self, name: str, args: AnalysisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Analysis", name, {}, opts)
        spec = encode(args.analyse)
        self.command = procedure(
            f"{name}-bake",
            "analysis",
            pulumi.Output.secret(spec) if args.secret else spec,
            due=args.due,
            parent=self,
            depends_on=args.after,
        )
        self.register_outputs({"said": self.command.stdout})

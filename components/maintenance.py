"""Maintenance: users are turned away before anything changes, and let in again after all has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.maintenance_models import MaintenanceSettings
from components.procedure import procedure
from switchback import specs
from switchback.proxies.maintenance import DEFAULT_PAGE
from switchback.specs import Maintain, Place, encode


def feature(settings: MaintenanceSettings) -> specs.Maintenance | None:
    """What the proxy's configuration has to know; nothing where the stack says nothing about maintenance."""
    if not settings.configured:
        return None
    return specs.Maintenance(
        page=DEFAULT_PAGE if settings.page is None else settings.page,
        retry_after=math.ceil(settings.retry_after),
        allow=tuple(sorted(set(settings.allow))),
    )


@dataclass(frozen=True, kw_only=True)
class MaintenanceArgs:
    """Whether it is on, and why something has to be done about it now."""

    settings: MaintenanceSettings
    place: Place
    due: str | None
    after: Sequence[pulumi.Resource]


class Maintenance(pulumi.ComponentResource):
    """One file on the shared volume, which the proxy looks at."""

    command: local.Command

    def __init__(self, name: str, args: MaintenanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Maintenance", name, {}, opts)
        settings = args.settings
        spec = Maintain(place=args.place, on=settings.enabled, told=settings.configured, idle=args.due is None)
        self.command = procedure(
            f"{name}-turn", "maintenance", encode(spec), due=args.due, parent=self, depends_on=args.after
        )
        self.register_outputs({"said": self.command.stdout})

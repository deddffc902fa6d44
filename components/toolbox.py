"""Toolbox: the container on the environment's network in which gates ask and switches turn."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.hardening import hardened, labels
from components.models import ToolboxSettings
from components.names import part_name
from components.procedure import procedure
from switchback.observation import LABEL
from switchback.specs import Place, Start, encode

USER = "10001:10001"  # the toolbox image's own; the proxy runs as it too, so both may write the shared volume
_METER_OPTIONS = "size=32m,uid=10001,gid=10001,mode=0750,nosuid,nodev,noexec"


def shared(state: pulumi.Input[str], meter: pulumi.Input[str]) -> list[docker.ContainerVolumeArgs]:
    """The volumes that toolbox and proxy share, where both have them."""
    return [
        docker.ContainerVolumeArgs(volume_name=state, container_path="/run/switchback"),
        docker.ContainerVolumeArgs(volume_name=meter, container_path="/run/meter"),
    ]


@dataclass(frozen=True, kw_only=True)
class ToolboxArgs:
    """Where it runs, and from what."""

    environment: str
    settings: ToolboxSettings
    image_id: str  # of the image as the Engine has it now, so that a rebuilt image is a change
    network: pulumi.Input[str]
    place: Place
    due: str | None


class Toolbox(pulumi.ComponentResource):
    """Holds this package and the volumes that it shares with the proxy: pointer and configuration, access lines."""

    container: docker.Container
    ready: local.Command
    volume: docker.Volume
    meter: docker.Volume

    def __init__(self, name: str, args: ToolboxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Toolbox", name, {}, opts)
        own = pulumi.ResourceOptions(parent=self)
        self.volume = docker.Volume(
            f"{name}-state",
            name=part_name(args.environment, "state"),
            labels=[docker.VolumeLabelArgs(label=f"{LABEL}environment", value=args.environment)],
            opts=own,
        )
        # In memory: it takes a line for every request, and a proxy that nobody reads after can fill no disk. Its pages
        # count as the memory of who wrote them, which is the proxy.
        self.meter = docker.Volume(
            f"{name}-meter",
            name=part_name(args.environment, "meter"),
            driver="local",
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": _METER_OPTIONS},
            labels=[docker.VolumeLabelArgs(label=f"{LABEL}environment", value=args.environment)],
            opts=own,
        )
        image = docker.RemoteImage(
            f"{name}-image",
            name=args.settings.image,
            keep_locally=True,
            pull_triggers=[args.image_id] if args.image_id else None,
            opts=own,
        )
        self.container = docker.Container(
            f"{name}-container",
            name=part_name(args.environment, "toolbox"),
            image=image.image_id,
            user=USER,
            labels=labels(args.environment, part="toolbox"),
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=args.network)],
            volumes=shared(self.volume.name, self.meter.name),
            destroy_grace_seconds=1,
            **hardened(args.settings.resources),
            # Its name is fixed, so the old one has to go first; nothing serves through it.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.ready = procedure(
            f"{name}-ready",
            "start",
            encode(Start(place=args.place, containers=(part_name(args.environment, "toolbox"),))),
            due=args.due,
            parent=self,
            depends_on=[self.container],
        )
        self.register_outputs({"container": self.container.name})

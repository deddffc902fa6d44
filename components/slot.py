"""Slot: one release of one service, reachable on the environment's network by its release name."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.hardening import hardened, labels
from components.image import Image
from components.models import ServiceSettings
from switchback.specs import Target


@dataclass(frozen=True, kw_only=True)
class SlotArgs:
    """What a release is made from, in the hour in which it is made."""

    environment: str
    target: Target
    service: ServiceSettings
    slot_env: dict[str, str]
    made_from: str  # the settings as JSON text, for the container to say what it was made from
    network: pulumi.Input[str]
    database_url: pulumi.Input[str] | None
    started: bool  # a worker of the standby slot is made, but not started
    after: Sequence[pulumi.Resource]
    image: Image | None = None  # builds the image, where that is configured
    image_missing: bool = False  # the Docker host has none of that name, and the release is going to be made


class Slot(pulumi.ComponentResource):
    """One release of one service. Immutable: a new release is a new resource beside this one."""

    address: pulumi.Output[str]
    image_id: pulumi.Output[str]
    container: docker.Container

    def __init__(self, name: str, args: SlotArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Slot", name, {}, opts)
        service, target = args.service, args.target
        image = docker.RemoteImage(
            f"{name}-{target.release}-image",
            name=f"{service.image}:{target.version}",
            keep_locally=True,  # the way back must not depend on the registry
            # The state may know one that was removed from the host since: what is never the same twice brings it back.
            pull_triggers=[uuid.uuid4().hex[:8]] if args.image_missing else None,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*args.after, *([args.image.command] if args.image else [])],
                ignore_changes=None if args.image_missing else ["*"],
            ),
        )
        self.container = docker.Container(
            f"{name}-{target.release}",
            name=target.container,
            image=image.image_id,
            command=list(service.command) if service.command else None,
            user=service.user,
            envs=_environment(args),
            labels=labels(
                args.environment,
                service=target.service,
                slot=target.slot,
                release=target.release,
                tag=target.version,
                settings=args.made_from,
                secret_env=",".join(_secret_names(args)),
            ),
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=args.network)],
            mounts=[
                docker.ContainerMountArgs(
                    type="bind" if mount.source.startswith("/") else "volume",
                    source=mount.source,
                    target=mount.target,
                    read_only=mount.read_only,
                )
                for mount in service.mounts
            ],
            start=args.started,
            wait=False,
            destroy_grace_seconds=10,
            **hardened(service.resources, capabilities=service.capabilities, read_only=service.read_only),
            # Made once from the settings of that hour, and never changed again: that is the exact rollback.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*args.after], delete_before_replace=False, ignore_changes=["*"]
            ),
        )
        self.address = self.container.name.apply(lambda host: f"{host}:{target.port}" if target.port else host)
        self.image_id = image.image_id
        self.register_outputs({"address": self.address, "image_id": self.image_id})


def _secret_names(args: SlotArgs) -> list[str]:
    return sorted([*args.service.secret_env, *(["DATABASE_URL"] if args.database_url is not None else [])])


def _environment(args: SlotArgs) -> pulumi.Output[list[str]]:
    """The container's variables as `NAME=value`; the slot's own win, and the whole is secret if one is."""
    plain: dict[str, pulumi.Input[str]] = {
        "SWITCHBACK_SERVICE": args.target.service,
        "SWITCHBACK_SLOT": args.target.slot,
        "SWITCHBACK_RELEASE": args.target.release,
    }
    if args.database_url is not None:
        plain["DATABASE_URL"] = args.database_url
    plain |= args.service.env
    plain |= {name: pulumi.Output.secret(held.get_secret_value()) for name, held in args.service.secret_env.items()}
    plain |= args.slot_env
    return pulumi.Output.all(**plain).apply(lambda known: [f"{name}={value}" for name, value in sorted(known.items())])

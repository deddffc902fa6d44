"""Database: PostgreSQL beside the services, with a role that owns its database and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.database_models import DatabaseSettings
from components.hardening import hardened, labels
from components.names import part_name
from components.procedure import procedure
from switchback.observation import LABEL
from switchback.specs import Place, Provision, encode

ROLE = DATABASE = "app"


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """Where it runs, and from what."""

    settings: DatabaseSettings
    place: Place
    network: pulumi.Input[str]
    due: str | None
    after: Sequence[pulumi.Resource]


class Database(pulumi.ComponentResource):
    """The embedded PostgreSQL. It publishes no port; services reach it by `url`."""

    container: docker.Container
    url: pulumi.Output[str]
    ready: local.Command

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Database", name, {}, opts)
        environment = args.place.environment
        # Passwords are made once and live, encrypted, in the state: inputs that are ignored when they change.
        passwords = local.Command(
            f"{name}-passwords",
            create="true",
            environment={
                kind: pulumi.Output.secret(secrets.token_urlsafe(24)) for kind in ("SUPERUSER", "APPLICATION")
            },
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["*"], additional_secret_outputs=["environment"]),
        ).environment
        superuser = passwords.apply(lambda known: (known or {})["SUPERUSER"])
        application = passwords.apply(lambda known: (known or {})["APPLICATION"])
        volume = docker.Volume(
            f"{name}-data",
            name=part_name(environment, "database"),
            labels=[docker.VolumeLabelArgs(label=f"{LABEL}environment", value=environment)],
            opts=pulumi.ResourceOptions(parent=self),
        )
        image = docker.RemoteImage(
            f"{name}-image", name=args.settings.image, keep_locally=True, opts=pulumi.ResourceOptions(parent=self)
        )
        self.container = docker.Container(
            f"{name}-container",
            name=part_name(environment, "database"),
            image=image.image_id,
            user="postgres",
            envs=superuser.apply(lambda known: [f"POSTGRES_PASSWORD={known}"]),
            labels=labels(environment, part="database", secret_env="POSTGRES_PASSWORD"),  # noqa: S106 - a name
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=args.network)],
            volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path="/var/lib/postgresql/data")],
            destroy_grace_seconds=30,
            **{
                **hardened(args.settings.resources),
                "tmpfs": {
                    "/tmp": "rw,nosuid,nodev",  # noqa: S108
                    "/run/postgresql": "rw,nosuid,nodev,mode=1777",
                },
            },
            # Two servers must never share one data directory.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.url = pulumi.Output.secret(
            pulumi.Output.concat("postgresql://", ROLE, ":", application, "@", self.container.name, ":5432/", DATABASE)
        )
        self.ready = procedure(
            f"{name}-ready",
            "provision",
            pulumi.Output.all(superuser, application).apply(
                lambda known: encode(
                    Provision(
                        place=args.place,
                        container=part_name(environment, "database"),
                        superuser_password=known[0],
                        role=ROLE,
                        password=known[1],
                        database=DATABASE,
                    )
                )
            ),
            due=args.due,
            parent=self,
            depends_on=[self.container, *args.after],
        )
        # Not the URL: with `--debug`, Pulumi prints what a component registers, secret or not.
        self.register_outputs({"container": self.container.name})

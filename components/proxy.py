"""Proxy: Caddy or nginx in front of the slots, and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.hardening import hardened, labels
from components.models import ProxySettings
from components.names import part_name
from components.procedure import procedure
from components.toolbox import USER, shared
from switchback.proxies import DRIVERS
from switchback.specs import Configure, encode

# A proxy that starts goes back to what was last verified, and waits for its first configuration where there is none.
_START = (
    "cd /run/switchback; for kind in pointer config; do "
    'if [ -L $kind/verified ]; then ln -sfn "$(readlink $kind/verified)" $kind/current; fi; done; '
    "until [ -s config/current/{filename} ]; do sleep 0.1; done; {run}"
)


@dataclass(frozen=True, kw_only=True)
class ProxyArgs:
    """Where it listens, and what it is told."""

    environment: str
    settings: ProxySettings
    network: pulumi.Input[str]
    volume: pulumi.Input[str]
    meter: pulumi.Input[str]  # the volume that takes its access lines
    configure: Configure
    due: str | None
    ready: Sequence[pulumi.Resource]  # what has to exist before the container
    after: Sequence[pulumi.Resource]  # what has to be done before its configuration changes


class Proxy(pulumi.ComponentResource):
    """The only container that publishes a port."""

    container: docker.Container
    configuration: local.Command
    url: pulumi.Output[str]

    def __init__(self, name: str, args: ProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Proxy", name, {}, opts)
        settings, driver = args.settings, DRIVERS[args.settings.kind]
        image = docker.RemoteImage(
            f"{name}-image", name=settings.image_ref, keep_locally=True, opts=pulumi.ResourceOptions(parent=self)
        )
        self.container = docker.Container(
            f"{name}-container",
            name=part_name(args.environment, "proxy"),
            image=image.image_id,
            entrypoints=["/bin/sh", "-c", _START.format(filename=driver.FILENAME, run=driver.RUN)],
            user=USER,
            envs=[f"{key}={value}" for key, value in sorted(driver.ENV.items())],
            labels=labels(args.environment, part="proxy"),
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=args.network)],
            volumes=shared(args.volume, args.meter),
            ports=[docker.ContainerPortArgs(internal=driver.PORT, external=settings.http_port, ip=settings.address)],
            destroy_grace_seconds=10,
            # The usual image's caddy carries this as a file capability, and cannot be run at all without it.
            **hardened(settings.resources, capabilities=["NET_BIND_SERVICE"]),
            # Only one container can publish the port.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*args.ready], delete_before_replace=True),
        )
        self.configuration = procedure(
            f"{name}-configuration",
            "configure",
            encode(args.configure),
            due=args.due,
            parent=self,
            depends_on=[self.container, *args.after],
        )
        shown = "localhost" if settings.address in ("0.0.0.0", "::") else settings.address  # noqa: S104
        shown = f"[{shown}]" if ":" in shown else shown
        self.url = pulumi.Output.from_input(f"http://{shown}:{settings.http_port}")
        self.register_outputs({"url": self.url})

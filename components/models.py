"""The shape of the configuration: frozen models that know every key, its type, default and limits.

Reading the stack's configuration is `settings.py`; the reference in `docs/configuration.md` and the
descriptions in `Pulumi.yaml` are generated from here, so each field's description is the documentation.
The kinds of values are in `values.py`, the models of gates and builds in `release_models.py`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.analysis_models import AnalysisSettings, RolloutSettings
from components.database_models import ContractSettings, DatabaseSettings
from components.maintenance_models import MaintenanceSettings
from components.release_models import BuildSettings, FunctionalGateSettings
from components.values import (
    Capability,
    EnvName,
    EnvValue,
    Flag,
    HostName,
    ImageName,
    ImageRef,
    ImageTag,
    IpAddress,
    Model,
    MountSource,
    MountTarget,
    Name,
    Port,
    Resources,
    Seconds,
    SecretValue,
    SlotName,
    UrlPath,
    UserSpec,
)

ProxyKind = Literal["caddy", "nginx", "none"]

DEFAULT_PROXY_IMAGE: dict[str, str] = {"caddy": "caddy:2.11", "nginx": "nginx:1.29", "none": ""}


class SlotSettings(Model):
    """What one slot holds. Together with `activeSlot` this is what changes from day to day."""

    image_tag: ImageTag = Field(
        description="Tag of every service's image in this release; in a file, in quotes: 1.0 without them is 1."
    )
    revision: int = Field(default=1, ge=1, description="Raise it to release changed settings under the same tag.")
    env: dict[EnvName, EnvValue] = Field(
        default={}, description="Environment variables of this release only; they win over the service's own."
    )
    contract: ContractSettings | None = Field(
        default=None,
        alias="schema",
        description="Which versions of the database's schema this release can run on, where its image does not say so.",
    )


class Route(Model):
    """Requests that the proxy hands to a service: all whose host and path match, the longest path first."""

    host: HostName | None = Field(
        default=None, description="Host name, with `*` for its first label alone if need be; without it, any host."
    )
    path: UrlPath = Field(
        default="/", description="Path prefix, matched by whole segments: /api takes /api and /api/x."
    )


class Health(Model):
    """The gate: what must be true of a release before it takes traffic."""

    path: UrlPath = Field(default="/health", description="Asked with GET; a 2xx answer passes.")
    passes: int = Field(default=3, ge=1, le=100, description="Passes in a row that open the gate.")
    interval: Seconds = Field(default=0.1, ge=0.02, le=60, description="Time between two checks.")
    timeout: Seconds = Field(default=60.0, ge=1, le=3600, description="Deadline of the gate as a whole.")
    expect_version: bool = Field(
        default=True, description="Where the body has a version, it must be the release's tag (a leading v aside)."
    )
    steady: Seconds = Field(
        default=2.0,
        ge=0,
        le=600,
        description="For a service without a port: how long it must have run without a restart.",
    )


class Mount(Model):
    """A volume or a directory of the host inside a service's container."""

    source: MountSource = Field(description="Name of a Docker volume, or an absolute path on the Docker host.")
    target: MountTarget = Field(description="Absolute path in the container.")
    read_only: bool = Field(default=False, description="Whether the container may only read it.")


class ServiceSettings(Model):
    """One service of the environment: the same in both slots but for its release."""

    image: ImageName = Field(description="Image name without tag, such as registry.example.com/acme/web.")
    port: Port | None = Field(default=None, description="Port that the service listens on. A worker may have none.")
    routes: tuple[Route, ...] = Field(
        default=(),
        strict=False,
        description="What the proxy hands to it. Without routes it is a worker: gated, not proxied.",
    )
    health: Health = Field(default=Health(), description="The gate.")
    env: dict[EnvName, EnvValue] = Field(default={}, description="Environment variables, in both slots.")
    secret_env: dict[EnvName, SecretValue] = Field(
        default={}, description="The same, encrypted: set them with `pulumi config set --secret --path`."
    )
    resources: Resources = Field(default=Resources(), description="Limits of each container.")
    active_slot: SlotName | None = Field(
        default=None,
        description="Only to roll this one service back (or forward) alone; without it, `activeSlot` counts.",
    )
    command: tuple[EnvValue, ...] | None = Field(
        default=None,
        strict=False,
        description="Command in place of the image's own, word by word; never given to a shell.",
    )
    user: UserSpec | None = Field(default=None, description="User in place of the image's own.")
    read_only: bool = Field(
        default=True,
        description="Read-only root file system, with a tmpfs on /tmp. False where the image needs to write.",
    )
    capabilities: tuple[Capability, ...] = Field(
        default=(), strict=False, description="Linux capabilities to leave; all others are dropped."
    )
    mounts: tuple[Mount, ...] = Field(default=(), strict=False, description="Volumes and host directories.")
    build: BuildSettings | None = Field(
        default=None, description="How to build the image when neither the Docker host nor the registry has it."
    )


class ProxySettings(Model):
    """What stands in front of the slots."""

    kind: ProxyKind = Field(default="caddy", description="caddy (2.8 or newer), nginx (1.27.4 or newer), or none.")
    image: ImageRef | None = Field(
        default=None,
        description=f"Its image; by default {DEFAULT_PROXY_IMAGE['caddy']} or {DEFAULT_PROXY_IMAGE['nginx']}.",
    )
    address: IpAddress = Field(
        default="0.0.0.0",  # noqa: S104 - a reverse proxy is what is meant to be reached
        description="Address of the host that it listens on.",
    )
    http_port: Port = Field(default=80, description="Port of the host that it listens on.")
    drain: Seconds = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How long requests in flight may go on in a release that is being removed.",
    )
    resources: Resources = Field(default=Resources(memory=256 << 20), description="Limits of its container.")

    @property
    def image_ref(self) -> str:
        """The image that runs: the configured one, or the kind's default."""
        return self.image or DEFAULT_PROXY_IMAGE[self.kind]


class ToolboxSettings(Model):
    """The small container on the environment's network in which gates and switches run."""

    image: ImageRef = Field(
        default="switchback/toolbox:local", description="Its image; `make setup` builds the default."
    )
    resources: Resources = Field(default=Resources(memory=256 << 20), description="Limits of its container.")


class Settings(Model):
    """The configuration of one environment (one Pulumi stack), checked."""

    active_slot: SlotName = Field(description="The slot that takes the traffic. Changing it is the rollback.")
    slots: dict[SlotName, SlotSettings] = Field(description="The release in each slot.")
    services: dict[Name, ServiceSettings] = Field(description="The services, by name.")
    proxy: ProxySettings = Field(default=ProxySettings(), description="The proxy in front of them.")
    database: DatabaseSettings = Field(default=DatabaseSettings(), description="PostgreSQL beside them.")
    toolbox: ToolboxSettings = Field(default=ToolboxSettings(), description="Where gates and switches run.")
    analysis: AnalysisSettings = Field(
        default=AnalysisSettings(),
        description="Watch a new release under real traffic, and take all traffic back by itself when it does worse.",
    )
    rollout: RolloutSettings = Field(
        default=RolloutSettings(), description="Give a new release its traffic step by step, each of them watched."
    )
    auto_rollback: Flag = Field(
        default=True, description="False leaves a release whose analysis failed in the traffic, for debugging."
    )
    gates: tuple[FunctionalGateSettings, ...] = Field(
        default=(), strict=False, description="Functional tests that releases have to pass before they take traffic."
    )
    maintenance: MaintenanceSettings = Field(
        default=MaintenanceSettings(),
        description="Turn users away while something is changed; health paths and WebSockets that are open go on.",
    )

    def slot_of(self, service: str) -> SlotName:
        """The slot that this service is declared to be live in."""
        return self.services[service].active_slot or self.active_slot

    def standby_of(self, service: str) -> SlotName:
        """The other slot."""
        return "green" if self.slot_of(service) == "blue" else "blue"

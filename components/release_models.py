"""What a release goes through before it serves: how its image is rebuilt, and the user's own tests as a gate."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from components.values import EnvName, EnvValue, ImageRef, Model, Name, Resources, Seconds, SecretValue, whole_tag
from switchback.repository import unfit_repository

_REVISION = re.compile(r"(?:[A-Za-z0-9_]|\{tag\})(?:[A-Za-z0-9._/+-]|\{tag\}){0,199}", re.ASCII)

_INNER = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._/+@-]*")


def _repository(value: str) -> str:
    if complaint := unfit_repository(value):
        raise ValueError(complaint)  # without the value: an address may hold a token
    return value


def _revision(value: str) -> str:
    if not _REVISION.fullmatch(value) or ".." in value or value.endswith(("/", ".", ".lock")):
        raise ValueError(f"{value!r} is neither a Git tag nor a commit (letters, digits, . _ / + - and {{tag}})")
    return value


def _inner_path(value: str) -> str:
    if not _INNER.fullmatch(value) or ".." in posixpath.normpath(value).split("/"):
        raise ValueError(f"{value!r} is not a path inside of the repository, such as deploy/docker")
    return value


Repository = Annotated[str, AfterValidator(_repository)]
Revision = Annotated[str, BeforeValidator(whole_tag), AfterValidator(_revision)]
InnerPath = Annotated[str, AfterValidator(_inner_path)]


class BuildSettings(Model):
    """Where an image comes from that neither the Docker host nor a registry has."""

    repository: Repository = Field(
        description="Git repository: https://, ssh://, user@host:path, file:// or an absolute path on this machine."
    )
    commit: Revision = Field(
        default="{tag}",
        description="Git tag or commit, abbreviated or not; {tag} stands for the image's tag, as in v{tag}.",
    )
    context: InnerPath = Field(default=".", description="Directory of the repository that is the build's context.")
    dockerfile: InnerPath = Field(default="Dockerfile", description="Dockerfile, from the context on.")
    args: dict[EnvName, EnvValue] = Field(
        default={},
        description="Build arguments, which stay visible in the image; GIT_COMMIT and GIT_SHORT_COMMIT are set.",
    )
    timeout: Seconds = Field(default=1800.0, ge=1, le=14400, description="Deadline of clone and build together.")


class FunctionalGateSettings(Model):
    """One functional test: the user's own command, run against the releases before they take traffic."""

    name: Name = Field(description="What it is called in messages.")
    command: tuple[EnvValue, ...] = Field(
        strict=False,
        min_length=1,
        description="Program and arguments, word by word, in place of the image's own; never given to a shell.",
    )
    image: ImageRef | None = Field(default=None, description="Image that it runs in; or else `service`.")
    service: Name | None = Field(
        default=None,
        description="Service whose release brings the test along: a second container of that image, with its variables,"
        " volumes and limits.",
    )
    env: dict[EnvName, EnvValue] = Field(default={}, description="Environment variables besides SWITCHBACK_….")
    secret_env: dict[EnvName, SecretValue] = Field(
        default={}, description="The same, encrypted: set them with `pulumi config set --secret --path`."
    )
    timeout: Seconds = Field(default=300.0, ge=1, le=7200, description="Deadline, after which it is ended.")
    resources: Resources = Field(default=Resources(), description="Limits of its container; with `image` only.")
    read_only: bool = Field(
        default=True, description="Read-only root file system, with a tmpfs on /tmp; with `image` only."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.image is None) == (self.service is None):
            raise ValueError("set either image, or the service whose release brings the test along")
        return self


def contradictions(raw: Any, services: Mapping[str, Any], *, encrypted: bool) -> list[str]:
    """What is wrong between one gate and another, or a gate and the services, each by its key path.

    Args:
        raw: The value of `gates`, whatever it is.
        services: The services, by name.
        encrypted: Whether anything in the gates is.
    """
    found: list[str] = []
    names: set[str] = set()
    for index, gate in enumerate(raw if isinstance(raw, list) else []):
        if not isinstance(gate, dict):
            continue  # said already
        name, service = gate.get("name"), gate.get("service")
        if isinstance(name, str) and name in names:
            found.append(f"gates/{index}/name: another gate has this name already")
        if isinstance(service, str) and services and service not in services:
            found.append(f"gates/{index}/service: there is no such service (known here: {', '.join(sorted(services))})")
        secrets, plain = gate.get("secretEnv"), gate.get("env")
        if isinstance(secrets, dict) and secrets and not encrypted:
            found.append(
                f"gates/{index}/secretEnv: is stored in plain text; set each with `pulumi config set --secret --path"
                f" 'switchback:gates[{index}].secretEnv.{next(iter(secrets))}'`"
            )
        if isinstance(secrets, dict) and isinstance(plain, dict):
            both = sorted(secrets.keys() & plain.keys())
            found += [f"gates/{index}/secretEnv/{key}: is in env as well" for key in both]
        names |= {name} if isinstance(name, str) else set()
    return found

"""The kinds of values in the configuration, each with its check and what a person reads when it fails.

The models that are made of them are in `models.py` and `release_models.py`.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

SlotName = Literal["blue", "green"]
SLOTS: tuple[SlotName, SlotName] = ("blue", "green")


def matching(pattern: str, complaint: str) -> AfterValidator:
    """A check of a whole string against a pattern, with the complaint a person reads."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"{value!r} {complaint}")
        return value

    return AfterValidator(check)


def number_as_text(value: Any) -> Any:
    """`pulumi config set --path` turns digits and true/false into numbers and booleans: take them back."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        raise ValueError(f"{value} is a number, whose digits may have changed on the way: write it in quotes")
    return str(value) if isinstance(value, int) else value


def _yes_or_no(value: Any) -> Any:
    """Pulumi hands a top-level `true` over as text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def whole_tag(value: Any) -> Any:
    """A tag written as a bare YAML number has lost digits already (1.10 is 1.1), so it is refused."""
    if isinstance(value, float):
        raise ValueError(f"{value} is a number, in which 1.10 and 1.1 are the same: write the tag in quotes")
    return number_as_text(value)


def _seconds(value: Any) -> Any:
    """`30`, `0.5`, `"500ms"`, `"30s"` or `"2m"` as seconds."""
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m|h)?", value)
        if not found:
            raise ValueError(f"{value!r} is not a duration (write 30, 500ms, 30s or 2m)")
        return float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[found[2] or "s"]
    return value


def _bytes(value: Any) -> Any:
    """`"512m"` or `"2g"` as bytes; a bare number is bytes already."""
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,15})([bkmg]?)", value.lower())
        if not found:
            raise ValueError(f"{value!r} is not a size (write 512m or 2g)")
        return int(found[1]) << {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}[found[2]]
    return value


def _number(value: Any) -> Any:
    """`0.5`, also as the text that `pulumi config set --path` makes of it."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})?", value) else value


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise ValueError(f"{value} is not a port (1–65535)")
    return value


_SOCKETS = ("docker.sock", "containerd.sock", "crio.sock", "podman.sock")
_SOCKET_DIRECTORIES = re.compile(r"/|(/var)?/run(/(containerd|crio|podman))?|/proc(/.*)?", re.DOTALL)


def _no_socket(value: str) -> str:
    """Refuses an engine's socket by name; a directory that holds one, or leads to it, is `_no_socket_directory`'s."""
    if posixpath.normpath(value).endswith(_SOCKETS):
        raise ValueError(f"{value!r} would hand the Docker socket to a service, which is the host's root account")
    return value


def _no_socket_directory(value: str) -> str:
    plain = posixpath.normpath(f"/{value.lstrip('/')}")  # without //, /./ and /../, which lead to the same place
    if value.startswith("/") and _SOCKET_DIRECTORIES.fullmatch(plain):
        raise ValueError(f"{value!r} would hand the Docker socket to a service, which is the host's root account")
    return value


def _ip_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address") from None


def _single_capability(value: str) -> str:
    if value.removeprefix("CAP_") == "ALL":
        raise ValueError(f"{value!r} would take the container's walls down: name the capabilities one by one")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL byte, which neither a variable nor a command can")
    return value


def _no_nul_in_secret(value: SecretStr) -> SecretStr:
    _no_nul(value.get_secret_value())
    return value


Name = Annotated[
    str,
    matching(
        r"[a-z0-9][a-z0-9_-]{0,62}", "is not a name (a–z, 0–9, - and _; at most 63; starts with a letter or digit)"
    ),
]
ImageTag = Annotated[
    str,
    BeforeValidator(whole_tag),
    matching(r"\w[\w.-]{0,127}", "is not a tag that Docker takes (letters, digits, _ . -; at most 128)"),
]
ImageName = Annotated[
    str,
    matching(
        r"(?:[a-z0-9]+(?:[.-][a-z0-9]+)*(?::\d{1,5})?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*",
        "is not an image name without a tag (the tag comes from the slot)",
    ),
]
ImageRef = Annotated[
    str,
    matching(
        r"(?:[a-z0-9]+(?:[.-][a-z0-9]+)*(?::\d{1,5})?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
        r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
        "is not an image reference such as caddy:2.11",
    ),
]
HostName = Annotated[
    str,
    matching(
        r"(?=.{1,253}\Z)(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
        "is not a host name in lower case",
    ),
]
UrlPath = Annotated[str, matching(r"/[A-Za-z0-9._~/-]*", "is not a path (starts with /; letters, digits, . _ ~ - /)")]
EnvName = Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_]*", "is not the name of an environment variable")]
EnvValue = Annotated[str, BeforeValidator(number_as_text), AfterValidator(_no_nul)]
SecretValue = Annotated[SecretStr, AfterValidator(_no_nul_in_secret)]
IpAddress = Annotated[str, matching(r"[0-9a-fA-F.:]+", "is not an IP address"), AfterValidator(_ip_address)]
Flag = Annotated[bool, BeforeValidator(_yes_or_no)]
Port = Annotated[int, AfterValidator(_port)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Bytes = Annotated[int, BeforeValidator(_bytes)]
Number = Annotated[float, BeforeValidator(_number)]
Cores = Number
UserSpec = Annotated[
    str,
    BeforeValidator(number_as_text),
    matching(r"[a-z0-9_][a-z0-9_-]*(?::[a-z0-9_][a-z0-9_-]*)?", "is not a user such as 1000 or 1000:1000"),
]
Capability = Annotated[
    str, matching(r"[A-Z][A-Z_]+", "is not a capability such as NET_BIND_SERVICE"), AfterValidator(_single_capability)
]
MountSource = Annotated[
    str,
    matching(r"/[^\0:]*|[A-Za-z0-9][A-Za-z0-9_.-]*", "is neither a volume's name nor an absolute path"),
    AfterValidator(_no_socket),
    AfterValidator(_no_socket_directory),
]
MountTarget = Annotated[str, matching(r"/[^\0:]+", "is not an absolute path"), AfterValidator(_no_socket)]


class Model(BaseModel):
    """Frozen, strict, and closed: an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, validate_by_name=False
    )


class Resources(Model):
    """Limits of one container."""

    memory: Bytes = Field(
        default=512 << 20, ge=16 << 20, le=1 << 42, description="Memory limit, such as 512m; no swap beyond it."
    )
    cpus: Cores = Field(default=1.0, gt=0, le=1024, description="CPU limit, in cores.")
    pids: int = Field(default=512, ge=16, le=1 << 22, description="Limit of processes and threads.")

"""Maintenance: the model of who is turned away, and with what."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from components.values import EnvValue, Flag, Model, Seconds

_LONGEST = 16_000  # characters; the configuration that holds the page travels in one environment variable


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is neither an IP address nor a network such as 10.0.0.0/8") from None


def _page(value: str) -> str:
    if len(value) > _LONGEST:
        raise ValueError(f"is too long: {len(value)} characters, of at most {_LONGEST}")
    return value


Network = Annotated[str, AfterValidator(_network)]
Page = Annotated[EnvValue, AfterValidator(_page)]


class MaintenanceSettings(Model):
    """What users get while maintenance is on."""

    enabled: Flag = Field(default=False, description="Turn users away with HTTP 503.")
    page: Page | None = Field(
        default=None, description="What they see, as HTML of at most 16,000 characters; by default a short text."
    )
    retry_after: Seconds = Field(
        default=60.0, ge=1, le=86400, description="When clients are told to come back, in the header Retry-After."
    )
    allow: tuple[Network, ...] = Field(
        default=(),
        strict=False,
        description="Addresses or networks that are served all the same, by where a connection comes from; no header"
        " counts. What connects from the Docker host itself comes from the gateway of the environment's network.",
    )

    @property
    def configured(self) -> bool:
        """Whether the stack says anything about it; only then does the proxy look for it with every request."""
        return bool(self.model_fields_set)

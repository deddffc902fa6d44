"""Names of things in Docker: what a release, a network, a container is called on the host and in DNS."""

from __future__ import annotations

import hashlib
import re

# A name must also be one DNS label, because the proxy and the gate find containers by it.
NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}\Z")
_DNS_LIMIT = 63
_NOT_DNS = re.compile(r"[^a-z0-9.-]+")


def release_name(image_tag: str, revision: int) -> str:
    """The name of a release: its image tag, and the revision where only settings changed (`1.5.0-r2`).

    A tag that ends like a revision gets one always, so tag `1-r2` is not taken for revision 2 of tag `1`.
    """
    plain = revision == 1 and not re.search(r"-r[0-9]+\Z", image_tag)
    return image_tag if plain else f"{image_tag}-r{revision}"


def container_name(environment: str, service: str, slot: str, release: str) -> str:
    """The Docker and DNS name of one release of one service, e.g. `production-web-green-1.5.0`.

    At most 63 characters of `[a-z0-9.-]`. A tag that needs more, or other characters (Docker tags may hold
    capitals and underscores, DNS names are compared without case), is shortened and gets a hash of the
    whole, so two different tags never share a name.
    """
    full = f"{environment}-{service}-{slot}-{release}"
    # Dots separate DNS labels: an empty or hyphen-edged label is legal in a tag but not in a host name.
    if len(full) <= _DNS_LIMIT and not _NOT_DNS.search(full) and not re.search(r"\.\.|\.-|-\.|[.-]$", full):
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    plain = re.sub(r"[.-]{2,}", "-", _NOT_DNS.sub("-", full.lower()))
    return f"{plain[: _DNS_LIMIT - 9].rstrip('.-')}-{digest}"


def network_name(environment: str) -> str:
    """The environment's Docker network."""
    return f"switchback-{environment}"


def part_name(environment: str, part: str) -> str:
    """The container or volume of one of the environment's own parts: `proxy`, `toolbox`, `database`, …"""
    return f"{environment}-{part}"


RESERVED_SERVICES = frozenset({"proxy", "toolbox", "database"})

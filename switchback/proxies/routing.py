"""Which service a request belongs to: the one table from which both proxies' configurations are made."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from switchback.specs import Target


class Entry(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Requests below `path` go to `service`. A path ends without a slash, but for `/` itself."""

    path: str
    service: str


def routing_table(targets: Iterable[Target]) -> dict[str, list[Entry]]:
    """Host (empty for any other) to its entries, the longest path first.

    A host's own entries come along with those of the wildcard that covers it and those for any host, which they
    hide where the path is the same, so looking up the request's host (itself, then with `*` for its first label,
    then any) and then the longest path decides on either proxy.
    """
    by_host: dict[str, dict[str, str]] = {"": {}}
    for target in targets:
        for route in target.routes:
            by_host.setdefault(route.host, {})[route.path.rstrip("/") or "/"] = target.service
    return {
        host: [
            Entry(path=path, service=service)
            for path, service in sorted(
                {**by_host[""], **by_host.get(_wildcard(host), {}), **entries}.items(),
                key=lambda item: (-len(item[0]), item[0]),
            )
        ]
        for host, entries in sorted(by_host.items())
    }


def _wildcard(host: str) -> str:
    """The wildcard that covers a host: `*` stands for exactly its first label."""
    return f"*.{host.partition('.')[2]}"

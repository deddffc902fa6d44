"""Caddy: its configuration as text, its pointer, and how to validate and apply. No I/O here.

The upstream of a service is the content of its pointer file, read for every request, so neither a switch nor a
new release changes the configuration, and no connection is ever touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from switchback.proxies import access, caddy_holding, caddy_maintenance, shares
from switchback.proxies.caddy_routes import Part, Routes, duration
from switchback.proxies.routing import routing_table
from switchback.specs import Features, Target

FILENAME = "caddy.json"
PORT = 8080
PROBE_PORT = 2020
# On the volume that only proxy and toolbox mount, so that the toolbox can ask what is loaded (`inside/look.py`).
SOCKET = "/run/switchback/caddy-admin.sock"
ADMIN = f"unix/{SOCKET}"

VALIDATE = ("caddy", "validate", "--config", "{file}")
APPLY = ("caddy", "reload", "--config", f"/run/switchback/config/current/{FILENAME}", "--address", ADMIN)
# `--environ`-free and without autosave: what is in the generation is all there is.
RUN = f"{access.PREPARE}; rm -f {SOCKET}; exec caddy run --config /run/switchback/config/current/{FILENAME}"
_PLAIN = Features()
ENV = {
    "XDG_DATA_HOME": "/tmp/caddy",  # noqa: S108 - a tmpfs of the proxy's own container
    "XDG_CONFIG_HOME": "/tmp/caddy",  # noqa: S108
    # Reading the pointer makes garbage (1 MiB a request, Caddy's fixed buffer); collecting it less often
    # gives back most of the throughput, within a bounded heap.
    "GOGC": "400",
    "GOMEMLIMIT": "160MiB",
}


def pointer(targets: Iterable[Target]) -> dict[str, str]:
    """The pointer's files: a file a service, whose content is the address."""
    return {target.service: target.address for target in targets}


def shared_pointer(before: Mapping[str, str], targets: Iterable[Target], percent: int) -> dict[str, str]:
    """The pointer's files when these releases have a share of the traffic, and those of `before` have the rest."""
    targets = tuple(targets)
    return shares.shared(before, pointer(targets), {t.service for t in targets if t.routes}, percent)


def config(targets: Iterable[Target], digest: str, drain: float, features: Features = _PLAIN) -> str:
    """Caddy's whole configuration as JSON text.

    Args:
        targets: The declared releases; only services and routes count, not which release it is.
        digest: What the probe answers with, to tell which configuration runs.
        drain: Seconds that WebSockets and long requests live on after a reload.
        features: What it does beside routing and switching.
    """
    targets = [target for target in targets if target.routes]
    table = routing_table(targets)
    health = {target.service: target.probe.path for target in targets}
    public, inner = Routes(features, drain, health, inner=False), Routes(features, drain, health, inner=True)
    services = sorted({target.service: target for target in targets}.items())
    rehearsals = [route for _, target in services for route in inner.rehearsal(target)]
    servers = {
        "inner": _server(PROBE_PORT, [*_inner(digest, features), *rehearsals, *inner.table(table)]),
        "public": _server(PORT, public.table(table)),
    }
    named: Part = {}
    if features.maintenance:
        named[caddy_maintenance.CLOSED] = {
            "handle": [{"handler": "subroute", "routes": public.closed(features.maintenance)}]
        }
    if features.holder:
        named |= {caddy_holding.released(service): public.released(service) for service in health}
        servers["public"]["errors"]["routes"][:0] = caddy_holding.without_holder(sorted(health))
    if named:
        servers["public"]["named_routes"] = named
    logs: Part = {"default": {"level": "WARN"}}
    if features.meter:
        servers["public"]["logs"] = {"default_logger_name": "meter"}
        logs["default"]["exclude"] = ["http.log.access"]
        logs["meter"] = _METER
    document = {
        "admin": {"listen": ADMIN, "config": {"persist": False}},
        "logging": {"logs": logs},
        "apps": {"http": {"grace_period": duration(drain), "servers": servers}},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# An access line, as short as Caddy can be told to make it. Whole or not at all: it is appended with one write.
_METER: Part = {
    "include": ["http.log.access.meter"],
    "level": "INFO",
    "writer": {"output": "file", "filename": access.LOG, "roll": False},
    "encoder": {
        "format": "filter",
        "wrap": {"format": "json", "level_key": "", "message_key": "", "name_key": ""},
        "fields": {
            field: {"filter": "delete"}
            for field in ("request", "bytes_read", "user_id", "duration", "size", "resp_headers")
        },
    },
}


def _server(port: int, routes: list[Part]) -> dict[str, Any]:
    return {
        "listen": [f":{port}"],
        "automatic_https": {"disable": True},
        "routes": routes,
        "errors": {"routes": [_unavailable()]},
    }


def _inner(digest: str, features: Features) -> list[Part]:
    """What only the inner port has: which configuration runs, and with every answer the release that gave it."""
    told = {"X-Switchback-Upstream": ["{http.reverse_proxy.upstream.hostport}"]}
    return [
        {
            "match": [{"path": ["/.switchback/config"]}],
            "handle": [{"handler": "static_response", "status_code": 200, "body": digest}],
            "terminal": True,
        },
        *(caddy_maintenance.told() if features.maintenance else []),
        {"handle": [{"handler": "headers", "response": {"set": told, "deferred": True}}]},
    ]


def _unavailable() -> Part:
    """A pointer that is missing or empty, or a release that does not answer."""
    return {
        "handle": [
            {
                "handler": "static_response",
                "status_code": "{http.error.status_code}",
                "body": "{http.error.status_text}\n",
            }
        ]
    }

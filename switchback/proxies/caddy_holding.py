"""Caddy's part of holding requests: it asks the holder, and goes on with the same request after its word. Pure."""

from __future__ import annotations

from typing import Any

from switchback.proxies.holding import FILE, FOLDER, FULL, GO_ON, PATIENCE, RETRY_AFTER, TOO_MANY

Part = dict[str, Any]
_ON: Part = {"file": {"root": f"/run/switchback/{FOLDER}", "try_files": [FILE]}}
_WAITS = "switchback_waits"  # a variable: the service whose release a request waits for


def released(service: str) -> str:
    """The name of the route that hands a request to the service's release."""
    return f"switchback-released-{service}"


def check(service: str, holder: str, refused: list[Part]) -> Part:
    """A request waits first.

    Args:
        service: Whose release it waits for.
        holder: Address of the holder.
        refused: What is done about a request for which there is no room.
    """
    ask: Part = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": holder}],
        "rewrite": {"method": "GET", "uri": "/"},
        "headers": {"request": {"delete": ["Cookie", "Authorization"]}},
        "transport": {
            "protocol": "http",
            "dial_timeout": "1s",
            "response_header_timeout": f"{PATIENCE}s",
            "keep_alive": {"enabled": False},
        },
        "handle_response": [
            {"match": {"status_code": [GO_ON]}, "routes": [{"handle": [_waits("")]}]},
            {"match": {"status_code": [TOO_MANY]}, "routes": [{"handle": refused}]},
        ],
    }
    return _subroute([{"match": [_ON], "handle": [_waits(service), ask]}])


def full() -> Part:
    """The answer where there is no room."""
    headers = {"Retry-After": [str(RETRY_AFTER)]}
    return {"handler": "static_response", "status_code": 503, "headers": headers, "body": FULL}


def without_holder(services: list[str]) -> list[Part]:
    """Routes for errors: the holder is dead, or silent for too long, and the request goes on."""
    return [
        {
            "match": [{"vars": {f"{{http.vars.{_WAITS}}}": [service]}}],
            "handle": [_waits(""), {"handler": "invoke", "name": released(service)}],
            "terminal": True,
        }
        for service in services
    ]


def _waits(service: str) -> Part:
    return {"handler": "vars", _WAITS: service}


def _subroute(routes: list[Part]) -> Part:
    return {"handler": "subroute", "routes": routes}

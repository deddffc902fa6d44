"""Caddy's part of maintenance: the check before a release is chosen, and the answer, as parts of its JSON. Pure."""

from __future__ import annotations

from typing import Any

from switchback.proxies.maintenance import CONTENT_TYPE, FILE, FOLDER, open_path
from switchback.proxies.routing import Entry
from switchback.specs import Maintenance

Part = dict[str, Any]
CLOSED = "switchback-closed"  # the name of the route that holds the page, once for all entries
_ON: Part = {"file": {"root": f"/run/switchback/{FOLDER}", "try_files": [FILE]}}


def check(maintenance: Maintenance, entry: Entry, health: str) -> Part:
    """A stranger's request goes to the page, unless it asks for the service's health.

    The address is the connection's own: no header can claim another.
    """
    path = open_path(entry, health)
    welcome: list[Part] = [
        *([{"remote_ip": {"ranges": [*maintenance.allow]}}] if maintenance.allow else []),
        *([{"vars_regexp": {"{http.request.uri}": {"pattern": f"^{path}"}}}] if path else []),
    ]
    refuse: Part = {"handle": [{"handler": "invoke", "name": CLOSED}]}
    if welcome:
        refuse = {"match": [{"not": welcome}], **refuse}
    # Nothing but the file is looked at while it is not there.
    return _subroute([{"match": [_ON], "handle": [_subroute([refuse])]}])


def page(maintenance: Maintenance) -> Part:
    """The answer."""
    return {
        "handler": "static_response",
        "status_code": 503,
        "headers": {
            "Content-Type": [CONTENT_TYPE],
            "Retry-After": [str(maintenance.retry_after)],
            "Cache-Control": ["no-store"],
        },
        "body": _literally(maintenance.page),
    }


def told() -> list[Part]:
    """On the inner port: whether it is on, as the proxy sees it."""
    path = {"path": ["/.switchback/maintenance"]}
    return [
        {
            "match": [{**path, **more}],
            "handle": [{"handler": "static_response", "status_code": 200, "body": said}],
            "terminal": True,
        }
        for more, said in ((_ON, "on"), ({}, "off"))
    ]


def _literally(text: str) -> str:
    """A text in which Caddy finds no placeholder, and which it hands out as it was."""
    if "{" not in text:
        return text  # Caddy does not look at it any further
    return text.replace("\\}", "\\\\}").replace("{", "\\{")


def _subroute(routes: list[Part]) -> Part:
    return {"handler": "subroute", "routes": routes}

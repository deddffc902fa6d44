"""Caddy's routes: which release a request is handed to, as the parts of its JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from switchback.proxies import caddy_holding, caddy_maintenance
from switchback.proxies.routing import Entry
from switchback.proxies.shares import BUCKET, COOKIE, COOKIE_ATTRIBUTES, NEXT, SHARE
from switchback.specs import Features, Maintenance, Target

Part = dict[str, Any]
_POINTER = "/run/switchback/pointer"


class Routes:
    """Makes the routes of one server.

    Args:
        features: What they do beside routing.
        drain: Seconds that WebSockets and long requests live on after a reload.
        health: Service to the path that tells of its health.
        inner: Whether they are for the inner port, which tells who answered, counts nothing and sets no cookie.
    """

    def __init__(self, features: Features, drain: float, health: Mapping[str, str], *, inner: bool) -> None:
        self._features, self._drain, self._health, self._inner = features, drain, health, inner

    def table(self, table: dict[str, list[Entry]]) -> list[Part]:
        """A route for each entry, the more special host and then the longer path first; at last the proxy's own 404."""
        hosts = sorted(table, key=lambda name: (name == "", name.startswith("*"), name))
        none: list[Part] = [{"handler": "static_response", "status_code": 404, "body": "No such route.\n"}]
        return [
            *(self._entry(host, entry) for host in hosts for entry in table[host]),
            {"handle": self._uncounted(none)},
        ]

    def rehearsal(self, target: Target) -> list[Part]:
        """The way to a release before it is pointed to: the same upstream settings, the pointer that is about to be."""
        match = {"path": [f"/.switchback/next/{target.service}"]}
        rewrite = {"handler": "rewrite", "uri": target.probe.path}
        way = {
            "match": [match],
            "handle": [rewrite, self._upstream(_content("next", target.service))],
            "terminal": True,
        }
        if not self._features.shares:
            return [way]
        incoming = f"{target.service}{NEXT}"
        sharing = {**match, **_there("next", incoming)}
        return [
            {"match": [sharing], "handle": [rewrite, self._upstream(_content("next", incoming))], "terminal": True},
            way,
        ]

    def _entry(self, host: str, entry: Entry) -> Part:
        match: Part = {"host": [host]} if host else {}
        if entry.path != "/":
            # Caddy's plain path matcher takes /API for /api; nginx and most services do not.
            match["path_regexp"] = {"pattern": f"^{entry.path.replace('.', '[.]')}(?:/|$)"}
        return {
            **({"match": [match]} if match else {}),
            "handle": [*self._closing(entry), *self._holding(entry), *self._given(entry.service)],
            "terminal": True,
        }

    def closed(self, maintenance: Maintenance) -> list[Part]:
        """The routes of whom maintenance turns away."""
        return [{"handle": self._uncounted([caddy_maintenance.page(maintenance)])}]

    def released(self, service: str) -> Part:
        """The route of a request that has waited, or waits no longer."""
        return {"handle": [_subroute([{"handle": self._given(service)}])]}

    def _given(self, service: str) -> list[Part]:
        return [*self._counted(), *self._proxied(service)]

    def _holding(self, entry: Entry) -> list[Part]:
        if self._inner or not self._features.holder:
            return []
        return [caddy_holding.check(entry.service, self._features.holder, self._uncounted([caddy_holding.full()]))]

    def _closing(self, entry: Entry) -> list[Part]:
        if self._inner or not self._features.maintenance:
            return []
        return [caddy_maintenance.check(self._features.maintenance, entry, self._health[entry.service])]

    def _counted(self) -> list[Part]:
        """What an access line says beside time and status: who answered, and after how many milliseconds."""
        if self._inner or not self._features.meter:
            return []
        told = {"upstream": "hostport", "latency_ms": "latency_ms"}
        return [
            {"handler": "log_append", "key": key, "value": f"{{http.reverse_proxy.upstream.{value}}}"}
            for key, value in told.items()
        ]

    def _uncounted(self, handle: list[Part]) -> list[Part]:
        """What no release has to do with has no access line."""
        if self._inner or not self._features.meter:
            return handle
        return [{"handler": "vars", "log_skip": True}, *handle]

    def _proxied(self, service: str) -> list[Part]:
        plain = self._upstream(_content("current", service))
        if not self._features.shares:
            return [plain]
        sharing = {"match": [_there("current", f"{service}{SHARE}/")], "handle": [_subroute(self._sharing(service))]}
        return [_subroute([sharing, {"handle": [plain]}])]

    def _sharing(self, service: str) -> list[Part]:
        """What happens while a release has a share: a client in one of its buckets goes there, any other goes on."""
        cookie, drawn = f"{{http.request.cookie.{COOKIE}}}", "{http.regexp.drawn.0}"
        told = [] if self._inner else [_set_cookie(f"{COOKIE}={drawn}; {COOKIE_ATTRIBUTES}")]
        return [
            {
                "group": "draw",
                "match": [{"vars_regexp": {cookie: {"pattern": BUCKET}}}],
                "handle": [{"handler": "vars", "switchback_bucket": cookie}],
            },
            {
                "group": "draw",
                "match": [{"vars_regexp": {"{http.request.uuid}": {"name": "drawn", "pattern": "^.."}}}],
                "handle": [{"handler": "vars", "switchback_bucket": drawn}, *told],
            },
            {
                "match": [_there("current", f"{service}{SHARE}/{{http.vars.switchback_bucket}}")],
                "handle": [_subroute(self._incoming(service))],
            },
        ]

    def _incoming(self, service: str) -> list[Part]:
        """The way to the incoming release, or on, when a rename has ended the share since the last look."""
        address = "{http.vars.switchback_next}"
        return [
            {"handle": [{"handler": "vars", "switchback_next": _content("current", f"{service}{NEXT}")}]},
            {
                "match": [{"not": [{"vars": {"switchback_next": [""]}}]}],
                "handle": [self._upstream(address)],
                "terminal": True,
            },
        ]

    def _upstream(self, address: str) -> Part:
        return {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": address}],
            "stream_close_delay": duration(self._drain),
            "transport": {
                "protocol": "http",
                # Shorter than any usual server keeps it (Node: 5 s), so Caddy lets go first and never
                # sends a POST into a connection that is just being closed; and a drain soon sees which are in use.
                "keep_alive": {"idle_timeout": "1s", "max_idle_conns_per_host": 256},
            },
        }


def duration(seconds: float) -> str:
    """As Caddy reads it. Never zero, which as a grace period is for ever."""
    return f"{max(1, round(seconds * 1000))}ms"


def _content(link: str, file: str) -> str:
    return f"{{file.{_POINTER}/{link}/{file}}}"


def _there(link: str, file: str) -> Part:
    """Matches while the pointer has the file, or the directory, whose name then ends with a slash."""
    return {"file": {"root": f"{_POINTER}/{link}", "try_files": [file]}}


def _subroute(routes: list[Part]) -> Part:
    return {"handler": "subroute", "routes": routes}


def _set_cookie(value: str) -> Part:
    return {"handler": "headers", "response": {"add": {"Set-Cookie": [value]}}}

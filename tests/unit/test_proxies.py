"""The proxies' configurations: whole texts against golden files, and that both route every request alike.

After a change that is meant: `SWITCHBACK_GOLDEN=write python -m pytest tests/unit/test_proxies.py`, and read the diff.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.inside import look
from switchback.observation import Observation, read_links
from switchback.proxies import DRIVERS, caddy, nginx
from switchback.proxies.nginx_locations import marker
from switchback.proxies.routing import routing_table
from switchback.specs import Features, Maintenance, Probe, Route, Target

GOLDEN = Path(__file__).parent / "golden"


def release(service: str, slot: str, tag: str, *routes: tuple[str, str], health: str = "/health") -> Target:
    """A release of a service; without routes it has no port either."""
    return Target(
        service=service,
        slot=slot,
        release=tag,
        version=tag,
        container=f"shop-{service}-{slot}-{tag}",
        port=8080 if routes else None,
        routes=tuple(Route(host=host, path=path) for host, path in routes),
        probe=Probe(path=health),
    )


def both(service: str, *routes: tuple[str, str], health: str = "/health") -> tuple[Target, Target]:
    """A service with a release in each slot."""
    return (
        release(service, "blue", "1.4.0", *routes, health=health),
        release(service, "green", "1.5.0", *routes, health=health),
    )


ONE = both("web", ("", "/"))
WORKER = both("jobs")
SEVERAL = (
    *both("web", ("", "/"), ("shop.example.com", "/")),
    *both("api", ("", "/api"), ("api.example.com", "/v1.0/"), health="/ready"),
    *both("admin", ("*.example.com", "/admin")),
)
CASES = {
    "one": (ONE, Features()),
    "several": (SEVERAL, Features()),
    "worker": ((*ONE, *WORKER), Features()),
    "unmetered": (ONE, Features(meter=False)),
    "maintenance": (
        (*both("web", ("", "/")), *both("api", ("api.example.com", "/api"), health="/api/v1.0/ready")),
        Features(
            maintenance=Maintenance(page="<p>$5 {soon}</p>\n", retry_after=90, allow=("10.0.0.0/8", "2001:db8::/32"))
        ),
    ),
    "holder": (
        (*both("web", ("", "/")), *both("api", ("api.example.com", "/api"))),
        Features(holder="shop-toolbox:2021"),
    ),
    "shares": ((*both("web", ("", "/")), *both("api", ("", "/api"), health="/ready")), Features(shares=True)),
}


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
@pytest.mark.parametrize("case", CASES)
def test_C1_the_whole_configuration_is_the_golden_one(case: str, kind: str) -> None:
    driver = DRIVERS[kind]
    targets, features = CASES[case]
    text = driver.config(targets, "0123456789ab", 30.0, features)
    golden = GOLDEN / case / driver.FILENAME
    if os.environ.get("SWITCHBACK_GOLDEN") == "write":
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_E1_a_worker_is_no_matter_of_the_proxy(kind: str) -> None:
    driver = DRIVERS[kind]
    assert driver.config((*ONE, *WORKER), "d", 30.0) == driver.config(ONE, "d", 30.0)


@pytest.mark.parametrize(("kind", "file"), [("caddy", "jobs"), ("nginx", "jobs@shop-jobs-blue-1.4.0")])
def test_E1_the_pointer_says_which_worker_goes_with_the_rest(kind: str, file: str) -> None:
    files = DRIVERS[kind].pointer((ONE[0], WORKER[0]))
    assert len(files) == 2
    assert files[file] == "shop-jobs-blue-1.4.0"


# How the proxies choose, so far as these configurations use it. What real ones do with them is in tests/integration.


def caddy_server(targets: tuple[Target, ...], name: str) -> dict[str, Any]:
    """One of Caddy's two servers: `public` or `inner`."""
    servers: dict[str, dict[str, Any]] = json.loads(caddy.config(targets, "d", 30.0))["apps"]["http"]["servers"]
    assert servers.keys() == {"public", "inner"}
    return servers[name]


def asked_caddy(targets: tuple[Target, ...], host: str, path: str) -> str:
    """The service that Caddy hands a request to; empty for its own 404."""
    for route in caddy_server(targets, "public")["routes"]:
        if not any(_caddy_matches(match, host, path) for match in route.get("match", [{}])):
            continue
        handler = route["handle"][-1]
        if handler["handler"] == "static_response":
            return ""
        found = re.fullmatch(r"\{file\./run/switchback/pointer/current/(.+)}", handler["upstreams"][0]["dial"])
        assert found
        assert route["terminal"]
        return found[1]
    raise AssertionError("no route took it")


def _caddy_matches(match: dict[str, Any], host: str, path: str) -> bool:
    assert match.keys() <= {"host", "path_regexp"}
    hosts = match.get("host", [host])
    return any(_host_matches(pattern, host) for pattern in hosts) and bool(
        re.search(match.get("path_regexp", {"pattern": ""})["pattern"], path)
    )


def _host_matches(pattern: str, host: str) -> bool:
    """Caddy's `*` stands for one label."""
    asked, wanted = host.split("."), pattern.split(".")
    return len(asked) == len(wanted) and all(w in ("*", a) for a, w in zip(asked, wanted, strict=True))


class Directive(msgspec.Struct, frozen=True):
    """A directive of nginx: its words, and what is in its block."""

    words: tuple[str, ...]
    block: tuple[Directive, ...] = ()

    def named(self, name: str) -> Iterator[Directive]:
        """The directives of that name right in the block."""
        return (inner for inner in self.block if inner.words[0] == name)


def parsed(text: str) -> Directive:
    """nginx's configuration as a tree."""
    tokens = re.findall(r"""'[^']*'|"[^"]*"|[{};]|[^\s{};]+""", re.sub(r"(?m)^\s*#.*$", "", text))

    def block(position: int) -> tuple[tuple[Directive, ...], int]:
        found: list[Directive] = []
        words: list[str] = []
        while position < len(tokens):
            token, position = tokens[position], position + 1
            if token == ";":
                found, words = [*found, Directive(tuple(words))], []
            elif token == "{":
                inner, position = block(position)
                found, words = [*found, Directive(tuple(words), inner)], []
            elif token == "}":
                return tuple(found), position
            else:
                words.append(token)
        assert not words, f"{words} is not ended"
        return tuple(found), position

    directives, end = block(0)
    assert end == len(tokens), "a block is closed that was never opened"
    return Directive((), directives)


def http(targets: tuple[Target, ...], drain: float = 30.0) -> Directive:
    """The `http` block."""
    [found] = parsed(nginx.config(targets, "d", drain)).named("http")
    return found


def asked_nginx(targets: tuple[Target, ...], host: str, path: str) -> str:
    """The service that nginx hands a request to; empty for its own 404."""
    servers = {server.words[1]: each for each in http(targets).named("server") for server in each.named("server_name")}
    server = servers.get(host) or next(
        (each for name, each in servers.items() if name.startswith("~") and re.search(name[1:], host)), servers["_"]
    )
    places = {place.words[1:]: place for place in server.named("location")}
    place = places.get(("=", path)) or max(
        (each for words, each in places.items() if words[0] != "=" and path.startswith(words[-1])),
        key=lambda each: len(each.words[-1]),
    )
    markers = [condition.words[-1].rpartition("/")[2] for condition in place.named("if") if "(-f" in condition.words]
    services = {marker.partition("@")[0] for marker in markers}
    assert len(services) <= 1
    return services.pop() if services else ""


def expected(targets: tuple[Target, ...], host: str, path: str) -> str:
    """What the configuration reference says: host and path match by whole segments, the longest path first."""
    fitting = [
        (len(prefix), route.host == host, route.host != "", target.service)
        for target in targets
        for route in target.routes
        if route.host == "" or _host_matches(route.host, host)
        if (prefix := route.path.rstrip("/")) == path or path.startswith(f"{prefix}/")
    ]
    return max(fitting)[-1] if fitting else ""


HOSTS = ["shop.example.com", "*.example.com", "example.com", "a.b.example.com", "*.b.example.com"]
PATHS = ["/", "/api", "/api/", "/api/v1", "/ap", "/Api", "/v1.0", "/v1.0/x", "/~a-b_c"]
routes = st.tuples(st.sampled_from(["", *HOSTS]), st.sampled_from(PATHS))
hosts_asked = st.sampled_from([*HOSTS, "elsewhere.org", "other.example.com", "x.b.example.com", "x.a.b.example.com"])
paths_asked = st.builds(
    lambda path, more: f"/{(path.rstrip('/') + more).lstrip('/')}",
    st.sampled_from(PATHS),
    st.sampled_from(["", "/", "/x", "ish", "/v1/y", ".html"]),
)


@st.composite
def environments(draw: st.DrawFn) -> tuple[Target, ...]:
    """Services in both slots, no two with the same route, as settings.py makes sure."""
    drawn = draw(
        st.lists(routes, min_size=1, max_size=7, unique_by=lambda route: (route[0], route[1].rstrip("/") or "/"))
    )
    names = draw(st.lists(st.sampled_from(["web", "api", "ui"]), min_size=len(drawn), max_size=len(drawn)))
    by_name: dict[str, list[tuple[str, str]]] = {}
    for name, route in zip(names, drawn, strict=True):
        by_name.setdefault(name, []).append(route)
    return tuple(target for name, own in by_name.items() for target in both(name, *own))


@given(environments(), hosts_asked.filter(lambda host: "*" not in host), paths_asked)
def test_E1_both_proxies_route_a_request_to_the_service_with_the_longest_path(
    targets: tuple[Target, ...], host: str, path: str
) -> None:
    wanted = expected(targets, host, path)
    assert asked_caddy(targets, host, path) == wanted
    assert asked_nginx(targets, host, path) == wanted


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("elsewhere.org", "/", "web"),
        ("elsewhere.org", "/api", "api"),
        ("elsewhere.org", "/api/x", "api"),
        ("elsewhere.org", "/apish", "web"),  # whole segments
        ("elsewhere.org", "/API", "web"),  # as written
        ("api.example.com", "/v1.0", "api"),
        ("api.example.com", "/v1.0/x", "api"),
        ("api.example.com", "/v1x0", "web"),  # a dot is a dot
        ("api.example.com", "/v2", "web"),  # a host's other paths go to who takes any host
        ("api.example.com", "/admin", "admin"),  # and before that, to the wildcard that covers it
        ("other.example.com", "/admin/x", "admin"),
        ("a.other.example.com", "/admin", "web"),  # a wildcard stands for one label
        ("other.example.com", "/api", "api"),
        ("shop.example.com", "/", "web"),
    ],
)
def test_E1_a_request_finds_its_service(host: str, path: str, service: str) -> None:
    assert asked_caddy(SEVERAL, host, path) == service
    assert asked_nginx(SEVERAL, host, path) == service


@pytest.mark.parametrize("ask", [asked_caddy, asked_nginx])
def test_E1_what_no_route_takes_is_a_404_of_the_proxy(ask: Any) -> None:
    targets = both("api", ("", "/api"), ("api.example.com", "/v1"))
    assert ask(targets, "elsewhere.org", "/") == ""
    assert ask(targets, "api.example.com", "/") == ""
    assert ask(targets, "api.example.com", "/api") == "api"


@given(environments())
def test_the_table_lists_the_longest_path_first(targets: tuple[Target, ...]) -> None:
    for entries in routing_table(targets).values():
        lengths = [len(entry.path) for entry in entries]
        assert lengths == sorted(lengths, reverse=True)
        assert len({entry.path for entry in entries}) == len(entries)


@given(environments(), st.data())
def test_the_order_of_releases_is_no_change_of_configuration(targets: tuple[Target, ...], data: st.DataObject) -> None:
    shuffled = tuple(data.draw(st.permutations(targets)))
    for driver in DRIVERS.values():
        assert driver.config(shuffled, "d", 30.0) == driver.config(targets, "d", 30.0)


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_C1_a_pointer_is_read_back_as_what_it_was_written_for(kind: str) -> None:
    live = tuple(target for target in (*SEVERAL, *WORKER) if target.slot == "green")
    files = DRIVERS[kind].pointer(live)
    tree = {f"pointer/g/{name}": content.encode() for name, content in files.items()}
    links = read_links({**tree, "pointer/current": b"-> g", "pointer/verified": b"-> g"})
    assert links.points_to(files)
    seen = Observation(containers={}, links=links, foreign_ports={})
    assert seen.pointed() == {target.service: target.container for target in live}


def test_C1_caddys_configuration_does_not_know_releases() -> None:
    other = tuple(msgspec.structs.replace(target, container=f"{target.container}-next") for target in SEVERAL)
    assert caddy.config(other, "d", 30.0) == caddy.config(SEVERAL, "d", 30.0)


def test_C1_nginx_has_an_upstream_group_and_a_marker_for_every_release() -> None:
    groups = {group.words[1]: group for group in http(SEVERAL).named("upstream")}
    assert groups.keys() == {target.container for target in SEVERAL}
    for target in SEVERAL:
        [server] = groups[target.container].named("server")
        assert server.words[1] == target.address
        assert next(groups[target.container].named("keepalive"), None)
    text = nginx.config(SEVERAL, "d", 30.0)
    assert Directive(("working_directory", "/run/switchback")) in parsed(text).block  # where the markers are seen from
    for link in ("current", "next"):
        for target in SEVERAL:
            assert f"(-f pointer/{link}/{marker(target.service, target.container)})" in text


def test_C1_nginx_proxies_to_the_release_whose_marker_is_there_and_to_none_without() -> None:
    [place] = [p for server in http(ONE).named("server") for p in server.named("location") if p.words[1:] == ("/",)]
    # Twice: a rename between two looks is no reason to find nothing.
    for condition, target in zip(place.named("if"), (*ONE, *ONE), strict=True):
        assert condition.words[-1].endswith(f"{marker(target.service, target.container)})")
        assert condition.block == (Directive(("proxy_pass", f"http://{target.container}")), Directive(("break",)))
    [refusal] = place.named("return")
    assert refusal.words[1] == "503"
    assert not list(place.named("proxy_pass"))


def test_C1_the_rehearsal_asks_each_service_for_its_own_health_path() -> None:
    places = [place for server in http(SEVERAL).named("server") for place in server.named("location")]
    asked = {
        place.words[-1]: next(place.named("proxy_pass")).words[1]
        for place in places
        if place.words[-1].startswith("/.switchback/next/")
    }
    assert asked == {
        "/.switchback/next/admin": "http://$switchback_target/health",
        "/.switchback/next/api": "http://$switchback_target/ready",
        "/.switchback/next/web": "http://$switchback_target/health",
    }
    rewritten = {
        route["match"][0]["path"][0]: route["handle"][0]["uri"]
        for route in caddy_server(SEVERAL, "inner")["routes"]
        if route["handle"][0]["handler"] == "rewrite"
    }
    assert rewritten == {path: uri.removeprefix("http://$switchback_target") for path, uri in asked.items()}


def test_13_caddys_admin_endpoint_is_a_socket_that_only_the_toolbox_shares() -> None:
    assert json.loads(caddy.config(ONE, "d", 30.0))["admin"]["listen"] == "unix//run/switchback/caddy-admin.sock"
    assert look.CADDY_SOCKET == caddy.SOCKET
    assert look.CADDY_FILE == caddy.FILENAME


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_13_what_tells_the_inside_is_for_the_inner_port_alone(kind: str) -> None:
    if kind == "caddy":
        assert caddy_server(SEVERAL, "public")["listen"] == [f":{caddy.PORT}"]
        assert caddy_server(SEVERAL, "inner")["listen"] == [f":{caddy.PROBE_PORT}"]
        for told in ("/.switchback", "X-Switchback"):
            assert told in json.dumps(caddy_server(SEVERAL, "inner"))
            assert told not in json.dumps(caddy_server(SEVERAL, "public"))
        return
    places = [place for server in http(SEVERAL).named("server") for place in server.named("location")]
    inside = [place for place in places if "/.switchback" in place.words[-1]]
    assert inside
    for place in inside:
        refusal = place.block[0]
        assert refusal.words == ("if", "($server_port", "!=", f"{nginx.PROBE_PORT})")
        assert refusal.block == (Directive(("return", "404")),)
    [names] = [table for table in http(SEVERAL).named("map") if table.words[-1] == "$switchback_upstream"]
    assert names.block == (Directive((str(nginx.PROBE_PORT), "$proxy_host")), Directive(("default", "''")))


@given(st.floats(0, 3600))
def test_C1_the_drain_time_is_one_that_the_proxies_read(drain: float) -> None:
    app = json.loads(caddy.config(ONE, "d", drain))["apps"]["http"]
    delays = {app["grace_period"], *re.findall(r'"stream_close_delay": "(\w+)"', json.dumps(app["servers"]))}
    [delay] = delays
    found = re.fullmatch(r"([0-9]+)ms", delay)
    assert found
    assert max(1.0, drain * 1000 - 1) <= int(found[1]) <= drain * 1000 + 1  # as a grace period, zero is for ever
    [limit] = parsed(nginx.config(ONE, "d", drain)).named("worker_shutdown_timeout")
    assert re.fullmatch(r"[1-9][0-9]*s", limit.words[1])


# What settings.py lets through; the patterns are the models'.
LABEL = r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?"


@given(
    st.lists(
        st.tuples(
            st.from_regex(rf"(\*\.)?{LABEL}(\.{LABEL}){{0,3}}", fullmatch=True),
            st.from_regex(re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII), fullmatch=True),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda route: (route[0], route[1].rstrip("/")),
    ),
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True),
)
def test_C1_no_legal_setting_leaves_its_place_in_the_text(given_routes: list[tuple[str, str]], name: str) -> None:
    targets = both(name, *given_routes)
    servers = list(http(targets).named("server"))
    assert len(servers) == 1 + len({host for host, _ in given_routes})
    allowed = {"listen", "server_name", "location"}
    assert {inner.words[0] for server in servers for inner in server.block} == allowed
    for host, path in given_routes:
        asked = host.replace("*", "any")
        if path.rstrip("/") or path == "/":
            assert asked_nginx(targets, asked, path.rstrip("/") or "/") == name
            assert asked_caddy(targets, asked, path.rstrip("/") or "/") == name

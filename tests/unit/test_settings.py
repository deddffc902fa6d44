"""The configuration: what good input becomes, what bad input gets, and that no input gets anything else."""

from __future__ import annotations

import contextvars
import copy
import json
import re
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pulumi.runtime import config as runtime_config
from pydantic import BaseModel, SecretStr

from components.models import ProxySettings, Settings
from components.settings import SettingsError, parse_settings, read_settings

Path = tuple[str | int, ...]

# A busy machine is no fault of the settings.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Every key that there is, so that the walks below meet all of them (a test sees to that).
FULL: dict[str, Any] = {
    "activeSlot": "blue",
    "slots": {
        "blue": {"imageTag": "1.4.0", "revision": 1, "env": {"FEATURE_X": "off"}, "schema": {"min": "7", "max": "12"}},
        "green": {"imageTag": "1.5.0", "revision": 2, "env": {"FEATURE_X": "on"}, "schema": {"versions": ["12"]}},
    },
    "services": {
        "web": {
            "image": "registry.example.com:5000/acme/web",
            "port": 8080,
            "routes": [{"host": "app.example.com", "path": "/"}, {"path": "/api"}],
            "health": {
                "path": "/health",
                "passes": 3,
                "interval": "200ms",
                "timeout": 30,
                "expectVersion": True,
                "steady": "2s",
            },
            "env": {"LOG_LEVEL": "info"},
            "secretEnv": {"API_TOKEN": "correct horse"},
            "resources": {"memory": "512m", "cpus": 0.5, "pids": 256},
            "activeSlot": "green",
            "command": ["serve", "--quiet"],
            "user": "1000:1000",
            "readOnly": True,
            "capabilities": ["NET_BIND_SERVICE"],
            "mounts": [{"source": "uploads", "target": "/uploads", "readOnly": False}],
            "build": {
                "repository": "https://git.example.com/acme/web.git",
                "commit": "v{tag}",
                "context": "web",
                "dockerfile": "deploy/Dockerfile",
                "args": {"FLAVOUR": "plain"},
                "timeout": "20m",
            },
        },
        "worker": {"image": "acme/worker"},
    },
    "proxy": {
        "kind": "nginx",
        "image": "nginx:1.29",
        "address": "127.0.0.1",
        "httpPort": 8081,
        "drain": "30s",
        "resources": {"memory": "256m", "cpus": 1, "pids": 512},
    },
    "database": {
        "embedded": True,
        "image": "postgres:17",
        "resources": {"memory": "1g", "cpus": 1, "pids": 512},
        "schema": {"kind": "golang-migrate", "table": "shop.schema_migrations"},
    },
    "toolbox": {
        "image": "switchback/toolbox:local",
        "resources": {"memory": "256m", "cpus": 1, "pids": 512},
    },
    "analysis": {
        "bake": "30s",
        "baseline": "2m",
        "maxErrorRate": 0.02,
        "maxLatencyIncrease": 1,
        "minRequests": 50,
        "onInconclusive": "revert",
        "synthetic": {"rate": 5, "paths": ["/", "/api/ping"]},
    },
    "rollout": {"steps": [10, 50, 100]},
    "autoRollback": False,
    "gates": [
        {"name": "own", "command": ["pytest"], "service": "web", "timeout": "2m"},
        {
            "name": "shop",
            "command": ["cypress", "run"],
            "image": "acme/tests:1",
            "env": {"LOCALE": "de"},
            "secretEnv": {"LOGIN": "battery staple"},
            "resources": {"memory": "2g", "cpus": 1, "pids": 512},
            "readOnly": False,
        },
    ],
    "maintenance": {
        "enabled": True,
        "page": "<p>later</p>",
        "retryAfter": "5m",
        "allow": ["10.0.0.0/8"],
    },
}

# What can't stand beside these.
OTHER_DATABASES: tuple[dict[str, Any], ...] = (
    {
        "url": "postgresql://shop:correct-horse@db.example.com:5432/shop?sslmode=verify-full",
        "schema": {"kind": "django", "app": "shop"},
    },
    {"embedded": True, "schema": {"kind": "query", "query": "SELECT max(version) FROM migrations"}},
)

# The places that keep whatever text they are given. All others refuse what could mean something to a shell.
VERBATIM = re.compile(
    r"slots/\w+/env/\w+|services/\w+/(env/\w+|secretEnv/\w+|command/\d|build/args/\w+)"
    r"|gates/\d/(env/\w+|secretEnv/\w+|command/\d)|maintenance/page"
)
# These do so if it is an absolute path.
VERBATIM_PATHS = re.compile(r"services/\w+/mounts/\d/(source|target)")

HOSTILE = (
    ";$(touch /tmp/pwn)",
    "`touch /tmp/pwn`",
    "a;$(touch /tmp/pwn)",
    "/a;$(touch /tmp/pwn)",
    "/a`touch /tmp/pwn`",
    "1.0\n",
    "\n",
    "/a\nb",
    "\"'",
    "/\"'",
    "a b",
    "| tee /tmp/pwn",
    "&& touch /tmp/pwn",
    "$HOME",
    "%0a",
    "{file./etc/passwd}",
    "--privileged",
    "../../etc/passwd",
    "/a\0b",
    "a\0b",
    "fe80::1%;$(touch /tmp/pwn)",
    "é",
    "٣",
    "",
)


def full() -> dict[str, Any]:
    """A configuration that uses every key, to change at will."""
    return copy.deepcopy(FULL)


def parse(raw: dict[str, Any], *, environment: str = "production") -> Settings:
    database = raw.get("database")
    own = {"database"} if isinstance(database, dict) and "url" in database else set()
    return parse_settings(raw, secret_keys={"services", "gates"} | own, environment=environment)


def errors_of(raw: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(raw, **more)
    assert all(line in str(caught.value) for line in caught.value.errors)
    return caught.value.errors


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything in a configuration that is no map and no list."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from leaves(inner, (*path, key))
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from leaves(inner, (*path, index))
        case _:
            yield path


def nodes(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything in a configuration."""
    if path:
        yield path
    match value:
        case dict():
            for key, inner in value.items():
                yield from nodes(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from nodes(inner, (*path, index))


def at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def put(raw: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The configuration with another value in one place."""
    raw = copy.deepcopy(raw)
    at(raw, path[:-1])[path[-1]] = value
    return raw


def shown(path: Path) -> str:
    return "/".join(map(str, path))


def dumped(checked: BaseModel) -> dict[str, Any]:
    """Settings as the configuration that would make them, secrets in the clear."""
    return json.loads(json.dumps(checked.model_dump(by_alias=True), default=lambda secret: secret.get_secret_value()))  # type: ignore[no-any-return]


# ---- good input ----


def test_the_example_uses_every_key() -> None:
    def known(model: type[BaseModel]) -> set[tuple[type[BaseModel], str]]:
        found = {(model, field.alias or "") for field in model.model_fields.values()}
        return found.union(*(known(inner) for field in model.model_fields.values() for inner in models_in(field)))

    def models_in(field: Any) -> list[type[BaseModel]]:
        def walk(kind: Any) -> Iterator[type[BaseModel]]:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield kind
            for part in getattr(kind, "__args__", ()):
                yield from walk(part)

        return list(walk(field.annotation))

    def used(value: Any) -> set[tuple[type[BaseModel], str]]:
        match value:
            case BaseModel():
                fields = type(value).model_fields
                own = {(type(value), fields[name].alias or "") for name in value.model_fields_set}
                return own.union(*(used(getattr(value, name)) for name in fields))
            case dict():
                return set().union(*(used(inner) for inner in value.values()))
            case tuple():
                return set().union(*(used(inner) for inner in value))
            case _:
                return set()

    others = [parse(put(full(), ("database",), other)) for other in OTHER_DATABASES]
    assert set().union(*(used(one) for one in (parse(full()), *others))) == known(Settings)


def test_units_and_defaults() -> None:
    checked = parse(full())
    web, worker = checked.services["web"], checked.services["worker"]
    assert (web.health.interval, web.health.timeout, web.health.steady) == (0.2, 30.0, 2.0)
    assert (web.resources.memory, checked.database.resources.memory) == (512 << 20, 1 << 30)
    assert (worker.port, worker.routes, worker.command, worker.read_only) == (None, (), None, True)
    assert ProxySettings().resources.memory == 256 << 20
    assert ProxySettings().image_ref == "caddy:2.11"
    assert ProxySettings(kind="nginx").image_ref == "nginx:1.29"


def test_E2_a_service_can_be_in_another_slot_than_the_rest() -> None:
    checked = parse(full())
    assert (checked.slot_of("web"), checked.standby_of("web")) == ("green", "blue")
    assert (checked.slot_of("worker"), checked.standby_of("worker")) == ("blue", "green")


def test_settings_are_frozen() -> None:
    checked = parse(full())
    with pytest.raises(ValueError, match="frozen"):
        checked.active_slot = "green"


@pytest.mark.parametrize(
    ("path", "made", "meant"),
    [
        # What `pulumi config set --path KEY VALUE` writes: whole numbers and true/false lose their quotes, and
        # numbers with a point gain some.
        (("slots", "blue", "imageTag"), 2, "2"),
        (("slots", "blue", "env", "A"), 5, "5"),
        (("slots", "blue", "env", "A"), -5, "-5"),
        (("services", "web", "env", "A"), True, "true"),
        (("services", "web", "env", "A"), False, "false"),
        (("services", "web", "command"), ["sleep", 60, True], ["sleep", "60", "true"]),
        (("services", "web", "user"), 1000, "1000"),
        (("services", "web", "resources", "cpus"), "0.5", 0.5),
        (("services", "web", "resources", "cpus"), 2, 2.0),
        (("services", "web", "resources", "memory"), 1 << 30, 1 << 30),
        (("services", "web", "health", "interval"), "0.5", 0.5),
        (("services", "web", "health", "timeout"), "2m", 120.0),
        (("proxy", "drain"), 5, 5.0),
    ],
)
def test_what_config_set_writes_is_taken_as_it_was_meant(path: Path, made: Any, meant: Any) -> None:
    assert at(dumped(parse(put(full(), path, made))), path) == meant


# ---- bad input: each kind ----


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("activeSlot",), "purple", "activeSlot: 'purple' is not one of 'blue', 'green'"),
        (("activeSlot",), 3, "activeSlot: 3 is not one of"),
        (("activeSlots",), "blue", "activeSlots: unknown key (did you mean activeSlot?)"),
        (
            ("zebra",),
            1,
            "zebra: unknown key (known here: activeSlot, analysis, autoRollback, database, gates, maintenance, proxy,"
            " rollout, services, slots, toolbox)",
        ),
        (
            ("analysis",),
            {"minRequests": 5},
            "analysis/minRequests: 5 does not fit: should be greater than or equal to 10",
        ),
        (("analysis",), {"maxErrorRate": 0.1}, "analysis/bake: is missing, and without it there is no analysis"),
        (("analysis", "onInconclusive"), "pass", "analysis/onInconclusive: 'pass' is not one of 'keep', 'revert'"),
        (("rollout", "steps"), [10, 50], "rollout/steps: steps are percent of the traffic: from 1 on"),
        (("rollout", "steps"), [50, 10, 100], "rollout/steps: steps are percent of the traffic: from 1 on"),
        (("rollout", "steps"), [0, 100], "rollout/steps: steps are percent of the traffic: from 1 on"),
        (("rollout", "steps"), [], "rollout/steps: steps are percent of the traffic: from 1 on"),
        (("analysis",), {}, "rollout/steps: needs analysis.bake"),
        (("autoRollback",), "perhaps", "autoRollback: 'perhaps' does not fit"),
        (("slots", "purple"), {"imageTag": "1"}, "slots/purple: 'purple' is not one of 'blue', 'green'"),
        (("slots", "blue"), {}, "slots/blue/imageTag: is missing"),
        (("slots", "blue"), {"imagetag": "1"}, "slots/blue/imagetag: unknown key (did you mean imageTag?)"),
        (("slots", "blue", "image_tag"), "1", "slots/blue/image_tag: unknown key (did you mean imageTag?)"),
        (("slots", "blue", "revision"), 0, "slots/blue/revision: 0 does not fit: should be greater than or equal to 1"),
        (("slots", "blue", "revision"), "2", "slots/blue/revision: '2' does not fit: should be a valid integer"),
        (
            ("slots", "blue", "imageTag"),
            1.1,
            "slots/blue/imageTag: 1.1 is a number, in which 1.10 and 1.1 are the same",
        ),
        (("slots", "blue", "imageTag"), None, "slots/blue/imageTag: None does not fit: should be a valid string"),
        (("slots", "blue", "env", "A"), 0.5, "slots/blue/env/A: 0.5 is a number, whose digits may have changed"),
        (("slots", "blue", "env", "A-B"), "", "slots/blue/env/A-B: 'A-B' is not the name of an environment variable"),
        (("services", "web", "prot"), 80, "services/web/prot: unknown key (did you mean port?)"),
        (("services", "web", "health", "pases"), 3, "services/web/health/pases: unknown key (did you mean passes?)"),
        (("services", "web", "routes", 0, "hots"), "", "services/web/routes/0/hots: unknown key (did you mean host?)"),
        (("services", "web", "port"), 70000, "services/web/port: 70000 is not a port (1–65535)"),
        (("services", "web", "port"), 0, "services/web/port: 0 is not a port (1–65535)"),
        (("services", "web", "port"), 8080.5, "services/web/port: 8080.5 does not fit"),
        (("services", "web", "port"), True, "services/web/port: True does not fit"),
        (("services", "web", "port"), None, "services/web/port: is missing, but the service has routes"),
        (("services", "web", "routes"), "/", "services/web/routes:"),
        (("services", "web", "resources", "memory"), "1t", "services/web/resources/memory:"),
        (("services", "web", "resources", "memory"), "9" * 5000, "services/web/resources/memory:"),
        (("services", "web", "resources", "memory"), 1024, "services/web/resources/memory: 1024 does not fit"),
        (("services", "web", "resources", "cpus"), "much", "services/web/resources/cpus:"),
        (("services", "web", "resources", "cpus"), float("nan"), "services/web/resources/cpus:"),
        (("services", "web", "health", "interval"), float("nan"), "services/web/health/interval:"),
        (("services", "web", "health", "timeout"), float("inf"), "services/web/health/timeout:"),
        (("services", "web", "secretEnv", "API_TOKEN"), 5, "services/web/secretEnv/API_TOKEN: must be a text"),
        (("services", "web", "secretEnv", "API_TOKEN"), "a\0b", "services/web/secretEnv/API_TOKEN: must be a text"),
        (("services", "web", "secretEnv", "A B"), "x", "services/web/secretEnv/A B: 'A B' is not the name of"),
        (("services", "web", "secretEnv", "LOG_LEVEL"), "x", "services/web/secretEnv/LOG_LEVEL: is in env as well"),
        (("services", "web", "command"), "app serve", "services/web/command:"),
        (("services", "web", "command"), ["a\0b"], "services/web/command/0: holds a NUL byte"),
        (("services", "web", "capabilities"), ["ALL"], "services/web/capabilities/0:"),
        (("services", "Web"), {"image": "acme/web"}, "services/Web: 'Web' is not a name"),
        (("services", "w" * 64), {"image": "acme/web"}, f"services/{'w' * 64}: '{'w' * 64}' is not a name"),
        (("services", "-web"), {"image": "acme/web"}, "services/-web: '-web' is not a name"),
        (("services", "web-blue"), {"image": "acme/web"}, "services/web-blue: the name of a slot can't be part"),
        (("services", "web"), {}, "services/web/image: is missing"),
        (("services", "web", "[key]"), "web", "services/web/[key]: unknown key"),
        (("services", "[key]"), {}, "services/[key]: '[key]' is not a name"),
        (("services",), {}, "services: name at least one service"),
        (("services",), [], "services: a list does not fit"),
        (("slots",), {}, "slots/blue/imageTag: is missing, but activeSlot is blue"),
        (("proxy", "kind"), "apache", "proxy/kind: 'apache' is not one of 'caddy', 'nginx', 'none'"),
        (("proxy", "address"), "localhost", "proxy/address: 'localhost' is not an IP address"),
        (("proxy", "address"), "1.2.3.4.5", "proxy/address: '1.2.3.4.5' is not an IP address"),
        (("proxy", "drain"), "-1s", "proxy/drain: '-1s' is not a duration"),
        (("proxy", "drain"), "2 minutes", "proxy/drain: '2 minutes' is not a duration"),
        (("proxy",), "caddy", "proxy: 'caddy' does not fit"),
        (("database", "embedded"), "yes", "database/embedded: 'yes' does not fit"),
    ],
)
def test_bad_input_is_named_by_its_path(path: Path, value: Any, complaint: str) -> None:
    assert [line for line in errors_of(put(full(), path, value)) if line.startswith(complaint)]


@pytest.mark.parametrize("key", ["activeSlot", "slots", "services"])
def test_what_is_missing_is_named_with_its_meaning(key: str) -> None:
    raw = full()
    del raw[key]
    [line] = errors_of(raw)
    assert line.startswith(f"{key}: is missing (The ")


@pytest.mark.parametrize(
    "tag", ["", ".1", "-1", "1 0", "1:0", "a/b", "1.0\n", "a" * 129, "v1@sha256", "١", "é", "latest;id", "$(id)", "1+2"]
)
def test_tags_that_docker_refuses(tag: str) -> None:
    [line] = errors_of(put(full(), ("slots", "green", "imageTag"), tag))
    assert line.startswith("slots/green/imageTag: ")
    assert "is not a tag that Docker takes" in line


@pytest.mark.parametrize("tag", ["1", "1.10", "_", "v2.0.0-rc.1_build", "A", "a" * 128, "2024-01-01", "12e4567"])
def test_tags_that_docker_takes(tag: str) -> None:
    assert parse(put(full(), ("slots", "green", "imageTag"), tag)).slots["green"].image_tag == tag


def test_a_slot_without_image_tag_cannot_be_active() -> None:
    raw = full()
    del raw["slots"]["blue"]
    assert errors_of(raw) == ["slots/blue/imageTag: is missing, but activeSlot is blue"]


def test_one_slot_is_enough_for_the_first_release() -> None:
    raw = full()
    del raw["slots"]["green"], raw["services"]["web"]["activeSlot"]
    assert set(parse(raw).slots) == {"blue"}


def test_E2_a_service_cannot_be_put_into_a_slot_that_is_not_there() -> None:
    raw = full()
    del raw["slots"]["green"]
    assert errors_of(raw) == ["services/web/activeSlot: is green, but slots/green has no imageTag"]


@pytest.mark.parametrize(
    ("mine", "theirs", "name"),
    [
        ({"host": "app.example.com"}, {"host": "app.example.com", "path": "/"}, "app.example.com/"),
        ({"path": "/api"}, {"path": "/api/"}, "any host/api"),
        ({}, {"path": "/"}, "any host/"),
        ({"host": None}, {}, "any host/"),
    ],
)
def test_a_route_belongs_to_one_service(mine: dict[str, Any], theirs: dict[str, Any], name: str) -> None:
    raw = full()
    raw["services"]["web"]["routes"] = [mine]
    raw["services"]["worker"] |= {"routes": [theirs], "port": 80}
    # The path alone is hidden from nobody: what is shown is a host, which the proxy tells everyone.
    assert errors_of(raw) == [f"services/worker/routes/0: {name} is a route of web already"]


def test_routes_need_a_port() -> None:
    raw = full()
    raw["services"]["worker"]["routes"] = [{"path": "/work"}]
    assert errors_of(raw) == ["services/worker/port: is missing, but the service has routes"]


@pytest.mark.parametrize("name", ["proxy", "toolbox", "database"])
def test_reserved_names(name: str) -> None:
    raw = full()
    raw["services"][name] = {"image": "acme/web"}
    assert errors_of(raw) == [f"services/{name}: the name is taken by Switchback's own container"]


@pytest.mark.parametrize("environment", ["Production", "a b", "a" * 64, "", "-a", "prod\n", "a/b", "$(id)"])
def test_security_4_a_stack_name_becomes_part_of_names(environment: str) -> None:
    [line] = errors_of(full(), environment=environment)
    assert line.startswith(f"stack name: {environment!r} is not a name")


def test_everything_wrong_is_said_at_once() -> None:
    raw = full()
    raw["activeSlot"] = "purple"
    raw["slots"]["blue"]["imageTag"] = 1.5
    raw["services"]["web"]["port"] = 70000
    raw["services"]["web"]["prot"] = 1
    raw["services"]["proxy"] = {"image": "acme/web"}
    raw["services"]["worker"]["routes"] = [{"host": "app.example.com"}]
    raw["proxi"] = {}
    with pytest.raises(SettingsError) as caught:
        parse(raw, environment="Prod")
    paths = [line.partition(": ")[0] for line in caught.value.errors]
    assert sorted(paths) == [
        "activeSlot",
        "proxi",
        "services/proxy",
        "services/web/port",
        "services/web/prot",
        "services/worker/port",
        "services/worker/routes/0",
        "slots/blue/imageTag",
        "stack name",
    ]
    text = str(caught.value)
    assert text.startswith(
        "9 errors in the configuration of this stack; nothing was changed, what served still serves:"
    )
    assert "pulumi config set --path" in text.splitlines()[-1]


# ---- the Docker socket (security list, 11) ----


@pytest.mark.parametrize(
    "source",
    [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/docker.sock/",
        "//var//run/./docker.sock",
        "/srv/../run/docker.sock",
        "/run/containerd/containerd.sock",
        "/mnt/host/run/docker.sock",
        "/run/podman/podman.sock",
        "/",
        "//",
        "/..",
        "/run",
        "/run/",
        "/var/run/",
        "/srv/../run",
        "/run/containerd",
        "/proc",
        "/proc/1/root",
        "/proc/1/root/\n",
    ],
)
def test_security_11_no_service_gets_the_docker_socket(source: str) -> None:
    mount = {"source": source, "target": "/x"}
    [line] = errors_of(put(full(), ("services", "web", "mounts"), [mount]))
    assert line.startswith("services/web/mounts/0/source: ")
    assert "would hand the Docker socket to a service" in line


@pytest.mark.parametrize("target", ["/var/run/docker.sock", "/docker.sock", "/x/../run/docker.sock"])
def test_security_11_nothing_is_mounted_where_a_socket_is_expected(target: str) -> None:
    mount = {"source": "volume", "target": target}
    [line] = errors_of(put(full(), ("services", "web", "mounts"), [mount]))
    assert line.startswith("services/web/mounts/0/target: ")


@pytest.mark.parametrize(
    ("source", "target"), [("run", "/run"), ("/srv/data", "/data"), ("/runs", "/x"), ("/var/lib/acme", "/x")]
)
def test_other_mounts_are_taken(source: str, target: str) -> None:
    mount = {"source": source, "target": target}
    [taken] = parse(put(full(), ("services", "web", "mounts"), [mount])).services["web"].mounts
    assert (taken.source, taken.target) == (source, target)


# ---- shell metacharacters (security list, 3) ----


@pytest.mark.parametrize("path", [*leaves(FULL)], ids=shown)
def test_security_3_a_text_is_kept_as_it_is_or_refused(path: Path) -> None:
    for text in HOSTILE:
        raw = put(full(), path, text)
        where = shown(path)
        keeps = VERBATIM.fullmatch(where) or (VERBATIM_PATHS.fullmatch(where) and re.match(r"/[^:\0]", text))
        if keeps and "\0" not in text:
            assert at(parse(raw).model_dump(by_alias=True), path) == text
        else:
            assert [line for line in errors_of(raw) if line.startswith(f"{where}: ")], text


@pytest.mark.parametrize(("number", "key"), [(0, "url"), (0, "schema/app"), (1, "schema/query")])
def test_security_3_a_text_of_another_database_is_kept_as_it_is_or_refused(number: int, key: str) -> None:
    path = ("database", *key.split("/"))
    for text in HOSTILE:
        raw = put(put(full(), ("database",), OTHER_DATABASES[number]), path, text)
        if key == "schema/query" and "\0" not in text:
            assert at(dumped(parse(raw)), path) == text  # handed to the database, and to no shell
        else:
            assert [line for line in errors_of(raw) if line.startswith(f"database/{key}: ")], text


@pytest.mark.parametrize(
    "path", [("slots", "blue", "env"), ("slots",), ("services",), ("services", "web", "env")], ids=shown
)
def test_security_3_a_name_is_refused(path: Path) -> None:
    for text in HOSTILE:
        raw = full()
        at(raw, path)[text] = copy.deepcopy(next(iter(at(raw, path).values())))
        assert [line for line in errors_of(raw) if line.startswith(f"{shown(path)}/{text}: ")], text


# ---- secrets ----

CANARY = "hunter2-canary"


def test_G2_secrets_are_not_shown_by_the_settings() -> None:
    checked = parse(put(full(), ("services", "web", "secretEnv", "API_TOKEN"), CANARY))
    assert checked.services["web"].secret_env["API_TOKEN"].get_secret_value() == CANARY
    assert CANARY not in f"{checked!r} {checked} {checked.model_dump_json()}"


def test_G2_plain_text_secrets_are_refused() -> None:
    raw = put(full(), ("services", "web", "secretEnv", "API_TOKEN"), CANARY)
    with pytest.raises(SettingsError) as caught:
        parse_settings(raw, secret_keys=set(), environment="production")
    assert caught.value.errors == [
        "services/web/secretEnv: is stored in plain text; set each with"
        " `pulumi config set --secret --path switchback:services.web.secretEnv.API_TOKEN`",
        "gates/1/secretEnv: is stored in plain text; set each with"
        " `pulumi config set --secret --path 'switchback:gates[1].secretEnv.LOGIN'`",
    ]


def test_G2_the_address_of_a_database_is_a_secret() -> None:
    url = f"postgresql://shop:{CANARY}@db.example.com/shop"
    raw = put(full(), ("database",), {"url": url})
    raw["slots"] = {"blue": {"imageTag": "1"}, "green": {"imageTag": "2"}}
    checked = parse(raw)
    assert checked.database.url is not None
    assert checked.database.url.get_secret_value() == url
    assert CANARY not in f"{checked!r} {checked} {checked.model_dump_json()}"
    with pytest.raises(SettingsError) as caught:
        parse_settings(raw, secret_keys={"services", "gates"}, environment="production")
    assert caught.value.errors == [
        "database/url: is stored in plain text; set it with `pulumi config set --secret --path switchback:database.url`"
    ]
    # Of one that is none, nothing is shown either.
    [error] = errors_of(put(raw, ("database", "url"), f"mysql://shop:{CANARY}@db/shop"))
    assert error == "database/url: is not an address such as postgresql://user:password@host:5432/name"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("database", "schema"), {"kind": "liquibase"}, "database/schema/kind: 'liquibase' is not one of"),
        (("database", "schema"), {"kind": "django"}, "database/schema: set app with kind django, and only there"),
        (("database", "schema"), {"kind": "query"}, "database/schema: set query with kind query, and only there"),
        (("database", "schema"), {"kind": "flyway", "app": "shop"}, "database/schema: set app with kind django"),
        (("database", "schema", "table"), "a.b.c", "database/schema/table: 'a.b.c' is not a name"),
        (("database", "url"), "postgresql://a@b/c", "database/url: embedded is true, so there are two databases"),
        (("database",), {"schema": {"kind": "flyway"}}, "database/schema: there is no database; set embedded, or url"),
        (("database",), {"embedded": True}, "slots/blue/schema: has no effect; database/schema says where"),
        (("slots", "blue", "schema"), {"min": "9", "max": "7"}, "slots/blue/schema: min is greater than max"),
        (
            ("slots", "blue", "schema"),
            {"min": "7", "versions": ["7"]},
            "slots/blue/schema: set either versions, or min and max",
        ),
        (("slots", "blue", "schema"), {"max": "ae12f"}, "slots/blue/schema: max begins with no number"),
        (("slots", "blue", "schema", "max"), "a b", "slots/blue/schema/max: 'a b' is not a schema version"),
    ],
)
def test_D5_what_is_wrong_with_a_schema_is_said(path: Path, value: Any, complaint: str) -> None:
    assert [line for line in errors_of(put(full(), path, value)) if line.startswith(complaint)]


def _hidden(value: str) -> list[Any]:
    """A text in the shapes in which it can end up in the wrong place."""
    return [value, [value], {"x": value}, {"secretEnv": {"API_TOKEN": value}}, [{"secretEnv": value}], f";{value}\0"]


@pytest.mark.parametrize("path", [*nodes(FULL)], ids=shown)
def test_G2_no_error_shows_an_encrypted_value(path: Path) -> None:
    for value in _hidden(CANARY):
        raw = put(full(), path, value)
        try:
            # Not even one that was put in the wrong place: all that is encrypted is a text under an encrypted key.
            parse_settings(raw, secret_keys={"services", str(path[0])}, environment="production")
        except SettingsError as failed:
            said = "".join(traceback.format_exception(failed))
            assert CANARY not in said


@pytest.mark.parametrize("value", _hidden(CANARY))
def test_G2_no_error_shows_a_plain_text_secret_either(value: Any) -> None:
    for path in nodes(FULL["services"]["web"]["secretEnv"], ("services", "web", "secretEnv")):
        with pytest.raises(SettingsError) as caught:
            parse_settings(put(full(), path, value), secret_keys=set(), environment="production")
        assert CANARY not in str(caught.value)


def test_a_long_value_is_cut_in_an_error() -> None:
    [line] = errors_of(put(full(), ("proxy", "image"), "X" * 5000))
    assert len(line) < 400
    assert line.endswith("is not an image reference such as caddy:2.11")


# ---- reading ----


def _read(config: dict[str, Any], secret: list[str]) -> Settings:
    def run() -> Settings:
        runtime_config.set_all_config(config, secret)
        return read_settings()

    return contextvars.copy_context().run(run)


def test_read_settings_takes_its_namespace_as_pulumi_hands_it_over() -> None:
    held = {f"switchback:{key}": json.dumps(v) if isinstance(v, dict | list) else v for key, v in FULL.items()}
    assert _read({**held, "docker:host": "ssh://somewhere"}, ["switchback:services", "switchback:gates"]) == parse(
        full()
    )


def test_read_settings_sees_what_is_encrypted_and_what_nobody_knows() -> None:
    held = {f"switchback:{key}": json.dumps(v) if isinstance(v, dict | list) else v for key, v in FULL.items()}
    with pytest.raises(SettingsError) as caught:
        _read({**held, "switchback:proxxy": "{}", "switchback:database": "{not JSON"}, [])
    assert [line.partition(" ")[0] for line in caught.value.errors] == [
        "database:",
        "proxxy:",
        "services/web/secretEnv:",
        "gates/1/secretEnv:",
    ]


# ---- any input ----

_KEYS = sorted({str(part) for path in nodes(FULL) for part in path})
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*HOSTILE, "blue", "green", "web", "1.0", "30s", "512m"])
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def _checked_or_refused(raw: dict[str, Any], environment: str = "production") -> None:
    errors = None
    try:
        assert isinstance(parse(raw, environment=environment), Settings)
    except SettingsError as failed:
        errors = failed.errors
    assert errors is None or errors  # at least one
    assert all(re.match(r".*: \S", line, re.DOTALL) for line in errors or [])


@settings(UNHURRIED, max_examples=100)
@given(st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=8), _JSON, max_size=8), st.text(max_size=5))
@example({}, "")
@example({"[key]": None, "slots": {"[key]": {}}, "services": {"[key]": {"[key]": "[key]"}}}, "[key]")
@example({"services": {"web": {"routes": [{"host": [], "path": {}}, {"host": [], "path": {}}]}}}, "a")
def test_any_input_is_checked_or_refused(raw: dict[str, Any], environment: str) -> None:
    _checked_or_refused(raw, environment)


@settings(UNHURRIED, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(sorted(nodes(FULL), key=shown)), _JSON), min_size=1, max_size=3))
def test_any_change_of_a_good_input_is_checked_or_refused(changes: list[tuple[Path, Any]]) -> None:
    raw = full()
    for path, value in changes:
        try:
            raw = put(raw, path, value)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took the place away
    _checked_or_refused(raw)


# ---- good input, round trip ----

_names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True).filter(
    lambda name: name not in ("proxy", "toolbox", "database") and not re.search(r"-(blue|green)(-|$)", name)
)
_tags = st.from_regex(re.compile(r"\w[\w.-]{0,127}", re.ASCII), fullmatch=True)
_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_env = st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True), _texts, max_size=3)
_slot = st.fixed_dictionaries({"imageTag": _tags}, optional={"revision": st.integers(1, 99), "env": _env})
_ports = st.integers(1, 65535)
_seconds = st.floats(1, 60) | st.integers(1, 60) | st.sampled_from(["1s", "1500ms", "1m", "2.5"])
_sizes = st.integers(16 << 20, 1 << 40) | st.sampled_from(["16m", "512M", "2g", "65536k"])
_resources = st.fixed_dictionaries(
    {}, optional={"memory": _sizes, "cpus": st.floats(0.01, 64), "pids": st.integers(16, 4096)}
)
_paths = st.from_regex(r"(/[A-Za-z0-9._~-]{1,8}){1,3}/?", fullmatch=True)
_service = st.fixed_dictionaries(
    {"image": st.sampled_from(["web", "acme/web", "registry.example.com:5000/acme/web", "localhost/a__b/c-d"])},
    optional={
        "port": _ports,
        "health": st.fixed_dictionaries(
            {}, optional={"path": _paths, "passes": st.integers(1, 100), "timeout": _seconds}
        ),
        "env": _env,
        "resources": _resources,
        "command": st.lists(_texts, max_size=3),
        "user": st.sampled_from(["app", "1000:1000", 1000]),
        "readOnly": st.booleans(),
        "mounts": st.lists(
            st.fixed_dictionaries({"source": st.just("data") | _paths.map("/srv{}".format), "target": _paths}),
            max_size=2,
        ),
    },
)
_valid = st.fixed_dictionaries(
    {
        "activeSlot": st.sampled_from(["blue", "green"]),
        "slots": st.fixed_dictionaries({"blue": _slot, "green": _slot}),
        "services": st.dictionaries(_names, _service, min_size=1, max_size=3),
    },
    optional={
        "proxy": st.fixed_dictionaries(
            {},
            optional={
                "kind": st.sampled_from(["caddy", "nginx", "none"]),
                "address": st.ip_addresses().map(str).filter(lambda address: "%" not in address),
                "httpPort": _ports,
                "drain": _seconds,
                "resources": _resources,
            },
        ),
        "database": st.fixed_dictionaries({}, optional={"embedded": st.booleans(), "resources": _resources}),
    },
)


@settings(UNHURRIED, max_examples=100)
@given(_valid)
def test_good_input_round_trips(raw: dict[str, Any]) -> None:
    checked = parse(raw)
    assert parse(dumped(checked)) == checked
    again = dumped(checked)
    for path in leaves(raw):
        given_value, kept = at(raw, path), at(again, path)
        if shown(path).rpartition("/")[2] in ("memory", "timeout", "drain", "user"):
            continue  # these have units, which another test compares
        assert kept == given_value

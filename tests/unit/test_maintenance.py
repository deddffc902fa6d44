"""Maintenance: what is declared, what is due, and that a page comes out of the proxies' texts as it went in."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.agenda import agenda
from components.maintenance import feature
from components.maintenance_models import MaintenanceSettings
from components.settings import SettingsError, parse_settings
from components.targets import declared
from switchback.observation import read_links
from switchback.proxies import DRIVERS
from switchback.proxies.maintenance import DEFAULT_PAGE, FILE, FOLDER, open_path
from switchback.proxies.routing import Entry
from switchback.specs import Features, Maintenance
from tests.unit.recording import BASE
from tests.unit.test_components import graph, in_order
from tests.unit.test_proxies import ONE, Directive, parsed

kinds = pytest.mark.parametrize("kind", ["caddy", "nginx"])


# What is declared.


def test_C4_who_says_nothing_about_maintenance_pays_nothing_for_it() -> None:
    assert feature(MaintenanceSettings()) is None
    assert feature(MaintenanceSettings.model_validate({})) is None  # as Pulumi hands an object over that is not there
    assert feature(MaintenanceSettings.model_validate({"enabled": False})) == Maintenance(page=DEFAULT_PAGE)


def test_C4_settings_become_what_the_proxy_is_told() -> None:
    given_settings = {"page": "<p>", "retryAfter": "1.5", "allow": ["10.1.2.3/8", "2001:db8::1", "10.0.0.0/8"]}
    assert feature(MaintenanceSettings.model_validate(given_settings)) == Maintenance(
        page="<p>", retry_after=2, allow=("10.0.0.0/8", "2001:db8::1/128")
    )


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("allow", ["10.0.0.0/33"], "maintenance/allow/0: '10.0.0.0/33' is neither an IP address nor a network"),
        ("allow", ["all; }"], "maintenance/allow/0: 'all; }' is neither an IP address nor a network"),
        ("page", "x" * 16_001, "maintenance/page: is too long: 16001 characters"),
        ("retryAfter", 0, "maintenance/retryAfter: 0 does not fit"),
        ("enabeld", True, "maintenance/enabeld: unknown key (did you mean enabled?)"),
    ],
)
def test_C4_bad_input_is_named(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({**BASE, "maintenance": {key: value}}, secret_keys=set(), environment="test")
    assert [error.startswith(complaint) for error in caught.value.errors] == [True], caught.value.errors


# What is due.


@pytest.mark.parametrize(
    ("there", "enabled", "why"),
    [
        (False, False, None),
        (True, True, None),
        (False, True, "maintenance is off, declared on"),
        (True, False, "maintenance is on, declared off"),
    ],
)
def test_C4_a_difference_is_due_and_a_hand_is_seen(there: bool, enabled: bool, why: str | None) -> None:
    settings = parse_settings({**BASE, "maintenance": {"enabled": enabled}}, secret_keys=set(), environment="test")
    seen = in_order()
    links = msgspec.structs.replace(seen.links, maintenance=there)
    todo = agenda(settings, declared(settings, "test"), msgspec.structs.replace(seen, links=links))
    assert todo.maintenance == why


def test_C4_the_file_on_the_volume_is_what_tells() -> None:
    assert read_links({f"{FOLDER}/{FILE}": b""}).maintenance
    assert not read_links({"record.json": b"{}"}).maintenance


def test_C4_users_are_turned_away_before_the_switch_and_let_in_after_it() -> None:
    on = graph(maintenance={"enabled": True})
    assert "maintenance-turn" in on.waits_for("switch-turn")
    assert "proxy-configuration" in on.waits_for("maintenance-turn")  # which is new, and knows of it
    off = graph(maintenance={"enabled": False}, analysis={"bake": 5})
    assert "switch-turn" in off.waits_for("maintenance-turn")
    assert "maintenance-turn" in off.waits_for("analysis-bake")
    assert "maintenance-turn" not in names(graph(proxy={"kind": "none"}, maintenance={"enabled": True}))


def names(made: Any) -> set[str]:
    return {held.name for held in made.seen.values()}


# What the proxies make of it.


@pytest.mark.parametrize(
    ("path", "health", "opened", "refused"),
    [
        ("/", "/health", ["/health", "/health?x=1"], ["/healthz", "/health/x", "/a/health", "/"]),
        ("/", "/v1.0/ok", ["/v1.0/ok"], ["/v1x0/ok"]),
        ("/api", "/api/health", ["/api/health"], ["/api"]),
        ("/api", "/api", ["/api", "/api?x"], ["/api/x"]),
        ("/api", "/health", [], ["/health", "/api/health", ""]),
        ("/api", "/apis", [], ["/apis"]),
    ],
)
def test_C4_only_the_health_path_is_open(path: str, health: str, opened: list[str], refused: list[str]) -> None:
    pattern = open_path(Entry(path=path, service="web"), health)
    for asked in opened:
        assert re.search(f"^{pattern}", asked)
    for asked in refused:
        assert not pattern or not re.search(f"^{pattern}", asked)


@kinds
def test_C4_without_it_the_configuration_is_as_ever(kind: str) -> None:
    text = DRIVERS[kind].config(ONE, "d", 30.0, Features())
    assert "maintenance" not in text
    assert "closed" not in text


pages = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=200) | st.text(
    "{}\\\"$\n\t\r#;' ab", max_size=40
)


@given(pages)
def test_C4_nginx_hands_out_the_page_as_it_is(page: str) -> None:
    page = page * 30
    text = DRIVERS["nginx"].config(ONE, "d", 30.0, Features(maintenance=Maintenance(page=page)))
    pieces = re.findall(r'\$switchback_page_[0-9]+ \{\n        default "((?:\\.|[^"\\])*)";\n', text)
    assert all(len(piece.encode()) < 4000 for piece in pieces)
    assert "".join(map(_read_by_nginx, pieces)) == page


def _read_by_nginx(word: str) -> str:
    """A word in double quotes: escapes, then variables."""
    meant = {"n": "\n", "r": "\r", "t": "\t"}
    read = re.sub(r'\\([\\"nrt])', lambda found: meant.get(found[1], found[1]), word)
    assert "$" not in read.replace("${switchback_dollar}", "")
    return read.replace("${switchback_dollar}", "$")


@given(pages)
def test_C4_caddy_hands_out_the_page_as_it_is(page: str) -> None:
    text = DRIVERS["caddy"].config(ONE, "d", 30.0, Features(maintenance=Maintenance(page=page)))
    [closed] = json.loads(text)["apps"]["http"]["servers"]["public"]["named_routes"].values()
    [answer] = [part for part in closed["handle"][0]["routes"][0]["handle"] if part["handler"] == "static_response"]
    body = answer["body"]
    # Caddy reads a text without an opening brace as it is; else a backslash before a brace takes its meaning away.
    if "{" in body:
        assert not re.search(r"(?<!\\)\{", body)
        body = re.sub(r"\\([{}])", r"\1", body)
    assert body == page


def test_C4_nginx_knows_strangers_by_their_connection() -> None:
    text = DRIVERS["nginx"].config(ONE, "d", 30.0, Features(maintenance=Maintenance(page="p", allow=("10.0.0.0/8",))))
    [http] = parsed(text).named("http")
    [allowed, _] = http.named("geo")
    assert allowed.words == ("geo", "$switchback_allowed")  # of $remote_addr, where nothing else is named
    assert allowed.block == (Directive(("default", "0")), Directive(("10.0.0.0/8", "1")))
    assert "real_ip" not in text

"""What a release runs with, against what the configuration says now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.differences import differences, secret_names
from components.models import Settings
from components.settings import parse_settings
from components.targets import Declared, as_made, declared, made_from, settings_digest
from switchback.observation import LABEL, Links, Observation, Seen

BASE: dict[str, Any] = {
    "image": "acme/web",
    "port": 8080,
    "routes": [{"path": "/"}],
    "env": {"FOO": "a"},
    "secretEnv": {"KEY": "old secret"},
}


def configured(service: dict[str, Any], **more: Any) -> tuple[Settings, Declared]:
    """Settings of the environment `t` with this service, and what they declare."""
    raw = {
        "activeSlot": "blue",
        "slots": {"blue": {"imageTag": "1"}, "green": {"imageTag": "2"}},
        "services": {"web": service},
        **more,
    }
    settings = parse_settings(raw, secret_keys={"services"}, environment="t")
    return settings, declared(settings, "t")


def there(settings: Settings, *slots: str, label: str | None = None) -> Observation:
    """The containers of these slots, made from these settings."""
    containers = {}
    for slot, tag in (("blue", "1"), ("green", "2")):
        made = json.dumps(made_from(settings, "web", slot)) if label is None else label  # type: ignore[arg-type]
        name = f"t-web-{slot}-{tag}"
        if slot in slots:
            containers[name] = Seen(name=name, id=name, status="running", labels={f"{LABEL}settings": made}, ports=())
    return Observation(containers=containers, links=Links(), foreign_ports={})


def said(
    before: dict[str, Any], after: dict[str, Any], *, held: dict[str, str] | None = None, **more: Any
) -> list[str]:
    """What is said of a release in blue that was made before."""
    made, _ = configured(before)
    settings, releases = configured(after, **more)
    found = differences(settings, releases, there(made, "blue"), {"t-web-blue-1": held or {}})
    return [difference.sentence for difference in found]


def test_A1_a_changed_variable_is_named_with_both_values_and_what_to_type() -> None:
    assert said(BASE, {**BASE, "env": {"FOO": "b"}}) == [
        "web 1 (blue) runs with env.FOO=a; the configuration says env.FOO=b."
        " To release that: pulumi config set --path slots.blue.revision 2 && pulumi up"
    ]


@pytest.mark.parametrize(
    ("changed", "ran", "says"),
    [
        ({"env": {}}, "env.FOO=a", "no env.FOO"),
        ({"env": {"FOO": "a", "BAR": "1"}}, "no env.BAR", "env.BAR=1"),
        ({"env": {"FOO": "a\nb"}}, "env.FOO=a", "env.FOO=a?b"),
        ({"env": {"FOO": "x" * 100}}, "env.FOO=a", f"env.FOO={'x' * 59}…"),
        ({"resources": {"memory": "1g"}}, "resources.memory=512m", "resources.memory=1024m"),
        ({"image": "acme/other"}, "image=acme/web", "image=acme/other"),
        ({"command": ["run", "it"]}, "no command", 'command=["run","it"]'),
        ({"readOnly": False}, "readOnly=true", "readOnly=false"),
        ({"port": 81}, "port=8080", "port=81"),
        (
            {"mounts": [{"source": "data", "target": "/data"}]},
            "no mounts",
            'mounts=[{"source":"data","target":"/data","readOnly":false}]',
        ),
        ({"secretEnv": {}}, "secretEnv.KEY=[secret]", "no secretEnv.KEY"),
        ({"secretEnv": {"KEY": "old secret", "NEW": "n"}}, "no secretEnv.NEW", "secretEnv.NEW=[secret]"),
    ],
)
def test_A1_every_setting_that_a_container_is_made_from_counts(changed: dict[str, Any], ran: str, says: str) -> None:
    [sentence] = said(BASE, {**BASE, **changed}, held={"KEY": "old secret"})
    assert f"runs with {ran}; the configuration says {says}. To release" in sentence


@pytest.mark.parametrize(
    "changed", [{}, {"routes": [{"path": "/other"}]}, {"health": {"path": "/up"}}, {"activeSlot": "blue"}]
)
def test_A1_what_a_container_is_not_made_from_does_not_count(changed: dict[str, Any]) -> None:
    assert said(BASE, {**BASE, **changed}, held={"KEY": "old secret"}) == []


def test_A1_it_does_not_matter_where_a_variable_is_written() -> None:
    slots = {"blue": {"imageTag": "1", "env": {"FOO": "a"}}}
    assert said(BASE, {**BASE, "env": {"FOO": "z"}}, held={"KEY": "old secret"}, slots=slots) == []


def test_A1_long_values_are_compared_whole() -> None:
    long = "x" * 100
    assert said({**BASE, "env": {"FOO": f"{long}1"}}, {**BASE, "env": {"FOO": f"{long}2"}})


def test_A1_many_differences_are_counted() -> None:
    [sentence] = said(BASE, {**BASE, "env": {f"N{i:02}": "1" for i in range(30)}})
    assert sentence.count("the configuration says") == 1
    assert "21 more; the configuration says" in sentence


def test_G2_a_secret_is_compared_and_never_shown() -> None:
    after = {**BASE, "secretEnv": {"KEY": "new secret"}}
    [sentence] = said(BASE, after, held={"KEY": "old secret"})
    assert "secretEnv.KEY=[secret]; the configuration says secretEnv.KEY=[another secret]" in sentence
    assert "old secret" not in sentence
    assert "new secret" not in sentence
    assert said(BASE, after, held={"KEY": "new secret"}) == []
    assert said(BASE, after) == []  # a container that could not be looked at tells nothing
    made, _ = configured(BASE)
    assert "old secret" not in json.dumps(made_from(made, "web", "blue"))


def test_G2_only_what_is_there_and_has_secrets_is_looked_at() -> None:
    settings, releases = configured(BASE)
    assert secret_names(settings, releases, there(settings, "green")) == {"t-web-green-2": ["KEY"]}
    settings, releases = configured({**BASE, "secretEnv": {}})
    assert secret_names(settings, releases, there(settings, "blue", "green")) == {}


def test_A1_the_active_slot_is_told_from_the_standby() -> None:
    made, _ = configured(BASE)
    settings, releases = configured({**BASE, "env": {"FOO": "b"}})
    found = differences(settings, releases, there(made, "blue", "green"), {})
    assert [(difference.target.slot, difference.active) for difference in found] == [("blue", True), ("green", False)]
    assert "slots.green.revision 2" in found[1].sentence


def test_A1_a_release_of_an_older_version_has_only_a_digest() -> None:
    made, _ = configured(BASE)
    settings, releases = configured({**BASE, "env": {"FOO": "b"}})
    digest = settings_digest(made, "web", "blue")
    old = there(made, "blue", label=digest)
    [found] = differences(settings, releases, old, {"t-web-blue-1": {"KEY": "other"}})
    assert (
        "web 1 (blue) was made from other settings than the configuration says now (secretEnv: KEY)." in found.sentence
    )
    same, releases = configured(BASE)
    assert differences(same, releases, old, {"t-web-blue-1": {"KEY": "old secret"}}) == []
    assert as_made(releases, old) == releases


@pytest.mark.parametrize("label", ["", "null", "[]", "{", "{}"])
def test_A1_a_label_that_says_nothing_is_survived(label: str) -> None:
    settings, releases = configured(BASE)
    differences(settings, releases, there(settings, "blue", label=label), {})
    assert as_made(releases, there(settings, "blue", label=label)) == releases


def test_A1_a_release_keeps_its_port_and_its_limit_of_processes() -> None:
    made, _ = configured({**BASE, "resources": {"pids": 100}})
    settings, releases = configured({**BASE, "port": 9090, "resources": {"pids": 200}})
    kept = as_made(releases, there(made, "blue"))
    assert [(target.port, target.pids) for target in kept.desired] == [(8080, 100)]
    assert [(target.port, target.pids) for target in kept.standby] == [(9090, 200)]  # not made yet
    assert differences(settings, releases, there(made, "blue"), {})

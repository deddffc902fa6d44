"""The graph: what waits for what, what belongs to what, and what a container may do."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.agenda import agenda
from components.settings import parse_settings
from components.targets import declared
from switchback.observation import Links, Observation, Seen
from tests.unit.recording import BASE, SERVICE, Recorder, start


def graph(seen: Observation | None = None, **changed: Any) -> Recorder:
    """A declared environment, with all of its registrations done."""
    kept: list[Recorder] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        kept.append(start(seen, **changed))

    with warnings.catch_warnings():
        # Pulumi's mock monitor makes an event loop for each of its threads and closes none; they are collected here,
        # where it is known whose they are.
        warnings.simplefilter("ignore", ResourceWarning)
        program()
        gc.collect()
    return kept[0]


def running(**links: Any) -> Observation:
    """The environment as it is when all that `BASE` declares runs."""
    names = ("web-blue-1", "web-green-2", "jobs-blue-1", "proxy", "toolbox", "database")
    containers = {
        f"test-{name}": Seen(name=f"test-{name}", id=name, status="running", labels={"switchback.part": name}, ports=())
        for name in names
    }
    containers["test-jobs-green-2"] = Seen(
        name="test-jobs-green-2", id="jobs-green-2", status="exited", labels={}, ports=()
    )
    return Observation(containers=containers, links=Links(**links), foreign_ports={})


def in_order() -> Observation:
    """Nothing to do: pointer and configuration are verified and as declared."""
    settings = parse_settings(BASE, secret_keys=set(), environment="test")
    todo = agenda(settings, declared(settings, "test"), running())
    return running(
        current=todo.pointer, verified=todo.pointer, config_current=todo.config[0], config_verified=todo.config[0]
    )


@pytest.mark.parametrize(("active", "other"), [("blue", "green"), ("green", "blue")])
def test_A1_everything_of_the_other_slot_waits_for_the_switch(active: str, other: str) -> None:
    made = graph(activeSlot=active)
    tag = {"blue": "1", "green": "2"}
    for service in ("web", "jobs"):
        release = f"{service}-{active}-{tag[active]}"
        assert {release} <= made.waits_for("gate-check")
        assert not {"gate-check", "switch-turn"} & made.waits_for(release)
        for role in ("", "-image"):
            assert {"switch-turn", "gate-check"} <= made.waits_for(f"{service}-{other}-{tag[other]}{role}")
    assert "gate-check" in made.waits_for("proxy-configuration")
    assert "proxy-configuration" in made.waits_for("switch-turn")
    assert "gate-check" not in made.waits_for("proxy-container")


def test_D1_a_service_waits_for_its_database() -> None:
    assert "database-ready" in graph().waits_for("web-blue-1")


def test_A1_a_release_is_made_once_and_never_changed() -> None:
    made = graph()
    for name in ("web-blue-1", "web-green-2"):
        assert made.named(name).ignored == ("*",)
        assert not made.named(name).before_replace
    assert made.named("proxy-container").before_replace  # its port can be published once
    assert made.named("web-blue-1").inputs["name"] == "test-web-blue-1"


def test_A1_a_revision_is_a_release_of_its_own() -> None:
    made = graph(slots={"blue": {"imageTag": "1", "revision": 2}})
    assert made.named("web-blue-1-r2").inputs["name"] == "test-web-blue-1-r2"


def test_A1_what_is_in_order_has_nothing_to_do() -> None:
    made = graph(in_order())
    for name in ("gate-check", "proxy-configuration", "switch-turn", "standby-check", "database-ready"):
        assert made.named(name).ignored == ("*",), name


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(lambda seen: seen.links.current.clear(), id="pointer emptied"),
        pytest.param(lambda seen: seen.links.current.update(web="test-web-green-2:8080"), id="switched by hand"),
        pytest.param(lambda seen: seen.links.verified.clear(), id="never verified"),
        pytest.param(lambda seen: seen.containers.pop("test-web-blue-1"), id="container removed"),
        pytest.param(
            lambda seen: seen.containers.update(
                {"test-web-blue-1": Seen(name="x", id="x", status="exited", labels={}, ports=())}
            ),
            id="container stopped",
        ),
    ],
)
def test_A1_drift_makes_gate_and_switch_due(drift: Callable[[Observation], object]) -> None:
    seen = in_order()
    drift(seen)
    made = graph(seen)
    for name in ("gate-check", "switch-turn"):
        assert made.named(name).ignored == ()


def test_A1_a_due_procedure_is_due_again_when_the_same_thing_goes_wrong_twice() -> None:
    first, second = (graph(running()).named("gate-check").inputs["triggers"] for _ in range(2))
    assert first != second


def test_E1_a_worker_is_gated_but_not_proxied_and_stays_stopped_in_standby() -> None:
    made = graph()
    assert made.named("jobs-blue-1").inputs["start"] is True
    assert made.named("jobs-green-2").inputs["start"] is False
    gate = json.loads(made.named("gate-check").inputs["stdin"])
    assert {target["service"] for target in gate["targets"]} == {"web", "jobs"}
    switch = json.loads(made.named("switch-turn").inputs["stdin"])
    assert switch["pointer"] == {"web": "test-web-blue-1:8080", "jobs": "test-jobs-blue-1"}
    assert switch["retire"]["stop"] == ["test-jobs-green-2"]


def test_E2_a_service_with_a_slot_of_its_own_turns_the_order_for_itself_alone() -> None:
    made = graph(services={"web": SERVICE, "ui": {**SERVICE, "routes": [{"path": "/ui"}], "activeSlot": "green"}})
    assert "switch-turn" in made.waits_for("ui-blue-1")
    assert "switch-turn" not in made.waits_for("ui-green-2")
    assert "switch-turn" in made.waits_for("web-green-2")


def test_C3_without_a_proxy_there_is_neither_container_nor_configuration() -> None:
    made = graph(proxy={"kind": "none"})
    assert not [held for held in made.seen.values() if held.name.startswith("proxy")]
    assert "gate-check" in made.waits_for("switch-turn")


def test_G2_every_container_is_hardened_and_only_the_proxy_publishes_a_port() -> None:
    made = graph()
    containers = [held for held in made.seen.values() if held.type == "docker:index/container:Container"]
    assert len(containers) == 7
    for held in containers:
        given = held.inputs
        assert given["securityOpts"] == ["no-new-privileges:true"], held.name
        assert given["capabilities"]["drops"] == ["ALL"], held.name
        assert given["readOnly"] is True, held.name
        assert given["memory"] > 0, held.name
        assert given["cpuQuota"] > 0, held.name
        assert "privileged" not in given, held.name
        assert bool(given.get("ports")) is (held.name == "proxy-container"), held.name
        assert "docker.sock" not in json.dumps(given.get("mounts") or []) + json.dumps(given.get("volumes") or [])


def test_G2_command_text_is_constant_and_children_do_not_get_the_passphrase() -> None:
    for held in graph().seen.values():
        if held.type != "command:local:Command" or held.name == "database-passwords":
            continue
        words = held.inputs["create"].split()
        assert words[:4] == ["exec", "python", "-m", "switchback"]
        assert words[4:] in (["gate"], ["switch"], ["configure"], ["provision"], ["limit"], ["start"], ["maintenance"])
        assert held.inputs["environment"]["PULUMI_CONFIG_PASSPHRASE"] == ""


def test_A1_every_resource_belongs_to_a_component_of_the_deployment() -> None:
    made = graph()
    root = made.urn("test")
    for urn, held in made.seen.items():
        if held.type.startswith(("pulumi:", "switchback:index:Deployment")):
            continue
        ancestors, parent = [], held.parent
        while parent in made.seen:
            ancestors.append(parent)
            parent = made.seen[parent].parent
        assert root in ancestors, urn


def test_A1_way_back_names_what_serves() -> None:
    seen = in_order()
    labels = {"switchback.slot": "blue", "switchback.release": "1", "switchback.tag": "1"}
    for name in ("test-web-blue-1", "test-jobs-blue-1"):
        seen.containers[name] = Seen(name=name, id="x", status="running", labels=labels, ports=())
    changed = {**BASE, "activeSlot": "green"}
    settings = parse_settings(changed, secret_keys=set(), environment="test")
    todo = agenda(settings, declared(settings, "test"), seen)
    assert todo.way_back[0].startswith("pulumi config set activeSlot blue && pulumi up")
    assert todo.retiring == ()

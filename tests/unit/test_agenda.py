"""The agenda: what is due, from the difference between what is declared and what was seen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from components.agenda import PASSAGE, Agenda, agenda
from components.models import Settings
from components.settings import parse_settings
from components.targets import Declared, declared
from switchback.observation import LABEL, Links, Observation, Seen
from switchback.proxies import DRIVERS
from switchback.record import Record, Trial
from switchback.specs import Features, Target

WEB = {"image": "acme/web", "port": 8080, "routes": [{"path": "/"}]}
JOBS = {"image": "acme/jobs"}


def settled(kind: str = "caddy", **changed: Any) -> tuple[Settings, Declared]:
    """Settings of the environment `t`, and what they declare."""
    raw = {
        "activeSlot": "blue",
        "slots": {"blue": {"imageTag": "1"}, "green": {"imageTag": "2"}},
        "services": {"web": WEB, "jobs": JOBS},
        "proxy": {"kind": kind},
        **changed,
    }
    settings = parse_settings(raw, secret_keys=set(), environment="t")
    return settings, declared(settings, "t")


def seen_of(target: Target, status: str) -> Seen:
    """The container of a release."""
    labels = {
        f"{LABEL}environment": "t",
        f"{LABEL}service": target.service,
        f"{LABEL}slot": target.slot,
        f"{LABEL}release": target.release,
        f"{LABEL}tag": target.version,
    }
    return Seen(name=target.container, id=target.container, status=status, labels=labels, ports=())


def in_order(settings: Settings, releases: Declared) -> Observation:
    """The observation of an environment in which everything is as these settings declare it."""
    blank = Observation(containers={}, links=Links(), foreign_ports={})
    todo = agenda(settings, releases, blank)
    containers = [
        Seen(name="t-proxy", id="t-proxy", status="running", labels={f"{LABEL}part": "proxy"}, ports=()),
        *(seen_of(target, "running") for target in releases.desired),
        *(seen_of(target, "running" if target.routes else "created") for target in releases.standby),
    ]
    return Observation(
        containers={seen.name: seen for seen in containers},
        links=Links(
            current=todo.pointer, verified=todo.pointer, config_current=todo.config[0], config_verified=todo.config[0]
        ),
        foreign_ports={},
    )


def due(todo: Agenda) -> dict[str, str]:
    """What is due, and why."""
    parts = {"gate": todo.gate, "configure": todo.configure, "switch": todo.switch, "analysis": todo.analysis}
    parts["warm"] = todo.warm
    return {part: why for part, why in parts.items() if why is not None}


def without(seen: Observation, *containers: str) -> Observation:
    """The observation without these containers."""
    left = {name: held for name, held in seen.containers.items() if name not in containers}
    return msgspec.structs.replace(seen, containers=left)


def with_status(seen: Observation, container: str, status: str) -> Observation:
    """The observation with that container in another state."""
    changed = msgspec.structs.replace(seen.containers[container], status=status)
    return msgspec.structs.replace(seen, containers={**seen.containers, container: changed})


kinds = pytest.mark.parametrize("kind", ["caddy", "nginx"])


@pytest.mark.parametrize("kind", ["caddy", "nginx", "none"])
def test_A1_when_all_is_as_declared_nothing_is_due(kind: str) -> None:
    settings, releases = settled(kind)
    todo = agenda(settings, releases, in_order(settings, releases))
    assert due(todo) == {}
    assert todo.retiring == ()
    assert todo.config == todo.bridge


@kinds
def test_A1_a_new_environment_has_everything_to_do(kind: str) -> None:
    settings, releases = settled(kind)
    todo = agenda(settings, releases, Observation(containers={}, links=Links(), foreign_ports={}))
    assert due(todo).keys() == {"gate", "configure", "switch", "warm"}
    assert todo.gate == "jobs is on nothing, declared on t-jobs-blue-1; web is on nothing, declared on t-web-blue-1"
    assert todo.configure == f"configuration {todo.config[0]} is declared, none runs"
    assert todo.warm == "web 2 (green), jobs 2 (green) is new in the standby slot"
    assert todo.way_back[0].startswith("pulumi up ")


@kinds
def test_A1_another_active_slot_is_a_gate_and_a_switch(kind: str) -> None:
    settings, releases = settled(kind)
    seen = in_order(settings, releases)
    settings, releases = settled(kind, activeSlot="green")
    todo = agenda(settings, releases, seen)
    assert (
        todo.gate
        == "jobs is on t-jobs-blue-1, declared on t-jobs-green-2; web is on t-web-blue-1, declared on t-web-green-2"
    )
    assert todo.switch == todo.gate
    assert todo.configure is None
    assert todo.way_back[0] == "pulumi config set activeSlot blue && pulumi up   # declare what serves"


def test_C1_a_new_release_is_no_change_of_configuration_for_caddy_and_one_for_nginx() -> None:
    for kind, changed in (("caddy", False), ("nginx", True)):
        settings, releases = settled(kind)
        seen = in_order(settings, releases)
        settings, releases = settled(kind, slots={"blue": {"imageTag": "1"}, "green": {"imageTag": "3"}})
        todo = agenda(settings, releases, seen)
        assert (todo.configure is not None) is changed
        assert todo.gate is None  # the desired slot is what it was
        assert todo.warm == "web 3 (green), jobs 3 (green) is new in the standby slot"


@kinds
def test_C1_the_configuration_on_the_way_has_room_for_what_serves_now(kind: str) -> None:
    settings, releases = settled(kind)
    seen = in_order(settings, releases)
    settings, releases = settled(kind, slots={"blue": {"imageTag": "3"}, "green": {"imageTag": "2"}})
    todo = agenda(settings, releases, seen)
    assert todo.retiring == ("t-web-blue-1",)  # a worker has no connections to wait for
    if kind == "nginx":
        assert "t-web-blue-1" in todo.bridge[1]
        assert "t-web-blue-1" not in todo.config[1]
        assert todo.bridge[0] != todo.config[0]
    else:
        assert todo.bridge == todo.config


@kinds
def test_C1_a_configuration_names_its_own_digest(kind: str) -> None:
    settings, releases = settled(kind)
    digest, text = agenda(settings, releases, in_order(settings, releases)).config
    assert digest in text
    plain = Features(meter=False)
    longest = settings.proxy.drain + PASSAGE
    assert DRIVERS[kind].config((*releases.desired, *releases.standby), digest, longest, plain) == text


@kinds
def test_fault_11_a_pointer_that_was_changed_by_hand_is_put_back(kind: str) -> None:
    settings, releases = settled(kind)
    seen = in_order(settings, releases)
    elsewhere = DRIVERS[kind].pointer(releases.standby)
    for current, why in (
        (
            elsewhere,
            "jobs is on t-jobs-green-2, declared on t-jobs-blue-1; web is on t-web-green-2, declared on t-web-blue-1",
        ),
        ({}, "jobs is on nothing, declared on t-jobs-blue-1; web is on nothing, declared on t-web-blue-1"),
        (
            dict.fromkeys(seen.links.current, ""),
            "jobs is on nothing, declared on t-jobs-blue-1; web is on nothing, declared on t-web-blue-1"
            if kind == "caddy"
            else "the pointer was edited by hand",  # nginx goes by the names alone
        ),
    ):
        todo = agenda(settings, releases, _linked(seen, current=current))
        assert todo.gate == todo.switch == why
    todo = agenda(settings, releases, _linked(seen, verified={}))
    assert todo.switch == "the last switch was never verified"


def _linked(seen: Observation, **links: Any) -> Observation:
    return msgspec.structs.replace(seen, links=msgspec.structs.replace(seen.links, **links))


@kinds
def test_fault_11_a_configuration_that_was_changed_by_hand_is_put_back(kind: str) -> None:
    settings, releases = settled(kind)
    seen = in_order(settings, releases)
    for links in ({"config_current": "other"}, {"config_verified": ""}):
        todo = agenda(settings, releases, _linked(seen, **links))
        assert todo.configure is not None
        assert todo.switch == todo.configure  # through the proxy it has to be verified again
        assert todo.gate is None


@pytest.mark.parametrize("status", ["exited", "created", "restarting", "paused"])
def test_A1_a_desired_release_that_does_not_run_is_gated_again(status: str) -> None:
    settings, releases = settled()
    seen = with_status(in_order(settings, releases), "t-jobs-blue-1", status)
    todo = agenda(settings, releases, seen)
    assert todo.gate == todo.switch == f"t-jobs-blue-1 is {status}"
    gone = agenda(settings, releases, without(seen, "t-jobs-blue-1"))
    assert gone.gate == "t-jobs-blue-1 does not exist"


def test_E1_a_worker_that_still_runs_in_the_standby_slot_is_stopped() -> None:
    settings, releases = settled()
    seen = with_status(in_order(settings, releases), "t-jobs-green-2", "running")
    assert due(agenda(settings, releases, seen)) == {"switch": "t-jobs-green-2 still runs in the standby slot"}


def test_E1_a_service_that_is_declared_no_more_leaves_the_pointer() -> None:
    settings, releases = settled(services={"web": WEB, "api": {**WEB, "routes": [{"path": "/api"}]}})
    seen = in_order(settings, releases)
    settings, releases = settled(services={"web": WEB})
    todo = agenda(settings, releases, seen)
    assert todo.switch == "api is on t-api-blue-1, declared nowhere"
    assert todo.pointer.keys() == {"web"}
    assert todo.retiring == ()


def test_C3_without_a_proxy_the_pointer_is_kept_and_nothing_is_configured() -> None:
    settings, releases = settled("none")
    todo = agenda(settings, releases, Observation(containers={}, links=Links(), foreign_ports={}))
    assert todo.pointer == {"jobs": "t-jobs-blue-1", "web": "t-web-blue-1:8080"}
    assert todo.configure is None
    assert todo.config == todo.bridge == ("", "")


# What to type next, when the new release fails.

TRY_AGAIN = "pulumi up   # try again, when the cause is mended"


def way_back(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """What is to be typed when one configuration runs, and the next one fails."""
    seen = in_order(*settled(**before))
    settings, releases = settled(**after)
    return agenda(settings, releases, seen).way_back


def slots(blue: Any, green: Any = None) -> dict[str, Any]:
    """The slots, each by its tag or in full."""
    full = {"blue": blue, "green": green}
    return {
        "slots": {name: {"imageTag": held} if isinstance(held, str) else held for name, held in full.items() if held}
    }


def test_B2_the_way_back_into_the_other_slot() -> None:
    assert way_back(slots("1", "2"), {"activeSlot": "green", **slots("1", "2")}) == (
        "pulumi config set activeSlot blue && pulumi up   # declare what serves",
        TRY_AGAIN,
        "pulumi config set --path slots.green.revision 2 && pulumi up   # the same with changed settings",
    )


def test_B2_the_way_back_of_an_in_place_release_is_its_tag() -> None:
    assert way_back(slots("1"), slots("2"))[0] == (
        "pulumi config set --path slots.blue.imageTag 1 && pulumi up   # declare what serves"
    )


def test_B2_the_way_back_of_a_revision_is_the_revision() -> None:
    assert way_back(slots({"imageTag": "1", "revision": 2}), slots({"imageTag": "1", "revision": 3})) == (
        "pulumi config set --path slots.blue.revision 2 && pulumi up   # declare what serves",
        TRY_AGAIN,
        "pulumi config set --path slots.blue.revision 4 && pulumi up   # the same with changed settings",
    )
    assert way_back(slots("1-r2"), slots({"imageTag": "1-r2", "revision": 3}))[0].startswith(
        "pulumi config set --path slots.blue.revision 1 && "
    )


def test_B2_the_way_back_declares_all_that_was_changed_at_once() -> None:
    after = {"activeSlot": "green", **slots({"imageTag": "3", "revision": 5}, "2")}
    assert way_back(slots("1"), after)[0] == (
        "pulumi config set activeSlot blue && pulumi config set --path slots.blue.imageTag 1"
        " && pulumi config set --path slots.blue.revision 1 && pulumi up   # declare what serves"
    )


def test_E2_the_way_back_of_one_service_alone_is_its_own_slot() -> None:
    services = {"web": WEB, "ui": {**WEB, "routes": [{"path": "/ui"}]}}
    alone = {**services, "ui": {**services["ui"], "activeSlot": "green"}}
    assert way_back({"services": services}, {"services": alone})[0] == (
        "pulumi config set --path services.ui.activeSlot blue && pulumi up   # declare what serves"
    )
    # Back in step with the others: to move all of them would be no way back.
    assert way_back({"services": alone}, {"services": services})[0] == (
        "pulumi config set --path services.ui.activeSlot green && pulumi up   # declare what serves"
    )


def test_B2_where_nothing_serves_there_is_only_forward() -> None:
    settings, releases = settled()
    todo = agenda(settings, releases, Observation(containers={}, links=Links(), foreign_ports={}))
    assert todo.way_back == (
        TRY_AGAIN,
        "pulumi config set --path slots.blue.revision 2 && pulumi up   # the same with changed settings",
    )


def test_B2_a_proxy_that_was_pointed_at_no_release_by_hand_is_no_way_back() -> None:
    settings, releases = settled()
    odd = Seen(name="t-toolbox", id="1", status="running", labels={}, ports=())
    seen = Observation(containers={"t-toolbox": odd}, links=Links(current={"web": "t-toolbox:1"}), foreign_ports={})
    assert agenda(settings, releases, seen).way_back[0] == TRY_AGAIN


@kinds
def test_B4_a_new_release_has_to_prove_itself_and_a_proved_one_is_a_way_back(kind: str) -> None:
    settings, releases = settled(kind, analysis={"bake": 30})
    blue = in_order(settings, releases)
    assert due(agenda(settings, releases, blue)) == {}
    settings, releases = settled(kind, analysis={"bake": 30}, activeSlot="green")
    todo = agenda(settings, releases, blue)
    assert todo.trial
    assert todo.analysis == "web 2 (green) has to prove itself"
    proved = msgspec.structs.replace(blue, record=Record(accepted=("t-web-green-2", "t-jobs-green-2")))
    todo = agenda(settings, releases, proved)
    assert due(todo).keys() == {"gate", "switch"}
    assert not todo.trial


@kinds
def test_B4_a_trial_that_was_cut_short_is_watched_again_and_keeps_its_way_back(kind: str) -> None:
    settings, releases = settled(kind, analysis={"bake": 30}, slots={"blue": {"imageTag": "2"}})
    old, old_releases = settled(kind, analysis={"bake": 30}, slots={"blue": {"imageTag": "1"}})
    before = in_order(old, old_releases)
    now = in_order(settings, releases)
    seen = msgspec.structs.replace(
        now,
        containers=before.containers | now.containers,
        record=Record(trial=Trial(at=1.0, containers=("t-web-blue-2",), before=before.links.current)),
    )
    todo = agenda(settings, releases, seen)
    assert todo.analysis == "web 2 (blue) has the traffic, and has not proved itself"
    assert "t-web-blue-1" in todo.retiring  # it is seen off when the trial is passed
    if kind == "nginx":
        assert "t-web-blue-1" in todo.bridge[1]  # and can take the traffic back until then


@kinds
def test_B4_without_a_release_before_it_there_is_nothing_to_compare_with(kind: str) -> None:
    settings, releases = settled(kind, analysis={"bake": 30})
    todo = agenda(settings, releases, Observation(containers={}, links=Links(), foreign_ports={}))
    assert todo.analysis is None
    assert not todo.trial


@kinds
def test_B4_what_was_taken_back_says_why(kind: str) -> None:
    settings, releases = settled(kind, analysis={"bake": 30})
    blue = in_order(settings, releases)
    settings, releases = settled(kind, analysis={"bake": 30}, activeSlot="green")
    taken = Record().revert(("t-web-green-2",), 1.0, ("web 2 (green): error rate 50 %",))
    todo = agenda(settings, releases, msgspec.structs.replace(blue, record=taken))
    assert todo.switch is not None
    assert todo.switch.endswith("t-web-green-2 was taken back: web 2 (green): error rate 50 %")


@kinds
def test_E4_a_share_that_was_left_is_no_switch(kind: str) -> None:
    settings, releases = settled(kind, analysis={"bake": 30}, rollout={"steps": [10, 100]})
    blue = in_order(settings, releases)
    settings, releases = settled(kind, analysis={"bake": 30}, rollout={"steps": [10, 100]}, activeSlot="green")
    shared = DRIVERS[kind].shared_pointer(blue.links.current, releases.desired, 10)
    half = msgspec.structs.replace(blue, links=msgspec.structs.replace(blue.links, current=shared, verified=shared))
    todo = agenda(settings, releases, half)
    assert todo.switch is not None
    assert "web is on t-web-blue-1, declared on t-web-green-2" in todo.switch
    assert todo.trial


@kinds
def test_C2_a_standby_that_lost_the_traffic_a_moment_ago_is_seen_off_when_it_is_replaced(kind: str) -> None:
    settings, releases = settled(kind, activeSlot="green", proxy={"kind": kind, "drain": "30s"})
    before = in_order(settings, releases)
    settings, releases = settled(
        kind,
        activeSlot="green",
        slots={"blue": {"imageTag": "3"}, "green": {"imageTag": "2"}},
        proxy={"kind": kind, "drain": "30s"},
    )
    for since, seconds in ((10.0, 20.0), (29.0, 1.0)):
        links = msgspec.structs.replace(before.links, verified_at=1000.0)
        todo = agenda(settings, releases, msgspec.structs.replace(before, links=links, now=1000.0 + since))
        assert todo.lately == ("t-web-blue-1",)
        assert todo.lately_for == seconds
        assert todo.switch is not None
    links = msgspec.structs.replace(before.links, verified_at=1000.0)
    todo = agenda(settings, releases, msgspec.structs.replace(before, links=links, now=1031.0))
    assert todo.lately == ()

"""The agenda: what reality that differs from the declaration makes due, and in which words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from components.agenda import agenda
from components.drift import trouble
from components.gone import taken_names
from switchback.observation import LABEL, Observation, Seen, digest_of
from switchback.proxies import DRIVERS
from tests.unit.test_agenda import due, in_order, kinds, settled, with_status

VERIFIED, NOW = 1_000_000.0, 1_000_100.0


def watched(seen: Observation, kind: str, text: str) -> Observation:
    """The observation as the toolbox tells it: with contents, the proxy's own answer and the times of starts."""
    links = msgspec.structs.replace(
        seen.links,
        config_contents={DRIVERS[kind].FILENAME: digest_of(text.encode())},
        running=seen.links.config_current,
        verified_at=VERIFIED,
    )
    started = {
        name: msgspec.structs.replace(held, restarted_at=VERIFIED - 50) for name, held in seen.containers.items()
    }
    return msgspec.structs.replace(seen, links=links, containers=started, now=NOW)


def changed(seen: Observation, container: str, **more: Any) -> Observation:
    """The observation with something else about a container."""
    held = msgspec.structs.replace(seen.containers[container], **more)
    return msgspec.structs.replace(seen, containers={**seen.containers, container: held})


def taken(seen: Observation, container: str) -> Observation:
    """The observation with a stranger in a container's place."""
    left = {name: held for name, held in seen.containers.items() if name != container}
    return msgspec.structs.replace(seen, containers=left, strangers={container: "it runs image b, not a"})


@pytest.fixture(params=["caddy", "nginx"])
def kind(request: pytest.FixtureRequest) -> str:
    """Either proxy."""
    return str(request.param)


@pytest.fixture
def well(kind: str) -> Observation:
    """Everything as declared, and all of it looked at."""
    settings, releases = settled(kind)
    seen = in_order(settings, releases)
    return watched(seen, kind, agenda(settings, releases, seen).config[1])


def reasons(kind: str, seen: Observation) -> dict[str, str]:
    """What is due, and why."""
    return due(agenda(*settled(kind), seen))


def test_E3_what_is_in_order_makes_nothing_due(kind: str, well: Observation) -> None:
    assert reasons(kind, well) == {}


def test_E3_another_content_under_the_right_name_is_an_edit(kind: str, well: Observation) -> None:
    contents = {DRIVERS[kind].FILENAME: digest_of(b"edited")}
    seen = msgspec.structs.replace(well, links=msgspec.structs.replace(well.links, config_contents=contents))
    why = f"the file of configuration {well.links.config_current} was edited by hand"
    assert reasons(kind, seen) == {"configure": why, "switch": why}


@pytest.mark.parametrize(("running", "shown"), [("0123456789ab", "0123456789ab"), ("", "one that is not ours")])
def test_E3_what_the_proxy_says_it_runs_counts(kind: str, well: Observation, running: str, shown: str) -> None:
    seen = msgspec.structs.replace(well, links=msgspec.structs.replace(well.links, running=running))
    assert reasons(kind, seen)["configure"].endswith(f"is declared, the proxy runs {shown}")


@pytest.mark.parametrize("status", ["exited", "paused", "restarting"])
def test_E3_a_proxy_that_does_not_run_is_named(kind: str, well: Observation, status: str) -> None:
    assert reasons(kind, with_status(well, "t-proxy", status))["configure"] == f"the proxy is {status}"


def test_E3_a_proxy_that_is_gone_or_replaced_is_named(kind: str, well: Observation) -> None:
    replaced = taken(well, "t-proxy")
    assert reasons(kind, replaced)["configure"] == "t-proxy was replaced by hand: it runs image b, not a"
    gone = msgspec.structs.replace(replaced, strangers={})
    assert reasons(kind, gone)["configure"] == "the proxy does not exist"


def test_E3_what_was_restarted_since_is_verified_again(kind: str, well: Observation) -> None:
    for container in ("t-web-blue-1", "t-jobs-blue-1"):
        why = reasons(kind, changed(well, container, restarted_at=VERIFIED + 1))
        assert why["gate"] == why["switch"]
        assert why["gate"] == f"{container} was restarted at 1970-01-12 13:46:41 UTC, after the last verified switch"
    assert reasons(kind, changed(well, "t-proxy", restarted_at=VERIFIED + 1)).keys() == {"switch"}
    # The standby is warmed, and was never verified.
    assert reasons(kind, changed(well, "t-web-green-2", restarted_at=VERIFIED + 1)) == {}


def test_E3_a_clock_that_was_set_back_is_no_restart(kind: str, well: Observation) -> None:
    assert reasons(kind, changed(well, "t-web-blue-1", restarted_at=NOW + 3600)) == {}


@pytest.mark.parametrize(("status", "warmed"), [("exited", True), ("paused", True), ("restarting", False)])
def test_E3_a_standby_that_was_stopped_is_warmed_again(kind: str, well: Observation, status: str, warmed: bool) -> None:
    # One that crashes again and again is broken: to wait for it with every update would help nobody.
    why = reasons(kind, with_status(well, "t-web-green-2", status))
    assert why == ({"warm": f"t-web-green-2 is {status}"} if warmed else {})
    assert reasons(kind, with_status(well, "t-jobs-green-2", "exited")) == {}  # as a worker in standby has to be


def test_E3_a_replaced_release_is_named(kind: str, well: Observation) -> None:
    why = reasons(kind, taken(well, "t-web-blue-1"))
    assert why["gate"] == why["switch"] == "t-web-blue-1 was replaced by hand: it runs image b, not a"
    assert reasons(kind, taken(well, "t-web-green-2")) == {
        "warm": "t-web-green-2 was replaced by hand: it runs image b, not a"
    }


@pytest.mark.parametrize("status", ["running", "exited", "paused"])
def test_E3_a_database_that_was_down_makes_the_switch_verify_again(kind: str, well: Observation, status: str) -> None:
    database = Seen(name="t-database", id="d", status=status, labels={f"{LABEL}part": "database"}, ports=())
    seen = msgspec.structs.replace(well, containers={**well.containers, "t-database": database})
    assert reasons(kind, seen) == ({} if status == "running" else {"switch": f"t-database is {status}"})
    assert trouble(seen, "t-database") == (None if status == "running" else f"t-database is {status}")


@kinds
def test_E3_what_is_done_with_a_stranger_and_what_it_costs_is_said_before(kind: str) -> None:
    settings, releases = settled(kind)
    seen = in_order(settings, releases)
    [live] = taken_names(taken(seen, "t-web-blue-1"), "t", releases)
    assert live.startswith("t-web-blue-1 was replaced by hand: it runs image b, not a. An update renames")
    assert live.endswith("and makes t-web-blue-1 again; until it runs, no request to web can be answered")
    [standby] = taken_names(taken(seen, "t-web-green-2"), "t", releases)
    assert "can be answered" not in standby
    [proxy] = taken_names(taken(seen, "t-proxy"), "t", releases)
    assert proxy.endswith("until it runs, no request can be answered")
    assert taken_names(taken(seen, "t-somebody-elses"), "t", releases) == []

"""The analysis after the switch: a release that does worse than the one before it loses the traffic again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench.load import Load
from tests.integration.breaking import in_toolbox, kill_family, links, process_in_toolbox, until
from tests.integration.conftest import MakeWorld
from tests.integration.world import World

pytestmark = pytest.mark.integration

RATE = 100  # requests a second
ANALYSIS: dict[str, Any] = {"bake": 8, "baseline": 20, "minRequests": 100}


def live(world: World, **analysis: Any) -> World:
    """A world in which release 1 serves and new releases are watched."""
    world.config["analysis"] = ANALYSIS | analysis
    world.must_up()
    return world


@contextmanager
def users(world: World, seconds: float = 3.0) -> Iterator[Load]:
    """Users who were there before whatever comes, for long enough to be a baseline."""
    with Load(world.url, clients=8, rate=RATE) as load:
        time.sleep(seconds)
        yield load


def offer(world: World, **faults: str) -> None:
    """Release 2 is declared for green, and green shall take the traffic."""
    world.config["slots"]["green"] = {"imageTag": "2", "env": faults}
    world.config["activeSlot"] = "green"


def record(world: World) -> str:
    """The record on the volume, as text."""
    return in_toolbox(world, "cat", "/run/switchback/record.json")


def test_B4_a_release_that_answers_500_is_taken_back_by_itself(world: World) -> None:
    live(world)
    old = world.container("web", "blue", "1")
    offer(world, ERROR_SHARE="1")
    with users(world) as load:
        failed = world.up()
        time.sleep(0.5)
    assert not failed.ok, failed.text
    assert "Analysis failed, so all traffic was taken back" in failed.text
    assert "web 2 (green): error rate 100 %" in failed.text
    assert "Still serving: web 1 (blue)." in failed.text
    assert "pulumi config set activeSlot blue && pulumi up   # declare what serves" in failed.text
    assert world.serving() == "1"
    # Only the new release's own answers failed: nothing was lost on the way there and back.
    assert all("HTTP 500" in reason for reason in load.tally.reasons), load.tally.reasons
    assert 0 < load.tally.total_failed < RATE * ANALYSIS["bake"]
    assert world.container("web", "green", "2").status == "running"  # left for inspection
    # The next preview tells the truth, and declaring what serves changes nothing that serves.
    preview = world.pulumi("preview", "--diff").text
    assert "web is on" in preview
    assert "was taken back: web 2 (green): error rate 100 %" in preview, (preview, record(world))
    world.config["activeSlot"] = "blue"
    before = links(world)["pointer/current"]
    declared = world.must_up()
    assert "takes the traffic" not in declared.text
    assert links(world)["pointer/current"] == before
    now = world.container("web", "blue", "1")
    assert (now.id, now.attrs["State"]["StartedAt"]) == (old.id, old.attrs["State"]["StartedAt"])
    assert set(world.up().summary) == {"same"}


def test_B4_a_slower_release_is_taken_back(world: World) -> None:
    world.config["slots"]["blue"]["env"] = {"ANSWER_DELAY": "0.02"}
    live(world, bake=15)
    offer(world, ANSWER_DELAY="0.15")
    with users(world, seconds=5) as load:
        failed = world.up()
    assert not failed.ok, failed.text
    assert "p95 latency" in failed.text
    assert "old release" in failed.text
    assert world.serving() == "1"
    assert load.tally.total_failed == 0, load.tally.reasons


def test_B4_a_healthy_release_is_accepted_and_the_way_back_is_not_watched(world: World) -> None:
    live(world)
    offer(world)
    with users(world) as load:
        done = world.must_up()
        assert "web 2 (green): error rate 0 %" in done.text
        assert ": accepted" in done.text
        assert set(world.up().summary) == {"same"}
        world.config["activeSlot"] = "blue"
        back = world.must_up()
        assert "accepted" not in back.text
        assert "has to prove itself" not in back.text
    assert world.serving() == "1"
    assert load.tally.total_failed == 0, load.tally.reasons


def test_fault_42_no_traffic_is_inconclusive_never_a_pass_and_never_a_revert(caddy_world: World) -> None:
    world = live(caddy_world, bake=1)
    offer(world)
    done = world.must_up()
    assert "the analysis is inconclusive, and the release keeps the traffic" in done.text
    assert "only" in done.text
    assert world.serving() == "2"
    world.config["slots"]["blue"]["imageTag"] = "1"
    world.config["slots"]["blue"]["revision"] = 2
    world.config["activeSlot"] = "blue"
    world.config["analysis"]["onInconclusive"] = "revert"
    failed = world.up()
    assert not failed.ok, failed.text
    assert "Analysis is inconclusive, and onInconclusive is revert, so all traffic was taken back" in failed.text
    assert "Still serving: web 2 (green)." in failed.text
    assert world.serving() == "2"


def test_B4_requests_of_our_own_fill_in_where_there_are_too_few(world: World) -> None:
    live(world, bake=6, synthetic={"rate": 50, "paths": ["/", "/some/page"]})
    offer(world)
    done = world.must_up()
    assert "inconclusive" not in done.text
    assert ": accepted" in done.text
    world.config["slots"]["blue"] = {"imageTag": "1", "revision": 2, "env": {"ERROR_SHARE": "1"}}
    world.config["activeSlot"] = "blue"
    failed = world.up()
    assert not failed.ok, failed.text
    assert "error rate 100 %" in failed.text
    assert world.serving() == "2"


def test_B5_autorollback_false_leaves_the_failure_in_place(caddy_world: World) -> None:
    world = live(caddy_world)
    world.config["autoRollback"] = False
    offer(world, ERROR_SHARE="1")
    with users(world):
        failed = world.up()
    assert not failed.ok, failed.text
    assert "autoRollback is false, so it still has the traffic" in failed.text
    assert "Still serving: web 2 (green)." in failed.text
    assert world.get()[0] == 500
    # It is not forgotten: the next preview says that it never proved itself.
    assert "has not proved itself" in world.pulumi("preview", "--diff").text
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.serving() == "1"


def test_B5_an_in_place_release_is_taken_back_to_the_one_it_was_to_replace(world: World) -> None:
    live(world)
    old = world.container("web", "blue", "1").id
    world.config["slots"]["blue"] = {"imageTag": "2", "env": {"ERROR_SHARE": "0.5"}}
    with users(world) as load:
        failed = world.up()
    assert not failed.ok, failed.text
    assert "all traffic was taken back" in failed.text
    assert world.serving() == "1"
    assert world.container("web", "blue", "1").id == old
    assert all("HTTP 500" in reason for reason in load.tally.reasons), load.tally.reasons
    world.config["slots"]["blue"] = {"imageTag": "1"}
    world.must_up()
    assert world.container("web", "blue", "1").id == old
    assert world.serving() == "1"


def test_E4_a_rollout_goes_step_by_step(world: World) -> None:
    world.config["rollout"] = {"steps": [10, 50, 100]}
    live(world, bake=3)
    offer(world)
    with users(world) as load:
        done = world.must_up()
    assert "web 2 (green): takes 10 % of the traffic" in done.text
    assert "web 2 (green): takes 50 % of the traffic" in done.text
    assert "web 2 (green): takes 100 % of the traffic" in done.text
    assert load.tally.total_failed == 0, load.tally.reasons
    assert world.serving() == "2"
    assert set(world.up().summary) == {"same"}
    # The way back is one switch, for all at once.
    world.config["activeSlot"] = "blue"
    back = world.must_up().text
    assert "web 1 (blue): takes the traffic; switched and verified" in back
    assert "web 1 (blue): takes 10 %" not in back
    assert world.serving() == "1"


def test_E4_a_failing_rollout_never_reaches_most_of_the_clients(world: World) -> None:
    world.config["rollout"] = {"steps": [10, 50, 100]}
    live(world)
    offer(world, ERROR_SHARE="1")
    with users(world) as load:
        failed = world.up()
        time.sleep(0.5)
    assert not failed.ok, failed.text
    assert "all traffic was taken back" in failed.text
    assert world.serving() == "1"
    assert load.tally.total_failed < load.tally.total * 0.25
    assert all("HTTP 500" in reason for reason in load.tally.reasons), load.tally.reasons


def test_fault_14_an_update_that_is_killed_in_its_bake_is_watched_to_the_end(caddy_world: World) -> None:
    world = live(caddy_world, bake=20)
    offer(world, ERROR_SHARE="0.3")
    with users(world, seconds=2) as load:
        update = world.popen("up", "--yes")
        until("release 2 is watched", lambda: process_in_toolbox(world, "switchback.inside.analysis") != "")
        kill_family(update)
        until("the watch in the toolbox takes it back", lambda: '"reverted":{"' in record(world))
        assert world.serving() == "1"
        assert '"trial":null' in record(world)
        time.sleep(0.5)
    assert all("HTTP 500" in reason for reason in load.tally.reasons), load.tally.reasons
    world.pulumi("cancel", "--yes", check=False)
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.serving() == "1"


def test_fault_15_a_bake_that_is_cut_short_is_made_up_for_by_the_next_update(caddy_world: World) -> None:
    world = live(caddy_world, bake=8)
    offer(world)
    with users(world, seconds=2) as load:
        update = world.popen("up", "--yes")
        until("release 2 takes traffic", lambda: '"trial":{' in record(world), every=0.02)
        kill_family(update)
        world.pulumi("cancel", "--yes", check=False)
        done = world.must_up()
        assert ": accepted" in done.text
    assert world.serving() == "2"
    assert load.tally.total_failed == 0, load.tally.reasons
    assert set(world.up().summary) == {"same"}


def test_B4_a_toolbox_that_is_removed_in_the_bake_leaves_the_release_to_the_next_update(caddy_world: World) -> None:
    world = live(caddy_world, bake=10)
    offer(world)
    with users(world, seconds=2) as load:
        update = world.popen("up", "--yes")
        until("release 2 is watched", lambda: process_in_toolbox(world, "switchback.inside.analysis") != "")
        world.part("toolbox").remove(force=True)
        said, _ = update.communicate(timeout=120)
        assert update.returncode != 0, said
        assert (
            "Analysis broke off: the release still has the traffic, and the next `pulumi up` watches it again" in said
        )
        assert "Still serving: web 2 (green)." in said
        assert f"{world.name}-toolbox does not exist" in world.pulumi("preview", "--diff").text
        done = world.must_up()
        assert ": accepted" in done.text
    assert load.tally.total_failed == 0, load.tally.reasons
    assert world.serving() == "2"
    assert set(world.up().summary) == {"same"}


def test_fault_18_while_a_release_is_watched_a_second_update_is_refused(caddy_world: World) -> None:
    world = live(caddy_world, bake=40)
    offer(world)
    with users(world, seconds=2):
        first = world.popen("up", "--yes")
        until("release 2 is watched", lambda: '"trial":{' in record(world), every=0.02)
        world.pulumi("cancel", "--yes")  # takes Pulumi's own lock from the first, and stops nobody
        world.config["activeSlot"] = "blue"
        second = world.up()
        assert not second.ok
        assert "another update of this environment" in second.text or "another update is changing" in second.text
        assert "Nothing was changed" in second.text
        assert world.serving() == "2"
        said, _ = first.communicate(timeout=120)
    assert "accepted" in said
    assert world.serving() == "2"


def test_fault_43_where_the_old_release_is_dead_the_new_one_stays_and_an_alarm_is_given(world: World) -> None:
    live(world, bake=20)
    offer(world, ERROR_SHARE="0.2")
    with users(world, seconds=2):
        update = world.popen("up", "--yes")
        until("release 2 takes traffic", lambda: '"trial":{' in record(world), every=0.02)
        world.container("web", "blue", "1").kill()
        said, _ = update.communicate(timeout=120)
    assert update.returncode != 0
    assert "BUT THERE IS NOTHING TO GO BACK TO" in said
    assert "Still serving: web 2 (green)." in said
    assert world.get("/health")[0] == 200


def test_fault_43_an_old_release_that_dies_while_a_good_one_is_watched_is_said(caddy_world: World) -> None:
    world = live(caddy_world, bake=5)
    offer(world)
    with users(world, seconds=2) as load:
        update = world.popen("up", "--yes")
        until("release 2 takes traffic", lambda: '"trial":{' in record(world), every=0.02)
        world.container("web", "blue", "1").kill()
        said, _ = update.communicate(timeout=120)
    assert update.returncode == 0, said
    assert "there is no quick way back" in said
    assert world.serving() == "2"
    assert load.tally.total_failed == 0, load.tally.reasons


def test_B4_an_analysis_that_cannot_count_is_inconclusive(make_world: MakeWorld) -> None:
    world = live(make_world("caddy"), bake=3)
    offer(world)
    with users(world, seconds=2) as load:
        update = world.popen("up", "--yes")
        until("release 2 takes traffic", lambda: '"trial":{' in record(world), every=0.02)
        # The socket is what the analysis asks; without it, the meter counts on and cannot be asked.
        in_toolbox(world, "rm", "-f", "/run/meter/meter.sock")
        said, _ = update.communicate(timeout=120)
    assert update.returncode == 0, said
    assert "the requests can't be counted" in said
    assert "inconclusive" in said
    assert load.tally.total_failed == 0, load.tally.reasons

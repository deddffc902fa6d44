"""The main job: deploy, deploy, roll back, by nothing but configuration and `pulumi up`."""

from __future__ import annotations

import pytest

from bench.load import Load
from tests.integration.conftest import MakeWorld
from tests.integration.world import World, web, worker

pytestmark = pytest.mark.integration


def test_A1_deploy_then_roll_back_by_config_drops_nothing(world: World) -> None:
    world.must_up()
    assert world.serving() == "1"
    with Load(world.url, clients=8, rate=200) as load:
        world.config["slots"]["green"] = {"imageTag": "2"}
        world.config["activeSlot"] = "green"
        world.must_up()
        assert world.serving() == "2"
        blue = world.container("web", "blue", "1")
        # As the operator types it.
        world.pulumi("config", "set", "activeSlot", "blue")
        world.pulumi("up", "--yes")
        assert world.serving() == "1"
    assert load.tally.total_failed == 0, load.tally.reasons
    assert load.tally.served["2"] > 0
    again = world.container("web", "blue", "1")
    assert (again.id, again.attrs["State"]["StartedAt"]) == (blue.id, blue.attrs["State"]["StartedAt"])
    outputs = world.outputs()
    assert outputs["live"] == {"web": {"slot": "blue", "release": "1"}}
    assert outputs["activeSlot"] == "blue"
    assert outputs["url"] == world.url
    assert outputs["releases"]["green"]["web"]["image"] == world.container("web", "green", "2").attrs["Image"]


def test_A1_second_up_changes_nothing(world: World) -> None:
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["services"]["jobs"] = worker()
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}
    world.must_up()
    before = world.containers()
    second = world.must_up()
    assert set(second.summary) == {"same"}, second.text
    assert set(world.preview().summary) == {"same"}
    assert world.containers() == before


def test_A1_a_new_release_into_the_live_slot_drops_nothing(world: World) -> None:
    world.must_up()
    with Load(world.url, clients=8, rate=200) as load:
        world.config["slots"]["blue"] = {"imageTag": "2"}
        world.must_up()
        assert world.serving() == "2"
        world.config["slots"]["blue"] = {"imageTag": "3"}  # broken: its gate stays shut
        world.config["services"]["web"]["health"]["timeout"] = 3
        assert not world.up().ok
        assert world.serving() == "2"
        world.config["slots"]["blue"] = {"imageTag": "1"}
        world.must_up()
        assert world.serving() == "1"
    assert load.tally.total_failed == 0, load.tally.reasons
    left = [name for name in world.containers() if "-web-" in name]
    assert left == [f"{world.name}-web-blue-1"]
    assert set(world.must_up().summary) == {"same"}


def test_B2_a_failed_release_leaves_the_other_slot_untouched(world: World) -> None:
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.must_up()
    before = world.containers()
    with Load(world.url, clients=8, rate=100) as load:
        world.config["slots"]["green"] = {"imageTag": "3"}
        world.config["activeSlot"] = "green"
        world.config["services"]["web"]["health"]["timeout"] = 3
        failed = world.up()
    assert not failed.ok
    assert "Still serving: web 1 (blue)." in failed.text
    assert "pulumi config set activeSlot blue && pulumi up" in failed.text
    assert load.tally.total_failed == 0
    assert set(load.tally.served) == {"1"}
    after = world.containers()
    assert {name: after[name] for name in before} == before  # the former green as well, until a release succeeds
    assert f"{world.name}-web-green-3" in after  # the failed one stays for inspection
    # The way back never waits for what is broken, and changes nothing that serves.
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.serving() == "1"
    assert world.containers()[f"{world.name}-web-blue-1"] == before[f"{world.name}-web-blue-1"]


def test_B5_with_both_slots_bad_it_is_said_what_is_and_either_way_out_works(world: World) -> None:
    world.config["slots"]["green"] = {"imageTag": "3"}
    warned = world.must_up()
    assert "Warning" in warned.text or "warning" in warned.text
    live = world.container("web", "blue", "1")
    live.stop(timeout=1)
    world.config["activeSlot"] = "green"
    failed = world.up()
    assert not failed.ok
    assert "Gate failed: web 3 (green)" in failed.text
    assert "Still serving: web 1 (blue), but its container is exited." in failed.text
    assert world.get()[0] == 502
    # Back to what served: it is started again, and the broken one is in nobody's way.
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.serving() == "1"
    assert world.container("web", "blue", "1").id == live.id
    # On to a good one, while what serves is dead.
    world.container("web", "blue", "1").stop(timeout=1)
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    world.must_up()
    assert world.serving() == "2"


def test_E1_services_are_switched_together_or_not_at_all(world: World) -> None:
    world.config["services"]["web"]["env"] = {"SERVICE_NAME": "web"}
    world.config["services"]["api"] = web(routes=[{"host": "api.example.com", "path": "/v1"}])
    world.config["services"]["jobs"] = worker()
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.must_up()
    assert (world.serving(), world.serving("/v1", "api.example.com")) == ("1", "1")
    assert world.get("/v2", "api.example.com")[1]["service"] == "web"  # a host's other paths go to who takes any host
    assert world.container("jobs", "blue", "1").status == "running"
    assert world.container("jobs", "green", "2").status == "created"

    world.config["activeSlot"] = "green"
    world.config["services"]["api"]["env"] = {"FAIL_HEALTH": "1"}
    world.config["services"]["api"]["health"]["timeout"] = 3
    world.config["slots"]["green"]["revision"] = 2
    failed = world.up()
    assert not failed.ok
    assert "api 2-r2 (green)" in failed.text
    assert "check self: error" in failed.text
    assert (world.serving(), world.serving("/v1", "api.example.com")) == ("1", "1")

    world.config["services"]["api"]["env"] = {}
    world.config["slots"]["green"]["revision"] = 3
    world.must_up()
    assert (world.serving(), world.serving("/v1", "api.example.com")) == ("2", "2")
    # The worker runs where its slot is live, and only there: an old one would go on taking jobs.
    assert world.container("jobs", "green", "2-r3").status == "running"
    assert world.container("jobs", "blue", "1").status == "exited"
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.container("jobs", "green", "2-r3").status == "exited"
    assert world.container("jobs", "blue", "1").status == "running"


def test_E2_one_service_is_rolled_back_alone(world: World) -> None:
    world.config["services"]["frontend"] = web(routes=[{"path": "/ui"}])
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    world.must_up()
    assert (world.serving(), world.serving("/ui")) == ("2", "2")
    before = world.containers()
    world.config["services"]["frontend"]["activeSlot"] = "blue"
    world.must_up()
    assert (world.serving(), world.serving("/ui")) == ("2", "1")
    assert world.containers() == before
    assert world.outputs()["live"]["frontend"] == {"slot": "blue", "release": "1"}


def test_C3_without_a_proxy_nothing_is_switched_and_addresses_are_said(make_world: MakeWorld) -> None:
    world = make_world("none")
    done = world.must_up()
    assert "proxy.kind is none" in done.text
    network = world.container("web", "blue", "1").attrs["NetworkSettings"]["Networks"]
    [address] = [held["IPAddress"] for held in network.values()]
    assert f"web 1 (blue): http://{address}:8080" in done.text
    assert not any(name.endswith("-proxy") for name in world.containers())
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    assert "Active from now on: web 2 (green)" in world.must_up().text
    assert set(world.must_up().summary) == {"same"}


def test_E3_two_stacks_side_by_side_do_not_touch_each_other(make_world: MakeWorld) -> None:
    staging, production = make_world("nginx"), make_world("caddy")
    for one in (staging, production):
        one.config["slots"]["green"] = {"imageTag": "2"}
        one.must_up()
    before = production.containers()
    staging.config["activeSlot"] = "green"
    staging.must_up()
    assert (staging.serving(), production.serving()) == ("2", "1")
    assert staging.pulumi("destroy", "--yes").ok
    assert staging.containers() == {}
    assert production.containers() == before
    assert production.serving() == "1"


def test_A8_destroy_leaves_nothing_behind(world: World) -> None:
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["services"]["jobs"] = worker()
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}
    world.must_up()
    world.pulumi("destroy", "--yes")
    mine: dict[str, str | list[str] | bool] = {"label": f"switchback.environment={world.name}"}
    assert world.docker.containers.list(all=True, filters=mine) == []
    assert world.docker.volumes.list(filters={"name": world.name}) == []
    assert world.docker.networks.list(names=[f"switchback-{world.name}"]) == []


def test_D1_the_service_reaches_its_database(world: World) -> None:
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}
    world.must_up()
    checks = {check["name"]: check["status"] for check in world.get("/health")[1]["checks"]}
    assert checks["database"] == "ok"


def test_C1_a_change_of_routes_is_validated_applied_and_verified(world: World) -> None:
    world.must_up()
    world.config["services"]["web"]["routes"] = [{"path": "/"}, {"host": "new.example.com", "path": "/only"}]
    done = world.must_up()
    assert "runs configuration" in done.text
    assert world.serving("/only", "new.example.com") == "1"
    assert set(world.must_up().summary) == {"same"}

"""A rollback restores the release as it was: image, environment, secrets, mounts, limits, whatever is shared now."""

from __future__ import annotations

from typing import Any

import pytest
from docker.models.containers import Container

from tests.integration.breaking import load, resources
from tests.integration.world import World

pytestmark = pytest.mark.integration

OLD, NEW = "an old secret, 41c9", "a new secret, 8d07"


def env(container: Container) -> dict[str, str]:
    """The variables of a container."""
    return dict(pair.split("=", 1) for pair in container.attrs["Config"]["Env"])


def untouched(container: Container) -> tuple[Any, ...]:
    """What would not be the same, had the container been made anew, changed, or only restarted."""
    attrs, host = container.attrs, container.attrs["HostConfig"]
    limits = tuple(host[key] for key in ("Memory", "CpuQuota", "PidsLimit", "Mounts", "ReadonlyRootfs"))
    return (container.id, attrs["State"]["StartedAt"], attrs["RestartCount"], attrs["Image"], env(container), *limits)


def secret(world: World, value: str) -> None:
    """Types a secret in."""
    world.write_config()
    world.pulumi("config", "set", "--secret", "--path", "switchback:services.web.secretEnv.API_KEY", value)


def test_A1_a_rollback_restores_the_release_exactly_and_leaves_it_so(world: World) -> None:
    web = world.config["services"]["web"]
    web |= {
        "env": {"FOO": "a"},
        "resources": {"memory": "128m", "cpus": 0.5, "pids": 100},
        "mounts": [{"source": f"{world.name}-kept", "target": "/kept"}],
    }
    volumes = [world.docker.volumes.create(f"{world.name}-{n}") for n in ("kept", "other")]
    try:
        secret(world, OLD)
        world.must_up()
        blue = world.container("web", "blue", "1")
        made = untouched(blue)
        assert (env(blue)["FOO"], env(blue)["API_KEY"]) == ("a", OLD)

        web |= {
            "env": {"FOO": "b", "BAR": "new"},
            "resources": {"memory": "256m", "cpus": 1, "pids": 200},
            "mounts": [{"source": f"{world.name}-other", "target": "/other", "readOnly": True}],
        }
        world.config["slots"]["green"] = {"imageTag": "2"}
        world.config["activeSlot"] = "green"
        secret(world, NEW)
        with load(world) as watched:
            world.must_up()
            green = env(world.container("web", "green", "2"))
            assert (green["FOO"], green["API_KEY"]) == ("b", NEW)
            world.config["activeSlot"] = "blue"
            rolled_back = world.must_up()
            assert world.serving() == "1"
            again = world.must_up()
        assert watched.tally.total_failed == 0, watched.tally.reasons
        assert set(again.summary) == {"same"}
        assert untouched(world.container("web", "blue", "1")) == made

        # The preview says so, in names and values that are no secret, and what to type.
        previewed = world.preview()
        assert set(previewed.summary) == {"same"}
        for said in (rolled_back.text, previewed.text):
            assert "web 1 (blue) runs with no env.BAR, env.FOO=a," in said
            assert "resources.memory=128m" in said
            assert "secretEnv.API_KEY=[secret]; the configuration says env.BAR=new, env.FOO=b," in said
            assert "secretEnv.API_KEY=[another secret]." in said
            assert "To release that: pulumi config set --path slots.blue.revision 2 && pulumi up" in said
            assert "web 2 (green) runs with" not in said  # it is what the configuration says
            assert OLD not in said
            assert NEW not in said

        # What it says to type.
        world.pulumi("config", "set", "--path", "slots.blue.revision", "2")
        world.config["slots"]["blue"]["revision"] = 2
        with load(world) as watched:
            released = world.must_up()
        assert watched.tally.total_failed == 0, watched.tally.reasons
        now = env(world.container("web", "blue", "1-r2"))
        assert (now["FOO"], now["BAR"], now["API_KEY"]) == ("b", "new", NEW)
        assert "runs with" not in released.text
        assert set(world.preview().summary) == {"same"}
    finally:
        world.close()
        for volume in volumes:
            volume.remove(force=True)


def test_G2_security_01_what_a_release_was_made_from_holds_no_secret_and_no_trace_of_one(caddy_world: World) -> None:
    world = caddy_world
    secret(world, OLD)
    world.must_up()
    before = world.container("web", "blue", "1").labels
    secret(world, NEW)
    world.config["slots"]["blue"]["revision"] = 2
    world.must_up()
    after = world.container("web", "blue", "1-r2").labels
    # Not even a hash, which would tell a guessed secret from a wrong one.
    assert before["switchback.settings"] == after["switchback.settings"]
    assert "API_KEY" in after["switchback.settings"]
    assert OLD not in str(resources(world)) + str(before)
    assert NEW not in str(resources(world)) + str(after)


def test_A1_a_standby_that_differs_is_mentioned_and_no_more(caddy_world: World) -> None:
    world = caddy_world
    world.config["services"]["web"]["env"] = {"FOO": "a"}
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.must_up()
    world.config["services"]["web"]["env"] = {"FOO": "b"}
    world.config["slots"]["blue"]["revision"] = 2
    said = world.must_up().text
    assert "web 2 (green) runs with env.FOO=a; the configuration says env.FOO=b. To release that:" in said
    previewed = world.pulumi("preview").text
    # A warning is for what has the traffic.
    assert "warning: web 2 (green)" not in previewed
    assert "web 2 (green) runs with env.FOO=a; the configuration says env.FOO=b." in previewed
    world.config["activeSlot"] = "green"
    world.must_up()
    assert "warning: web 2 (green) runs with env.FOO=a" in world.pulumi("preview").text

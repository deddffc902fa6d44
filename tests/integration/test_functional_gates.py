"""Functional gates: a user's own tests, for real, between a release and its traffic."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from switchback.specs import Functional, FunctionalTest, Place, Target, encode
from tests.integration.breaking import family, kill_family, load, procedure, procedure_of, until
from tests.integration.conftest import MakeWorld
from tests.integration.sharing import shared_world
from tests.integration.world import World

pytestmark = pytest.mark.integration

SECRET = "correct-horse-battery"
# Asks the release by the address that it is told, as a list of requests would.
ASKING = """
import json, os, sys, urllib.request
for key in sorted(os.environ):
    if key.startswith("SWITCHBACK_"): print(key, os.environ[key])
said = json.load(urllib.request.urlopen(os.environ["SWITCHBACK_URL"], timeout=5))
print("it says", said["version"], "and given is", os.path.exists("/given/there"))
sys.exit(said["version"] != sys.argv[1])
"""
FAILING = """
import os, sys
for number in range(40): print("line", number)
print("\\x1b[31mlogin with", os.environ["LOGIN"], "failed\\x1b[0m", file=sys.stderr)
sys.exit(3)
"""
SLEEPING = "import time; print('asleep', flush=True); time.sleep(600)"


def gate(name: str, code: str, *words: str, **more: Any) -> dict[str, Any]:
    """A gate that runs a piece of Python in an image of its own, or as it is said."""
    place = {} if "service" in more else {"image": "switchback/demo:1"}
    return {"name": name, "command": ["python3", "-u", "-c", code, *words], **place, **more}


def offer(world: World, *gates: dict[str, Any]) -> None:
    """Declares release 2 in green, which has to pass these gates."""
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    world.config["gates"] = [*gates]


def left(world: World) -> list[Container]:
    """The containers of functional gates, running or not."""
    labels = [f"switchback.environment={world.name}", "switchback.part=functional-gate"]
    return world.docker.containers.list(all=True, filters={"label": labels}, ignore_removed=True)


def unmoved(world: World, failed: str) -> None:
    """Release 1 has the traffic, nothing of a gate is left, and the report says what every such report has to."""
    assert world.serving() == "1"
    assert left(world) == []
    assert "Still serving: web 1 (blue)." in failed
    assert "What to type next:" in failed
    assert "pulumi config set activeSlot blue && pulumi up" in failed


def test_B3_tests_of_ones_own_pass_before_the_traffic_moves(caddy_world: World, tmp_path: Path) -> None:
    world = caddy_world
    world.must_up()
    given = tmp_path / "given"
    given.mkdir()
    given.chmod(0o755)  # whatever the umask: the service runs as a user of its own
    (given / "there").touch()
    world.config["services"]["web"]["mounts"] = [{"source": str(given), "target": "/given", "readOnly": True}]
    offer(world, gate("own", ASKING, "2", service="web"), gate("asks", ASKING, "2"))
    with load(world) as during:
        done = world.must_up()
    assert during.tally.total_failed == 0, during.tally.reasons
    assert world.serving() == "2"
    assert left(world) == []
    own, asks = (done.text.index(f"{name}: passed") for name in ("own", "asks"))
    assert own < asks < done.text.index("takes the traffic")
    container = f"{world.name}-web-green-2"
    for line in (
        f"| SWITCHBACK_ENVIRONMENT {world.name}",
        "| SWITCHBACK_SLOT green",
        f"| SWITCHBACK_URL http://{container}:8080",
        f"| SWITCHBACK_URL_WEB http://{container}:8080",
        "| SWITCHBACK_RELEASE_WEB 2",
        "| SWITCHBACK_SERVICE web",  # the release's own variable, for the test that it brings along
        "| it says 2 and given is True",
        "| it says 2 and given is False",
    ):
        assert line in done.text
    assert set(world.must_up().summary) == {"same"}


def test_B3_a_failing_test_keeps_the_release_from_its_traffic(caddy_world: World) -> None:
    world = caddy_world
    world.must_up()
    offer(world, gate("fine", "pass"), gate("login", FAILING), gate("never", "pass"))
    world.write_config()
    world.pulumi("config", "set", "--secret", "--path", "gates[1].secretEnv.LOGIN", SECRET)
    with load(world) as during:
        failed = world.pulumi("up", "--yes", check=False)
    assert during.tally.total_failed == 0, during.tally.reasons
    assert not failed.ok
    unmoved(world, failed.text)
    assert "Functional gate failed: login ended with exit code 3." in failed.text
    assert "  Last 20 lines of it:" in failed.text
    assert "| login with [secret] failed" in failed.text
    assert "fine: passed" in failed.text
    assert "never: runs" not in failed.text
    assert "takes the traffic" not in failed.text
    # The way back does not depend on the test that fails.
    back = world.pulumi("config", "set", "activeSlot", "blue") and world.pulumi("up", "--yes")
    assert "login: runs" not in back.text
    assert world.serving() == "1"
    for text in (failed.text, back.text, world.pulumi("stack", "export").text):
        assert SECRET not in text


def test_B3_a_test_that_does_not_end_is_ended_at_its_deadline(caddy_world: World) -> None:
    world = caddy_world
    world.must_up()
    offer(world, gate("endless", SLEEPING, timeout=2))
    failed = world.up()
    assert not failed.ok
    unmoved(world, failed.text)
    assert "Functional gate failed: endless was not done within 2 s, and was ended." in failed.text
    assert "| asleep" in failed.text
    # Without the test it is a good release.
    world.config["gates"] = []
    world.must_up()
    assert world.serving() == "2"


@pytest.mark.parametrize(
    ("test", "cause"),
    [
        (
            {"name": "typo", "command": ["pytset"], "image": "switchback/demo:1"},
            "typo ended with exit code 127, which is a program that is not there.",
        ),
        (
            gate("greedy", "x = b'x' * (200 << 20)", resources={"memory": "32m"}),
            "greedy was killed for memory: raise resources.memory of its gate.",
        ),
        (gate("writer", "open('/there', 'w')"), "writer ended with exit code 1."),
        (gate("root", "import os; os.setuid(0)"), "root ended with exit code 1."),
    ],
    ids=lambda given: given["name"] if isinstance(given, dict) else "",
)
def test_B3_what_a_test_may_not_do_is_told(shared: World, test: dict[str, Any], cause: str) -> None:
    offer(shared, test)
    failed = shared.up()
    assert not failed.ok
    assert f"Functional gate failed: {cause}" in failed.text
    unmoved(shared, failed.text)


shared = shared_world(lambda _: None)  # for what never gets any traffic


def test_B3_an_image_that_is_nowhere_is_known_before_anything_is_made(shared: World) -> None:
    offer(shared, {"name": "shop", "command": ["x"], "image": "localhost:1/acme/tests:1"})
    shared.config["slots"]["green"]["revision"] = 2
    before = shared.containers()
    for outcome in (shared.preview(), shared.up()):
        assert not outcome.ok
        assert "gates/0/image: image localhost:1/acme/tests:1 is neither on the Docker host nor in its" in outcome.text
    assert shared.containers() == before
    assert shared.serving() == "1"


def until_asleep(world: World, process: subprocess.Popen[str]) -> Container:
    """Waits for the container of a gate that sleeps, and returns it."""

    def sleeps() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return any(b"asleep" in container.logs() for container in left(world) if container.status == "running")

    until("the test runs", sleeps)
    [container] = left(world)
    return container


def test_B3_a_test_runs_hardened_and_what_a_kill_leaves_is_cleared_away(make_world: MakeWorld) -> None:
    world = make_world()
    world.must_up()
    offer(world, gate("nap", SLEEPING, env={"PLAIN": "x"}))
    process = world.popen("up", "--yes")
    try:
        held = until_asleep(world, process).attrs
        running = procedure_of(process, "functional")
        words = [" ".join(one.cmdline()) for one in family(process) if one.is_running()]
    finally:
        kill_family(process)
    assert running
    assert not [line for line in words if "time.sleep(600)" in line]  # no value of the configuration in a command line
    host = held["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"], host["Privileged"]) == (["ALL"], ["no-new-privileges:true"], False)
    assert (host["ReadonlyRootfs"], host["PidsLimit"], host["Memory"]) == (True, 512, 512 << 20)
    assert (host["PortBindings"] or {}, host["Binds"] or [], host.get("Mounts", [])) == ({}, [], [])
    assert list(held["NetworkSettings"]["Networks"]) == [f"switchback-{world.name}"]
    assert held["Config"]["User"] == world.docker.images.get("switchback/demo:1").attrs["Config"]["User"] != ""
    assert world.serving() == "1"
    assert len(left(world)) == 1

    world.pulumi("cancel", "--yes")
    world.config["gates"] = [gate("nap", "print('awake')")]
    done = world.must_up()
    assert "which an interrupted run had left" in done.text
    assert left(world) == []
    assert world.serving() == "2"


def test_B3_ctrl_c_ends_the_test_with_the_update(make_world: MakeWorld) -> None:
    world = make_world()
    world.must_up()
    offer(world, gate("nap", SLEEPING))
    process = world.popen("up", "--yes")
    try:
        until_asleep(world, process)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode != 0
        until("nothing of the test is left", lambda: left(world) == [])
    finally:
        kill_family(process)
    assert world.serving() == "1"
    world.config["gates"] = []
    world.must_up()
    assert world.serving() == "2"


def test_B3_after_a_rollback_a_failing_test_is_a_warning(shared: World) -> None:
    live = f"{shared.name}-web-blue-1"
    target = Target(service="web", slot="blue", release="1", version="1", container=live, port=8080)
    names = {part: f"{shared.name}-{part}" for part in ("toolbox", "proxy")}
    spec = Functional(
        place=Place(environment=shared.name, proxy_kind="caddy", **names),
        targets=(target,),
        test=FunctionalTest(name="smoke", command=("sh", "-c", "echo unwell; exit 4"), container=live),
        advisory=True,
        way_back=("pulumi up",),
    )
    ran = procedure("functional", encode(spec))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Warning: the functional gate smoke ended with exit code 4. The traffic stays where it is." in ran.stdout
    assert "    | unwell\nStill serving: web 1 (blue).\n" in ran.stdout
    assert left(shared) == []

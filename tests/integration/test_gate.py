"""The gate, by releases that are really broken: each in its own way, each told, and none of them ever served."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from switchback.docker_host import Engine
from switchback.observe import VOLUME
from tests.integration.conftest import MakeWorld
from tests.integration.world import Outcome, World, web, worker

pytestmark = pytest.mark.integration

SECRET = "correct-horse-battery"
LINES = 40
# Says a lot before it serves, a secret among it; the service itself is the sample's.
TALKATIVE = f"""
import os, runpy
for number in range({LINES}):
    print(f"line {{number}}")
print("token is", os.environ["TOKEN"])
runpy.run_module("service", run_name="__main__")
"""
# Needs something outside of the environment, and ends when it is not there.
DEPENDENT = """
import runpy, socket
socket.create_connection(("{helper}", 8080)).close()
runpy.run_module("service", run_name="__main__")
"""


class Stage:
    """An environment with release 1 live in blue, into whose green slot one broken release after another is put."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.config["services"]["web"]["secretEnv"] = {}  # what is encrypted in the file stays there
        world.write_config()
        world.pulumi("config", "set", "--secret", "--path", "services.web.secretEnv.TOKEN", SECRET)
        world.must_up()
        self._base = copy.deepcopy(world.config)
        self._revision = 1
        self._was = self.state()

    def reset(self) -> dict[str, Any]:
        """The configuration that is live, to be changed; the next release gets a name of its own."""
        self.world.config = copy.deepcopy(self._base)
        self._revision += 1
        self.world.config["slots"]["green"] = {"imageTag": "2", "revision": self._revision}
        return self.world.config

    def offer(self, *, env: dict[str, str] | None = None, health: dict[str, Any] | None = None, **more: Any) -> Outcome:
        """`pulumi up` with a new release in green that shall take the traffic.

        Args:
            env: The slot's variables.
            health: Keys of the gate.
            more: Other keys of the service.
        """
        config = self.reset()
        config["activeSlot"] = "green"
        config["slots"]["green"]["env"] = env or {}
        config["services"]["web"] |= more
        config["services"]["web"]["health"] = {"timeout": 60, "interval": 0.05, **(health or {})}
        return self.world.up()

    @property
    def release(self) -> str:
        """The name of the release that was offered last."""
        return f"2-r{self._revision}"

    @property
    def offered(self) -> str:
        """Its container of the service `web`."""
        return f"{self.world.name}-web-green-{self.release}"

    def state(self) -> Any:
        """What must not change: what serves, its container, and what the proxy consults."""
        blue = self.world.container("web", "blue", "1")
        tree = Engine().read_tree(f"{self.world.name}-toolbox", VOLUME)
        pointer = {path: content for path, content in tree.items() if not path.startswith("pointer/next")}
        return self.world.serving(), blue.id, blue.attrs["State"]["StartedAt"], blue.status, pointer

    def unmoved(self) -> bool:
        """Whether all of that is as it was."""
        return bool(self.state() == self._was)

    def quiet(self) -> None:
        """Ends what was offered, so that what crashes again and again does not do so beside the next test."""
        for name in self.world.containers():
            container = self.world.docker.containers.get(name)
            if "-green-" in name and container.status in ("running", "restarting"):
                container.stop(timeout=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One environment for the module: no test here moves its traffic."""
    world = World(tmp_path_factory.mktemp("gate") / "world")
    try:
        yield Stage(world)
    finally:
        world.close()


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    """That environment, which has to be afterwards what it was before."""
    yield shared
    assert shared.unmoved()
    shared.quiet()


def refused(outcome: Outcome, stage: Stage, service: str = "web") -> str:
    """The report of a gate that stayed shut, which says what every such report has to."""
    assert not outcome.ok, outcome.text
    assert f"Gate failed: {service} {stage.release} (green): " in outcome.text
    assert "Still serving: web 1 (blue)." in outcome.text
    assert "What to type next:" in outcome.text
    assert "pulumi config set activeSlot blue && pulumi up" in outcome.text
    assert stage.world.serving() == "1"
    return outcome.text


def log_lines(report: str, container: str) -> list[str]:
    """The lines of the container's log in a report, the first time that Pulumi shows it."""
    shown = report.partition(f"lines of {container}:\n")[2].partition("Still serving")[0]
    return [line.partition("| ")[2] for line in shown.splitlines() if "| " in line]


def test_B2_the_report_names_checks_log_what_serves_and_the_way_back(stage: Stage) -> None:
    report = refused(
        stage.offer(env={"FAIL_HEALTH": "1"}, health={"timeout": 2}, command=["python3", "-u", "-c", TALKATIVE]), stage
    )
    assert "not fit within 2 s" in report
    assert "answered HTTP 503, status error" in report
    assert "check self: error: this release was built to fail its health check" in report
    # The failed release stays for inspection, and its log with it.
    failed = stage.world.docker.containers.get(stage.offered)
    assert failed.status == "running"
    whole = failed.logs().decode().splitlines()
    assert len(whole) > LINES
    shown = log_lines(report, stage.offered)
    assert f"Last 20 lines of {stage.offered}:" in report
    assert len(shown) == 20
    assert shown == [line.replace(SECRET, "[secret]") for line in whole[-20:]]
    assert "token is [secret]" in shown
    assert SECRET not in report


def test_fault_02_a_flapping_release_never_gets_its_passes_in_a_row(stage: Stage) -> None:
    report = refused(stage.offer(env={"FLAP": "1"}, health={"timeout": 2, "passes": 2}), stage)
    assert "not fit within 2 s" in report
    assert "of 2 passes in a row)" in report
    assert "check self: error: flapping: request" in report


def test_fault_01_a_hanging_release_is_refused_at_the_deadline(stage: Stage) -> None:
    report = refused(stage.offer(env={"HANG_HEALTH": "1"}, health={"timeout": 1.5}), stage)
    assert "not fit within 1.5 s" in report
    assert "no complete answer within" in report
    assert stage.world.docker.containers.get(stage.offered).status == "running"  # it stays for inspection


def test_B2_another_version_than_the_tags_is_refused(stage: Stage) -> None:
    report = refused(stage.offer(env={"REPORT_VERSION": "1.4.0"}, health={"timeout": 1}), stage)
    assert "says version 1.4.0, expected 2 (health.expectVersion: false accepts any)" in report


def test_B2_a_secret_in_an_answer_is_not_shown(stage: Stage) -> None:
    report = refused(stage.offer(env={"REPORT_VERSION": f"v-{SECRET}"}, health={"timeout": 1}), stage)
    assert "says version v-[secret], expected 2" in report
    assert SECRET not in report


def test_fault_03_a_container_that_exits_at_start_fails_at_once(stage: Stage) -> None:
    outcome = stage.offer(env={"EXIT_AT_START": "1"})
    report = refused(outcome, stage)
    assert "its container ended with exit code 3" in report
    assert "exiting at start, as EXIT_AT_START asks" in report
    assert "not fit within" not in report  # it was not the deadline of 60 s that ended it


def test_fault_03_a_crash_loop_fails_at_once(stage: Stage) -> None:
    report = refused(stage.offer(env={"CRASH_AFTER": "1"}, health={"passes": 100, "interval": 0.5}), stage)
    assert "its container ended with exit code 3, restarted " in report
    assert "crashing, as CRASH_AFTER asks" in report
    assert "not fit within" not in report


def test_fault_04_killed_for_memory_is_named_as_the_reason(stage: Stage) -> None:
    report = refused(
        stage.offer(
            env={"EAT_MEMORY": "1"}, health={"passes": 100, "interval": 0.5}, resources={"memory": "64m", "cpus": 1}
        ),
        stage,
    )
    assert "was killed for memory (limit 64 MiB)" in report
    assert "raise services.web.resources.memory" in report
    assert "not fit within" not in report


def test_fault_03_a_program_that_cannot_be_started_is_told(stage: Stage) -> None:
    outcome = stage.offer(command=["no-such-program"])
    assert not outcome.ok
    assert "no-such-program" in outcome.text
    assert stage.world.serving() == "1"


def test_E1_a_worker_that_does_not_run_steadily_holds_all_back(stage: Stage) -> None:
    config = stage.reset()
    config["activeSlot"] = "green"
    config["services"]["jobs"] = worker(env={"CRASH_AFTER": "1"}, health={"steady": 5, "timeout": 60})
    report = refused(stage.world.up(), stage, service="jobs")
    assert "its container ended with exit code 3" in report
    assert stage.world.docker.containers.get(stage.offered).status == "running"  # it was fit, and is not served either
    assert stage.world.serving() == "1"


def test_B2_a_standby_that_is_not_fit_is_a_warning_until_it_shall_take_traffic(stage: Stage) -> None:
    config = stage.reset()
    config["slots"]["green"]["env"] = {"FAIL_HEALTH": "1"}
    config["services"]["web"]["health"] = {"timeout": 1}
    done = stage.world.must_up()
    assert "the standby slot would not pass its gate, so a switch to it would be refused" in done.text
    assert f"Gate failed: web {stage.release} (green): not fit within 1 s" in done.text
    assert stage.world.serving() == "1"
    assert set(stage.world.must_up().summary) == {"same"}
    config["activeSlot"] = "green"
    refused(stage.world.up(), stage)


def test_fault_03_when_the_cause_is_mended_the_same_command_succeeds(make_world: MakeWorld) -> None:
    world = make_world()
    world.must_up()
    helper = f"{world.name}-helper"
    service = world.config["services"]["web"]
    service["command"] = ["python3", "-u", "-c", DEPENDENT.format(helper=helper)]
    service["health"] = {"timeout": 60}
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    failed = world.up()
    assert not failed.ok
    assert "its container ended with exit code 1" in failed.text
    assert "pulumi up   # try again, when the cause is mended" in failed.text
    outside = world.docker.containers.run(
        "switchback/demo:1", name=helper, network=f"switchback-{world.name}", detach=True, init=True
    )
    try:
        world.must_up()
        assert world.serving() == "2"
    finally:
        outside.remove(force=True)


def test_B2_the_first_release_of_all_is_refused_mended_and_served(make_world: MakeWorld) -> None:
    world = make_world()
    world.config["slots"]["blue"]["env"] = {"FAIL_HEALTH": "1"}
    world.config["services"]["web"]["health"] = {"timeout": 1}
    failed = world.up()
    assert not failed.ok
    assert "Still serving: nothing yet; no release has taken traffic in this environment." in failed.text
    # As it is told to be mended: with other settings it is another release.
    [told] = {line for line in failed.text.splitlines() if "# the same with changed settings" in line}
    assert "pulumi config set --path slots.blue.revision 2 && pulumi up" in told
    world.config["slots"]["blue"] = {"imageTag": "1", "revision": 2}
    # What a gate lets through: a plain answer, another version where that is asked for, and one pass where one will do.
    world.config["services"]["web"]["health"]["timeout"] = 20
    for name, env, health in (
        ("plain", {"HEALTH_PLAIN": "1"}, {}),
        ("other", {"REPORT_VERSION": "9"}, {"expectVersion": False}),
        ("flapping", {"FLAP": "1"}, {"passes": 1}),
    ):
        world.config["services"][name] = web(env=env, health={"timeout": 20, **health}, routes=[{"path": f"/{name}"}])
    world.config["services"]["jobs"] = worker()
    done = world.must_up()
    assert "other 1-r2 (blue): fit after" in done.text
    assert "jobs 1-r2 (blue): runs steadily" in done.text
    assert [world.serving(path) for path in ("/", "/plain", "/other", "/flapping")] == ["1"] * 4
    # The failed release went when the mended one had taken its place.
    assert f"{world.name}-web-blue-1" not in world.containers()

"""The gate without Docker: the judgement of containers, the texts, and that nothing but passes opens it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback import gate
from switchback.blot import BLOT, blotted, secrets_in
from switchback.docker_host import ContainerState
from switchback.errors import EngineError, ProcedureFailed
from switchback.events import Event, tell
from switchback.observation import LABEL, Seen
from switchback.specs import Gate, Place, Probe, Target
from switchback.watch import Failure, crashed, judged

WEB = Target(service="web", slot="green", release="2", version="2", container="t-web-green-2", port=8080)
JOBS = Target(
    service="jobs", slot="green", release="2", version="2", container="t-jobs-green-2", probe=Probe(steady=0.0)
)
PLACE = Place(environment="t", toolbox="t-toolbox", proxy="t-proxy", proxy_kind="caddy")


def ago(seconds: float) -> str:
    """A time of the Engine's, with the nine digits that it writes."""
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}000Z"


def state(**more: Any) -> ContainerState:
    """A container that runs, but for what is said otherwise; a time may be given as seconds before now."""
    held: dict[str, Any] = {
        "name": WEB.container,
        "id": "0123456789abcdef",
        "image_id": "sha256:0",
        "status": "running",
        "exit_code": 0,
        "oom_killed": False,
        "restart_count": 0,
        "started_at": ago(60),
        "finished_at": "0001-01-01T00:00:00Z",
        "memory_limit": 64 << 20,
        "addresses": {},
        "env": {},
        "labels": {},
    }
    times = {name: ago(value) for name, value in more.items() if name.endswith("_at") and not isinstance(value, str)}
    return ContainerState(**{**held, **more, **times})


# The judgement.


@pytest.mark.parametrize(
    ("changed", "is_crash"),
    [
        ({}, False),
        ({"status": "restarting", "exit_code": 1}, True),
        ({"status": "dead"}, True),
        ({"restart_count": 1, "finished_at": 2}, True),  # it runs again at this moment
        ({"restart_count": 1, "finished_at": 3600}, False),  # history
        ({"restart_count": 0, "finished_at": 2}, False),  # stopped and started by a person
        ({"status": "exited", "finished_at": 2}, False),
        ({"status": "created"}, False),
    ],
)
def test_fault_03_what_is_a_crash(changed: dict[str, Any], is_crash: bool) -> None:
    assert crashed(state(**changed)) is is_crash


@pytest.mark.parametrize(
    ("changed", "ended", "cause"),
    [
        (
            {"status": "restarting", "exit_code": 3, "restart_count": 2},
            None,
            "ended with exit code 3, restarted 2 times",
        ),
        # One that runs again shows exit code 0: that is not what it ended with.
        ({"restart_count": 1, "finished_at": 1}, 3, "ended with exit code 3, restarted once"),
        ({"restart_count": 1, "finished_at": 1}, None, "ended, restarted once"),
        ({"status": "exited", "exit_code": 0}, None, "ended with exit code 0"),
        ({"status": "exited", "exit_code": 2}, None, "ended with exit code 2"),
        ({"status": "created"}, None, "was never started"),
        ({"status": "paused"}, None, "is paused (docker unpause t-web-green-2)"),
    ],
)
def test_fault_03_a_crash_is_told_with_its_exit_code(changed: dict[str, Any], ended: int | None, cause: str) -> None:
    assert judged(WEB, state(**changed), ended) == Failure(target=WEB, cause=f"its container {cause}")


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "restarting", "exit_code": 137, "restart_count": 1},
        {"status": "running", "restart_count": 1, "finished_at": 1},
        {"status": "exited", "exit_code": 137, "restart_count": 1},
        {
            "status": "restarting",
            "exit_code": 1,
            "restart_count": 1,
        },  # its main process outlived the one that was killed
    ],
)
def test_fault_04_killed_for_memory_is_the_reason_that_is_named(changed: dict[str, Any]) -> None:
    failure = judged(WEB, state(oom_killed=True, **changed), 137)
    assert failure is not None
    assert failure.cause == "was killed for memory (limit 64 MiB), restarted once"
    assert failure.reasons == ("raise services.web.resources.memory, or mend what eats it",)


def test_fault_04_a_kill_of_another_cause_is_not_called_memory() -> None:
    failure = judged(WEB, state(status="exited", exit_code=137))
    assert failure is not None
    assert failure.cause == "its container ended with exit code 137"
    assert failure.reasons == ("137 is SIGKILL: by hand, or for memory (limit 64 MiB)",)


def test_B2_a_container_that_is_gone_is_named() -> None:
    assert judged(WEB, None) == Failure(target=WEB, cause="its container t-web-green-2 does not exist")


def test_B2_what_runs_is_not_held_against_it() -> None:
    assert judged(WEB, state()) is None
    assert judged(WEB, state(oom_killed=True)) is None  # a child of it, say; its health tells the rest


# What is blotted out.


def test_B2_secrets_are_blotted_whole_and_in_parts() -> None:
    key = "-----BEGIN KEY-----\nMIIEvgIBADANBg\nx\n-----END KEY-----"
    env = {
        "TOKEN": "correct horse",
        "DATABASE_URL": "postgresql://app:s%2Fecret-word@db:5432/app",
        "KEY": key,
        "PLAIN": "not secret",
    }
    secrets = secrets_in(env, ["TOKEN", "DATABASE_URL", "KEY", "ABSENT", ""])
    for line in (
        "token=correct horse!",
        "cannot connect to postgresql://app:s%2Fecret-word@db:5432/app",
        "password s%2Fecret-word was refused",
        "password s/ecret-word was refused",
        "MIIEvgIBADANBg",
        key,
    ):
        said = blotted(line, secrets)
        assert BLOT in said
        assert not any(part in said for part in ("horse", "ecret-word", "MIIE"))
    assert blotted("PLAIN=not secret", secrets) == "PLAIN=not secret"
    assert blotted("x", secrets) == "x"  # too short a part to be worth a text full of holes


def test_B2_an_empty_secret_blots_nothing() -> None:
    assert secrets_in({"A": "", "B": "  \n "}, ["A", "B"]) == ()


def test_B2_a_secret_within_a_secret_leaves_no_rest() -> None:
    secrets = secrets_in({"A": "abcdef", "B": "abcdef-and-more"}, ["A", "B"])
    assert blotted("it is abcdef-and-more", secrets) == f"it is {BLOT}"


words = st.text("abcdefgh", max_size=12)


@given(st.dictionaries(st.sampled_from("ABC"), words), words, words)
def test_B2_no_secret_survives(env: dict[str, str], before: str, after: str) -> None:
    secrets = secrets_in(env, env)
    for value in env.values():
        if value:
            assert value not in blotted(f"{before}{value}{after}", secrets).replace(BLOT, "\n")


# The procedure, against an Engine that says what it is told to.


class FakeEngine:
    """An Engine with containers, logs, and a probe that prints these events."""

    def __init__(self, *, probe: Callable[[], tuple[int, list[Event | bytes]]] | None = None) -> None:
        self.states: dict[str, ContainerState] = {
            WEB.container: state(),
            JOBS.container: state(name=JOBS.container),
        }
        self.log: list[str] = []
        self.did: list[str] = []
        self.asked: Any = None
        self.pointer: dict[str, bytes] = {}
        self._probe = probe or (lambda: (0, [Event(kind="fit", service="web", text="2", number=0.3)]))

    def inspect(self, container: str) -> ContainerState | None:
        return self.states.get(container)

    def exec(
        self,
        _container: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> tuple[int, bytes]:
        if "switchback.inside.probe" not in argv:
            return 1, b""  # an older toolbox, which can't tell more than its files do
        self.asked = json.loads((env or {}).get("SWITCHBACK_SPEC", "null"))
        code, events = self._probe()
        for event in events:
            assert on_output
            on_output(event if isinstance(event, bytes) else line(event))
        return code, b""

    def logs(self, _container: str, tail: int) -> list[str]:
        return self.log[-tail:]

    def start(self, container: str) -> None:
        self.did.append(f"start {container}")
        self.states[container] = msgspec.structs.replace(self.states[container], status="running")

    def restart(self, container: str, _grace: float) -> None:
        self.did.append(f"restart {container}")
        self.states[container] = state(name=container, started_at=ago(0))

    def limit_pids(self, container: str, limit: int) -> None:
        self.did.append(f"limit {container} {limit}")

    def last_exit_code(self, _container_id: str, _finished_at: str) -> int | None:
        return 3

    def containers(self) -> list[Seen]:
        own = {f"{LABEL}environment": "t"}
        labels = {**own, f"{LABEL}service": "web", f"{LABEL}slot": "blue", f"{LABEL}release": "1"}
        parts = {name: {**own, f"{LABEL}part": name[2:]} for name in ("t-toolbox", "t-proxy")}
        parts["t-web-blue-1"] = labels
        return [Seen(name=name, id=name, status="running", labels=labels, ports=()) for name, labels in parts.items()]

    def read_tree(self, _container: str, _path: str) -> dict[str, bytes]:
        return self.pointer


def line(event: Event) -> bytes:
    """An event as the toolbox prints it."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        tell(event)
    return out.getvalue().encode()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the gate against an Engine."""

    def run(engine: FakeEngine, *targets: Target, **more: Any) -> None:
        monkeypatch.setattr(gate, "Engine", lambda: engine)
        gate.run(Gate(place=PLACE, targets=targets or (WEB,), **more))

    return run


def failing(engine: FakeEngine, run: Callable[..., None], *targets: Target, **more: Any) -> str:
    """The report of a gate that stays shut."""
    with pytest.raises(ProcedureFailed) as failed:
        run(engine, *targets, **more)
    return str(failed.value)


def test_B2_passes_open_the_gate(opened: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    opened(engine, WEB, JOBS, way_back=("pulumi up",))
    assert capsys.readouterr().out == "web 2 (green): fit after 0.3 s, says version 2\njobs 2 (green): runs steadily\n"
    assert [target["service"] for target in engine.asked["targets"]] == ["web"]  # a worker is not asked, it is watched
    assert engine.did == ["limit t-web-green-2 512", "limit t-jobs-green-2 512"]


def test_B2_the_report_has_causes_log_what_serves_and_what_to_type(opened: Callable[..., None]) -> None:
    engine = FakeEngine(
        probe=lambda: (
            1,
            [
                Event(
                    kind="unfit",
                    service="web",
                    text="not fit within 3 s (30 checks, 0 of 3 passes in a row)",
                    reasons=("answered HTTP 503, status error", "check database: error: token correct horse refused"),
                )
            ],
        )
    )
    engine.states[WEB.container] = state(
        env={"TOKEN": "correct horse"}, labels={f"{LABEL}secret-env": "TOKEN,DATABASE_URL"}
    )
    engine.log = [f"line {number}" for number in range(30)] + ["using correct horse", "\x1b[31mred\x1b[0m\ttab"]
    engine.pointer = {"pointer/current": b"-> g", "pointer/g/web": b"t-web-blue-1:8080"}
    assert failing(engine, opened, way_back=("pulumi config set activeSlot blue && pulumi up", "pulumi up")) == (
        "Gate failed: web 2 (green): not fit within 3 s (30 checks, 0 of 3 passes in a row).\n"
        "  answered HTTP 503, status error\n"
        "  check database: error: token [secret] refused\n"
        "  Last 20 lines of t-web-green-2:\n"
        + "".join(f"    | line {number}\n" for number in range(12, 30))
        + "    | using [secret]\n"
        "    | ?[31mred?[0m\ttab\n"
        "Still serving: web 1 (blue).\n"
        "What to type next:\n"
        "  pulumi config set activeSlot blue && pulumi up\n"
        "  pulumi up"
    )


def test_B2_where_nothing_serves_and_nothing_was_logged_that_is_said(opened: Callable[..., None]) -> None:
    engine = FakeEngine(probe=lambda: (1, [Event(kind="unfit", service="web", text="not fit")]))
    assert failing(engine, opened) == (
        "Gate failed: web 2 (green): not fit.\n"
        "  It logged nothing.\n"
        "Still serving: nothing yet; no release has taken traffic in this environment."
    )


def test_B2_a_read_only_root_is_named_as_the_likely_cause(opened: Callable[..., None]) -> None:
    engine = FakeEngine(probe=lambda: (1, [Event(kind="unfit", service="web", text="not fit")]))
    engine.log = ["OSError: [Errno 30] Read-only file system: '/var/cache'"]
    assert "see services.web.readOnly and .mounts." in failing(engine, opened)


@pytest.mark.parametrize(
    ("code", "events", "why"),
    [
        (0, [], "the probe said nothing about web"),
        (0, [Event(kind="pid", number=7), b"half an ev"], "half an ev"),
        (0, [Event(kind="fit", service="another")], "the probe said nothing about web"),
        (1, [b"Traceback (most recent call last):\n", b"MemoryError\n"], "Traceback"),
        (137, [], "the probe ended with exit code 137"),
    ],
)
def test_B2_a_probe_that_says_nothing_does_not_open_the_gate(
    opened: Callable[..., None], code: int, events: list[Event | bytes], why: str
) -> None:
    report = failing(FakeEngine(probe=lambda: (code, events)), opened, way_back=("pulumi up",))
    assert report.startswith("The gate could not be asked from t-toolbox: ")
    assert why in report
    assert "Still serving: " in report
    assert report.endswith("What to type next:\n  pulumi up")


def test_23_an_engine_that_leaves_during_the_probe_does_not_open_the_gate(opened: Callable[..., None]) -> None:
    def gone() -> tuple[int, list[Event | bytes]]:
        raise EngineError("Docker does not answer")

    assert "could not be asked from t-toolbox: Docker does not answer" in failing(FakeEngine(probe=gone), opened)


def test_B2_a_stopped_release_is_started(opened: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    engine.states[WEB.container] = state(status="exited", finished_at=ago(1), restart_count=2)
    # Started by hand it counts from zero, as the real one does.
    engine.start = lambda container: engine.restart(container, 0)  # type: ignore[method-assign]
    opened(engine)
    assert capsys.readouterr().out.startswith("web 2 (green): starting\n")


def test_fault_03_a_crash_ends_the_gate_whatever_is_answered(opened: Callable[..., None]) -> None:
    engine = FakeEngine()
    serving = {"pointer/current": b"-> g", "pointer/g/web": WEB.container.encode() + b":8080"}
    engine.pointer = serving  # what serves is not started afresh
    engine.states[WEB.container] = state(restart_count=2, finished_at=ago(1))
    report = failing(engine, opened)
    assert report.startswith("Gate failed: web 2 (green): its container ended with exit code 3, restarted 2 times.")
    assert "restart t-web-green-2" not in engine.did


def test_fault_03_what_crashed_before_gets_a_fresh_start_and_has_to_run_steadily(opened: Callable[..., None]) -> None:
    engine = FakeEngine()
    engine.states[WEB.container] = state(status="restarting", exit_code=3, restart_count=9, finished_at=ago(20))
    opened(engine, msgspec.structs.replace(WEB, probe=Probe(steady=0.3)))
    assert "restart t-web-green-2" in engine.did


def test_fault_03_what_crashes_again_after_its_fresh_start_fails(opened: Callable[..., None]) -> None:
    engine = FakeEngine()
    engine.states[WEB.container] = state(status="restarting", exit_code=3, restart_count=9, finished_at=ago(20))

    def restart(container: str, _grace: float) -> None:
        engine.states[container] = state(status="restarting", exit_code=4, restart_count=1, finished_at=ago(0))

    engine.restart = restart  # type: ignore[method-assign]
    assert "ended with exit code 4, restarted once" in failing(engine, opened)


def test_fault_03_a_container_that_cannot_be_started_is_told_as_the_gates_failure(opened: Callable[..., None]) -> None:
    engine = FakeEngine()
    engine.states[WEB.container] = state(status="created")

    def refuse(container: str) -> None:
        raise EngineError(f"Docker refused to start {container}: no such program")

    engine.start = refuse  # type: ignore[method-assign]
    report = failing(engine, opened, way_back=("pulumi up",))
    assert report.startswith("Gate failed: web 2 (green): its container was never started.")
    assert "Docker refused to start t-web-green-2: no such program" in report
    assert "Still serving: " in report


def test_B2_a_standby_that_is_not_fit_is_a_warning(
    opened: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = FakeEngine(probe=lambda: (1, [Event(kind="unfit", service="web", text="not fit")]))
    opened(engine, advisory=True, way_back=("pulumi up",))
    said = capsys.readouterr().out
    assert said.startswith("Warning: the standby slot would not pass its gate, so a switch to it would be refused.\n")
    assert "Gate failed: web 2 (green): not fit." in said
    assert "What to type next" not in said

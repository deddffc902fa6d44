"""Functional gates without Docker: what a test is told, what of its output is shown, the texts, what is declared."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.functional_gate import gate_images
from components.settings import SettingsError, parse_settings
from components.targets import declared
from switchback import functional
from switchback.blot import BLOT
from switchback.docker_host import ContainerState
from switchback.errors import EngineError, ProcedureFailed
from switchback.once import Ended, Once
from switchback.relay import Relay
from switchback.specs import Functional, FunctionalTest, Place, Route, Target
from tests.unit.recording import BASE, nothing_seen
from tests.unit.test_components import graph, in_order, running
from tests.unit.test_gate import state

PLACE = Place(environment="t", toolbox="t-toolbox", proxy="t-proxy", proxy_kind="caddy")


def target(service: str, *paths: str, port: int | None = 8080) -> Target:
    """A release with these routes."""
    routes = tuple(Route(host="", path=path) for path in paths)
    container = f"t-{service}-green-2"
    return Target(
        service=service, slot="green", release="2-r3", version="2", container=container, port=port, routes=routes
    )


WEB, API, JOBS = target("web-ui", "/"), target("api", "/api"), target("jobs", port=None)
SMOKE = FunctionalTest(name="smoke", command=("pytest", "-q"), image="tests:1", env={"LOCALE": "de"})


def spec(**more: Any) -> Functional:
    """A test of three releases."""
    return Functional(**{"place": PLACE, "targets": (API, JOBS, WEB), "test": SMOKE, **more})


# What a test is told.


def test_B3_a_test_is_told_where_everything_is() -> None:
    told = functional.variables(spec(test=FunctionalTest(name="x", command=("x",), env={"SWITCHBACK_URL": "mine"})))
    assert told == {
        "SWITCHBACK_ENVIRONMENT": "t",
        "SWITCHBACK_SLOT": "green",
        "SWITCHBACK_URL": "http://t-web-ui-green-2:8080",  # the way in with the shortest path
        "SWITCHBACK_URL_API": "http://t-api-green-2:8080",
        "SWITCHBACK_URL_WEB_UI": "http://t-web-ui-green-2:8080",
        "SWITCHBACK_RELEASE_API": "2-r3",
        "SWITCHBACK_RELEASE_JOBS": "2-r3",
        "SWITCHBACK_RELEASE_WEB_UI": "2-r3",
    }


def test_B3_without_a_route_there_is_no_one_address() -> None:
    told = functional.variables(spec(targets=(target("a"), JOBS)))
    assert "SWITCHBACK_URL" not in told
    assert (told["SWITCHBACK_URL_A"], told["SWITCHBACK_SLOT"]) == ("http://t-a-green-2:8080", "green")


# What is shown.


def relayed(capsys: pytest.CaptureFixture[str], *pieces: bytes, secrets: Sequence[str] = ()) -> tuple[list[str], Relay]:
    """The lines that are printed."""
    relay = Relay(secrets)
    for piece in pieces:
        relay.feed(piece)
    relay.close()
    return capsys.readouterr().out.splitlines(), relay


def test_B3_output_is_shown_line_by_line_without_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    lines, relay = relayed(
        capsys, b"fir", b"st\nsec", b"ond \x1b[31mred\x1b[0m\x1b[2K\n", b" 10%\r 99%\r\n", b"\x07bell\xff\n\nrest"
    )
    assert lines == ["| first", "| second red", "|  99%", "| ?bell\ufffd", "| ", "| rest"]
    assert list(relay.last) == ["first", "second red", " 99%", "?bell\ufffd", "", "rest"]


def test_B3_a_line_is_shown_when_it_is_whole_and_not_before(capsys: pytest.CaptureFixture[str]) -> None:
    relay = Relay(["correct-horse"])
    relay.feed(b"token correct-")
    assert capsys.readouterr().out == ""
    relay.feed(b"horse.\n")
    assert capsys.readouterr().out == f"| token {BLOT}.\n"


@given(st.lists(st.binary(max_size=9)), st.binary(max_size=9), st.lists(st.integers(0, 9), max_size=5))
def test_G2_no_secret_survives_however_it_is_cut(before: list[bytes], after: bytes, cuts: list[int]) -> None:
    whole = b"".join(before) + b"correct-horse" + after
    pieces = [whole[i:j] for i, j in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True)]
    relay = Relay(["correct-horse"])
    for piece in pieces:
        relay.feed(piece)
    relay.close()
    assert "correct-horse" not in "\n".join(relay.last)


def test_B3_endless_output_is_bounded_and_its_end_kept(capsys: pytest.CaptureFixture[str]) -> None:
    lines, relay = relayed(capsys, *(b"x" * 9_000 + b" %d\n" % number for number in range(400)), b"the end")
    assert sum(map(len, lines)) < 300_000
    assert lines[-1] == "| (it says more than is shown here)"
    assert relay.last[-1] == "the end"
    lines, relay = relayed(capsys, *(b"x" * 100_000 for _ in range(30)))
    assert lines == ["| [a line of more than 1 MiB]" + "x" * (len(lines[0]) - 29)]


# The procedure, against an Engine that does what it is told to.


class FakeEngine:
    """An Engine on which a test ends in this way."""

    def __init__(self, ended: Ended | BaseException, output: bytes = b"") -> None:
        self.ended, self.output = ended, output
        self.once: Once | None = None
        self.pulled: list[str] = []
        self.left: list[str] = []

    def inspect(self, container: str) -> ContainerState | None:
        labels = {"switchback.secret-env": "TOKEN"}
        return state(
            name=container, env={"TOKEN": "correct-horse"}, labels=labels, addresses={"switchback-t": "1.2.3.4"}
        )

    def image_id(self, reference: str) -> str:
        return "" if reference == "tests:2" else "sha256:0"

    def pull(self, reference: str, _within: float) -> None:
        self.pulled.append(reference)

    def remove_labelled(self, labels: dict[str, str]) -> list[str]:
        assert labels == {"switchback.environment": "t", "switchback.part": "functional-gate"}
        return self.left

    def like(self, container: str, **own: Any) -> Once:
        return Once(image=f"of {container}", **own)

    def run_once(self, once: Once, _within: float, on_output: Callable[[bytes], None]) -> Ended:
        self.once = once
        on_output(self.output)
        if isinstance(self.ended, BaseException):
            raise self.ended
        return self.ended


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a functional gate against an Engine."""

    def run(engine: FakeEngine, **more: Any) -> None:
        monkeypatch.setattr(functional, "Runner", lambda: engine)
        monkeypatch.setattr(functional, "still_serving", lambda *_: "Still serving: web 1 (blue).")
        functional.run(spec(**{"way_back": ("pulumi up",), **more}))

    return run


def test_B3_a_test_that_passes_opens_the_gate(opened: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(Ended(exit_code=0), b"2 passed\n")
    before = signal.getsignal(signal.SIGTERM)
    opened(engine)
    assert capsys.readouterr().out == "smoke: runs against green\n| 2 passed\nsmoke: passed\n"
    assert signal.getsignal(signal.SIGTERM) == before
    assert engine.once
    assert (engine.once.network, engine.once.image) == ("switchback-t", "tests:1")
    given = engine.once.body()
    assert (given["Entrypoint"], given["Cmd"]) == (["pytest"], ["-q"])
    assert "LOCALE=de" in given["Env"]
    host = given["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges:true"])
    assert (host["ReadonlyRootfs"], host["Memory"], host["PidsLimit"]) == (True, 512 << 20, 512)
    assert "Binds" not in host
    assert "PortBindings" not in host


@pytest.mark.parametrize(
    ("ended", "cause"),
    [
        (Ended(exit_code=3), "ended with exit code 3"),
        (Ended(exit_code=None), "was not done within 300 s, and was ended"),
        (Ended(exit_code=137, oom_killed=True), "was killed for memory: raise resources.memory of its gate"),
        (KeyboardInterrupt(), "was interrupted, and its container removed"),
        (EngineError("Docker refused: no such program"), "could not be run: Docker refused: no such program"),
    ],
)
def test_B3_the_report_has_test_cause_output_what_serves_and_what_to_type(
    opened: Callable[..., None], ended: Ended | BaseException, cause: str
) -> None:
    output = b"".join(b"line %d\n" % number for number in range(30)) + b"token correct-horse\n"
    with pytest.raises(ProcedureFailed) as failed:
        opened(FakeEngine(ended, output))
    assert str(failed.value) == (
        f"Functional gate failed: smoke {cause}.\n"
        "  Last 20 lines of it:\n"
        + "".join(f"    | line {number}\n" for number in range(11, 30))
        + "    | token [secret]\n"
        "Still serving: web 1 (blue).\n"
        "What to type next:\n"
        "  pulumi up"
    )


def test_B3_a_test_that_says_nothing_is_told_so(opened: Callable[..., None]) -> None:
    with pytest.raises(ProcedureFailed, match=r"exit code 1\.\n  It said nothing\.\nStill serving"):
        opened(FakeEngine(Ended(exit_code=1)))


@pytest.mark.parametrize("ended", [Ended(exit_code=1), EngineError("gone")])
def test_B3_after_a_rollback_it_warns_and_fails_nothing(
    opened: Callable[..., None], capsys: pytest.CaptureFixture[str], ended: Any
) -> None:
    opened(FakeEngine(ended), advisory=True)
    said = capsys.readouterr().out
    assert "\nWarning: the functional gate smoke " in said
    assert "The traffic stays where it is.\n  It said nothing.\nStill serving: web 1 (blue).\n" in said
    assert "What to type next" not in said


def test_B3_a_users_line_is_not_taken_for_a_warning_of_ours(
    opened: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    opened(FakeEngine(Ended(exit_code=0), b"Warning: deprecated\n"))
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning:")]


def test_B3_what_is_not_due_runs_nothing(opened: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(Ended(exit_code=1))
    opened(engine, idle=True)
    assert engine.once is None
    assert capsys.readouterr().out == ""


def test_B3_a_test_of_the_release_itself_runs_in_a_container_like_it(opened: Callable[..., None]) -> None:
    engine = FakeEngine(Ended(exit_code=137, oom_killed=True))
    test = FunctionalTest(name="own", command=("check",), container=WEB.container)
    with pytest.raises(ProcedureFailed, match=r"raise resources\.memory of services\.web-ui"):
        opened(engine, test=test)
    assert engine.once
    assert engine.once.image == "of t-web-ui-green-2"


def test_B3_an_image_that_is_not_there_is_pulled_and_a_leftover_named(
    opened: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = FakeEngine(Ended(exit_code=0))
    engine.left = ["t-gate-smoke-0a1b2c"]
    opened(engine, test=FunctionalTest(name="smoke", command=("x",), image="tests:2"))
    assert engine.pulled == ["tests:2"]
    assert "removed t-gate-smoke-0a1b2c, which an interrupted run had left" in capsys.readouterr().out


# What is declared.

GATES = [
    {"name": "smoke", "command": ["pytest"], "service": "web"},
    {"name": "shop", "command": ["cypress", "run"], "image": "acme/tests:1", "timeout": "2m"},
]


def test_B3_gates_run_in_order_between_the_health_gate_and_the_traffic() -> None:
    made = graph(gates=GATES)
    assert "gate-check" in made.waits_for("functional-smoke")
    assert "functional-smoke" in made.waits_for("functional-shop")
    assert "functional-shop" in made.waits_for("proxy-configuration")
    assert "functional-shop" in made.waits_for("switch-turn")
    assert "functional-shop" in made.waits_for("web-green-2")
    assert not {"functional-smoke", "functional-shop"} & made.waits_for("web-blue-1")
    first = json.loads(made.named("functional-smoke").inputs["stdin"])
    assert (first["test"]["container"], first["test"]["image"], first["idle"]) == ("test-web-blue-1", "", False)
    second = json.loads(made.named("functional-shop").inputs["stdin"])
    assert (second["test"]["image"], second["test"]["timeout"]) == ("acme/tests:1", 120.0)
    assert made.named("functional-shop").inputs["create"] == "exec python -m switchback functional"


def test_B3_what_is_in_order_is_not_tested_again() -> None:
    made = graph(in_order(), gates=GATES)
    for gate in GATES:
        held = made.named(f"functional-{gate['name']}")
        assert held.ignored == ("*",)
        assert json.loads(held.inputs["stdin"])["idle"] is True  # also where it is new in the configuration


def test_B3_an_image_of_a_test_is_looked_for_before_a_new_release_is_made() -> None:
    settings = parse_settings({**BASE, "gates": GATES}, secret_keys=set(), environment="test")
    desired = declared(settings, "test").desired
    assert gate_images(settings, desired, nothing_seen()) == {"gates/1/image": "acme/tests:1"}
    assert gate_images(settings, desired, running()) == {}


@pytest.mark.parametrize(
    ("gates", "complaint"),
    [
        ([{"name": "a", "command": ["x"]}], "gates/0: set either image, or the service whose release brings"),
        ([{**GATES[0], "image": "a:1"}], "gates/0: set either image, or the service"),
        ([{**GATES[0], "service": "shop"}], "gates/0/service: there is no such service (known here: jobs, web)"),
        ([GATES[0], GATES[0]], "gates/1/name: another gate has this name already"),
        ([{**GATES[0], "name": "A b"}], "gates/0/name: 'A b' is not a name"),
        ([{**GATES[0], "command": []}], "gates/0/command: a list does not fit"),
        ([{**GATES[0], "command": "pytest -q"}], "gates/0/command: 'pytest -q' does not fit"),
        ([{**GATES[0], "timeout": "0"}], "gates/0/timeout: 0.0 does not fit"),
        ([{**GATES[0], "comand": ["x"]}], "gates/0/comand: unknown key (did you mean command?)"),
        ([{**GATES[0], "secretEnv": {"A": "s3cret"}}], "gates/0/secretEnv: is stored in plain text; set each with"),
        ({"smoke": GATES[0]}, "gates: a map does not fit"),
    ],
)
def test_B3_wrong_gates_are_named_by_their_path(gates: Any, complaint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings({**BASE, "gates": gates}, secret_keys=set(), environment="test")
    assert any(error.startswith(complaint) for error in refused.value.errors), refused.value.errors
    assert "s3cret" not in str(refused.value)


def test_G2_a_secret_of_a_gate_is_needed_in_one_place_alone() -> None:
    gate = {**GATES[0], "secretEnv": {"A": "s3cret"}, "env": {"A": "b"}}
    with pytest.raises(SettingsError) as refused:
        parse_settings({**BASE, "gates": [gate]}, secret_keys={"gates"}, environment="test")
    assert refused.value.errors == ["gates/0/secretEnv/A: is in env as well"]

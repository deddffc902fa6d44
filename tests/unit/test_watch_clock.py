"""A clock that is set while a release is watched: the watch ends on time, and never calls it a pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from switchback.inside import analysis, clock, ledger
from switchback.inside.analysis import Watch
from switchback.inside.clock import Clock
from switchback.inside.turn import Turned
from switchback.judgement import Limits
from switchback.metering import Aggregate, Cells
from switchback.record import Lease, Record, Trial
from switchback.specs import Analyse, Claim, Place, Route, Target

BAKE = 2.0  # seconds
OLD, NEW = "t-web-blue-1", "t-web-green-2"


class Machine:
    """A host whose clock can be set, with a proxy that writes a line for every request to the new release."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.counted = Aggregate()
        self.status = 200
        self._ending = threading.Event()
        self._users = threading.Thread(target=self._ask)

    def time(self) -> float:
        return time.time() + self.ahead

    def since(self, since: float, until: float) -> Cells:
        return self.counted.since(since, until)

    def _ask(self) -> None:
        while not self._ending.wait(0.005):
            self.counted.add(f"{self.time():.3f} {NEW} {self.status} 0.001".encode())

    def __enter__(self) -> Machine:
        for number in range(2_000):  # what the old release did in the ten seconds before
            self.counted.add(f"{self.time() - 10 + number / 200:.3f} {OLD} 200 0.001".encode())
        self._users.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._users.join()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    with Machine() as made:
        told = SimpleNamespace(time=made.time, monotonic=time.monotonic, sleep=time.sleep)
        for module in (analysis, clock):
            monkeypatch.setattr(module, "time", told)
        monkeypatch.setattr(ledger, "HOME", tmp_path)
        monkeypatch.setattr(analysis, "ask", made.since)
        monkeypatch.setattr(analysis, "pointed", lambda: {f"web@{NEW}": f"{NEW}:80"})
        monkeypatch.setattr(analysis, "rehearse", lambda *_, **__: ())
        monkeypatch.setattr(analysis, "turn", lambda *_: Turned(at=made.time()))
        yield made


def watch(machine: Machine, *, revert_inconclusive: bool = False) -> Watch:
    """A trial that has just begun."""
    target = Target(
        service="web",
        slot="green",
        release="2",
        version="2",
        container=NEW,
        port=80,
        routes=(Route(host="", path="/"),),
    )
    spec = Analyse(
        place=Place(environment="t", toolbox="t-toolbox", proxy="t-proxy", proxy_kind="nginx"),
        targets=(target,),
        pointer={f"web@{NEW}": f"{NEW}:80"},
        bake=BAKE,
        baseline=10.0,
        limits=Limits(min_requests=50),
        revert_inconclusive=revert_inconclusive,
    )
    now = machine.time()
    lease = Lease(who="ann", host="here", pid=1, started=1.0, since=now, until=now + 1e6)
    trial = Trial(at=now, containers=(NEW,), before={f"web@{OLD}": f"{OLD}:80"})
    ledger.change(lambda _: Record(lease=lease, trial=trial))
    return Watch(spec, Claim(lease=lease), trial)


def test_B4_a_clock_that_nobody_sets_ends_in_a_pass(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(machine).run() == 0
    told = capsys.readouterr().out
    assert "inconclusive" not in told
    assert ledger.read().accepted == (NEW,)


@pytest.mark.parametrize("seconds", [3600.0, 5.0, -5.0, -3600.0])
def test_B4_a_clock_that_is_set_in_the_bake_makes_it_inconclusive_and_no_longer(
    machine: Machine, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = watch(machine)
    began = time.monotonic()
    setting = threading.Timer(BAKE / 2, lambda: setattr(machine, "ahead", seconds))
    setting.start()
    assert begun.run() == 0
    setting.join()
    assert time.monotonic() - began >= BAKE  # a clock set forward is no reason to look for a shorter time
    told = capsys.readouterr().out
    way = "forward" if seconds > 0 else "back"
    assert f"the clock of the Docker host was set {way} meanwhile" in told
    assert '"inconclusive"' in told


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_B4_a_release_that_fails_is_taken_back_though_the_clock_was_set(machine: Machine, seconds: float) -> None:
    begun = watch(machine)
    machine.ahead, machine.status = seconds, 500
    assert begun.run() == 1
    assert NEW in ledger.read().reverted


def test_B4_a_trial_that_seems_to_begin_in_the_future_is_watched_from_now_on(machine: Machine) -> None:
    machine.ahead = 3600.0
    begun = watch(machine)
    machine.ahead = 0.0
    begun.clock = Clock()
    assert begun.run() == 0  # and not in an hour


def test_B4_a_clock_that_is_corrected_as_ntp_does_was_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = {"is": 1_000.0}
    told = SimpleNamespace(time=lambda: wall["is"], monotonic=lambda: 50.0)
    monkeypatch.setattr(clock, "time", told)
    one = Clock()
    wall["is"] += 0.1 * 500e-6
    assert one.step() == 0.0
    wall["is"] -= 30.0
    assert round(one.step(), 3) == -30.0
    assert one.step() == 0.0

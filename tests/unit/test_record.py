"""The record: what has proved itself, what is on trial, and who holds the lease."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.inside import ledger
from switchback.lease import in_the_way, is_dead, is_own, own_lease
from switchback.pointer import whole
from switchback.record import Lease, Record, Reverted, Trial, read_record

NAMES = st.lists(
    st.sampled_from([f"t-web-{slot}-{n}" for slot in ("blue", "green") for n in range(4)]), max_size=4, unique=True
)


def lease(pid: int = 1, *, until: float | None = None, host: str = "elsewhere boot") -> Lease:
    now = time.time()
    return Lease(who=f"ann, {pid}", host=host, pid=pid, started=1.0, since=now, until=until or now + 60)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ledger, "HOME", tmp_path)
    return tmp_path


@given(st.lists(st.tuples(st.booleans(), NAMES), max_size=12))
def test_B4_a_release_is_never_both_accepted_and_taken_back(steps: list[tuple[bool, list[str]]]) -> None:
    record = Record(trial=Trial(at=1.0, containers=(), before={}))
    for accepted, names in steps:
        record = record.accept(tuple(names)) if accepted else record.revert(tuple(names), 2.0, ("why",))
        assert record.trial is None
        assert not set(record.accepted) & record.reverted.keys()
        assert len(set(record.accepted)) == len(record.accepted)
        assert set(names) <= (set(record.accepted) if accepted else record.reverted.keys())


def test_B4_the_record_does_not_grow_for_ever() -> None:
    record = Record()
    for number in range(300):
        record = record.accept((f"a{number}",)).revert((f"r{number}",), float(number), ("why",))
    assert record.accepted[-1] == "a299"
    assert "r299" in record.reverted
    assert "r0" not in record.reverted
    assert len(record.accepted) == len(record.reverted) == 100


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"accepted": 3}', b"\xff"])
def test_B4_a_damaged_record_means_that_everything_is_to_be_proved(text: bytes) -> None:
    assert read_record(text) == Record()


def test_B4_a_record_is_read_as_it_was_written(home: Path) -> None:
    record = Record(
        accepted=("a",),
        reverted={"b": Reverted(at=1.5, reasons=("slow",))},
        trial=Trial(at=2.5, containers=("c",), before={"web": "a:80"}),
        lease=lease(),
    )
    assert ledger.change(lambda _: record) == record
    assert ledger.read() == record
    assert [path.name for path in home.iterdir() if not path.name.startswith(".")] == ["record.json"]


def test_fault_18_a_lease_is_one_updates_at_a_time(home: Path) -> None:
    mine, other = lease(1), lease(2)
    ledger.take(mine, over=None)
    with pytest.raises(ledger.LeaseHeld, match="another update is changing this environment: ann, 1, since"):
        ledger.take(other, over=None)
    longer = msgspec.structs.replace(mine, since=mine.since + 5, until=mine.until + 100)
    assert ledger.take(longer, over=None).lease == msgspec.structs.replace(longer, since=mine.since)
    ledger.let_go(other)
    assert ledger.read().lease is not None
    ledger.let_go(mine)
    assert ledger.read() == Record()
    assert home.exists()


def test_fault_18_a_lease_is_taken_over_from_the_dead_and_when_it_is_over(home: Path) -> None:
    ledger.take(lease(1), over=None)
    assert ledger.take(lease(2), over=lease(1)).lease == msgspec.structs.replace(ledger.read().lease, pid=2)  # type: ignore[type-var]
    with pytest.raises(ledger.LeaseHeld):
        ledger.take(lease(3), over=lease(1))  # it is another's by now
    ledger.change(lambda record: msgspec.structs.replace(record, lease=lease(2, until=time.time() - 1)))
    taken = ledger.take(lease(3), over=None).lease
    assert taken is not None
    assert taken.pid == 3
    assert home.exists()


def test_fault_18_writers_at_the_same_time_lose_nothing(home: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from switchback.inside import ledger;"
        "ledger.HOME = Path(sys.argv[1]);"
        "[ledger.change(lambda r, n=n: r.accept((sys.argv[2] + str(n),))) for n in range(20)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(home), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert sorted(ledger.read().accepted) == sorted(f"{name}{n}" for name in "abc" for n in range(20))


def test_fault_17_whether_a_holder_lives_is_known_on_its_own_machine_only() -> None:
    own = own_lease(60)
    assert is_own(own)
    assert not is_dead(own)
    assert in_the_way(own) == ""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = msgspec.structs.replace(own, pid=ended.pid, started=own.started)
    assert is_dead(dead)
    assert in_the_way(dead) == ""
    # The same number, another process: it began at another time.
    assert is_dead(msgspec.structs.replace(own, started=own.started - 100))
    alive = psutil.Process(os.getppid())
    other = msgspec.structs.replace(own, pid=alive.pid, started=alive.create_time(), who="bob@here, process 7")
    assert "another update is changing this environment: bob@here, process 7, since" in in_the_way(other)
    elsewhere = msgspec.structs.replace(dead, host="another machine")
    assert not is_dead(elsewhere)
    assert in_the_way(elsewhere)
    assert in_the_way(msgspec.structs.replace(elsewhere, until=time.time() - 1)) == ""
    assert in_the_way(None) == ""


def test_E4_a_pointer_without_what_is_only_a_share() -> None:
    caddy = {"web": "a:80", "web.next": "b:80", "web.share/00": "", "web.share/ff": "", "jobs": "j"}
    assert whole(caddy) == {"web": "a:80", "jobs": "j"}
    nginx = {"web@e-web-blue-1.4.0": "x", "web.next@e-web-green-1.5.0": "y", "web.share/00": ""}
    assert whole(nginx) == {"web@e-web-blue-1.4.0": "x"}

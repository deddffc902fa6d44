"""Pulumi's lock: who holds it, and whether they live, from the files that a file backend keeps."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from switchback.locks import lock_notices

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file backend of the test's own, as Pulumi lays one out; returns where the locks of the stack are."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}?no_tmp_dir=true")
    folder = tmp_path / ".pulumi/locks/organization/switchback/staging"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives, and is nobody's parent here."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def locked(folder: Path, pid: int, host: str = HERE, at: datetime | None = None) -> None:
    """Writes a lock as Pulumi writes it."""
    when = (at or datetime.now(UTC)).isoformat()
    text = json.dumps({"pid": pid, "username": "ann", "hostname": host, "timestamp": when})
    (folder / f"{pid}.json").write_text(text)
    (folder / f"{pid}.json.attrs").write_text("{}")


def test_fault_17_a_lock_whose_holder_was_killed_is_told_as_such(backend: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    locked(backend, gone.pid, at=datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC))
    (said,) = lock_notices("switchback", "staging")
    assert f"locked by ann@{HERE}, process {gone.pid}, since 2026-03-01 02:03:04 UTC" in said
    assert "not running any more" in said
    assert "`pulumi cancel`, then `pulumi up`" in said


def test_fault_17_a_lock_whose_holder_is_at_work_is_to_be_waited_for(
    backend: Path, other: subprocess.Popen[bytes]
) -> None:
    locked(backend, other.pid)
    (said,) = lock_notices("switchback", "staging")
    assert "is at work: wait for it" in said
    assert "not stop it" in said


def test_fault_17_a_process_number_that_is_used_again_is_not_the_holder(
    backend: Path, other: subprocess.Popen[bytes]
) -> None:
    locked(backend, other.pid, at=datetime.now(UTC) - timedelta(hours=1))
    assert "not running any more" in lock_notices("switchback", "staging")[0]


def test_fault_17_of_another_machine_only_that_machine_can_tell(backend: Path) -> None:
    locked(backend, os.getpid(), host="another.example.com")
    (said,) = lock_notices("switchback", "staging")
    assert f"only be seen on another.example.com (`ps -p {os.getpid()}`)" in said


def test_the_own_lock_and_those_of_other_stacks_are_nothing_to_speak_of(backend: Path) -> None:
    for pid in (os.getpid(), os.getppid()):
        locked(backend, pid)
    locked(backend.parent, 1)
    assert lock_notices("switchback", "staging") == []
    assert lock_notices("switchback", "production") == []


def test_fault_17_a_damaged_lock_counts_as_pulumi_counts_it(backend: Path) -> None:
    (backend / "half.json").write_text('{"pid": 1')
    assert len(lock_notices("switchback", "staging")) == 1


def test_the_backend_of_a_login_is_found_and_others_are_left_to_pulumi(
    backend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked(backend, 1, host="another.example.com")
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    monkeypatch.setenv("PULUMI_CREDENTIALS_PATH", str(tmp_path))
    assert lock_notices("switchback", "staging") == []
    credentials = tmp_path / "credentials.json"
    credentials.write_text(json.dumps({"current": f"file://{tmp_path}"}))
    assert len(lock_notices("switchback", "staging")) == 1
    credentials.write_text("[]")
    assert lock_notices("switchback", "staging") == []
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    assert lock_notices("switchback", "staging") == []

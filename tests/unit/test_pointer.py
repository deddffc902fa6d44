"""The pointer: generations that are complete or not there, and links that are moved in one rename."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.observation import read_links
from switchback.pointer import linked, new_generation, prune, relink, write_generation


def tree(folder: Path) -> dict[str, bytes]:
    """What the Engine's archive of the volume would hold."""
    return {
        str(path.relative_to(folder)): b"-> " + str(path.readlink()).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_C1_a_generation_holds_what_was_written(tmp_path: Path) -> None:
    assert write_generation(tmp_path / "pointer", "g1", {"web": "web-blue-1:8080", "api": ""}) == "g1"
    written = {path.name: path.read_text() for path in (tmp_path / "pointer" / "g1").iterdir()}
    assert written == {"web": "web-blue-1:8080", "api": ""}
    assert [path.name for path in (tmp_path / "pointer").iterdir()] == ["g1"]


def test_C1_a_generation_of_the_same_name_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_generation(tmp_path, "g1", {"old": "1"})
    write_generation(tmp_path, "g1", {"new": "2"})
    assert [path.name for path in (tmp_path / "g1").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["g1"]


def test_C1_a_generation_that_fails_halfway_never_has_its_name(tmp_path: Path) -> None:
    write_generation(tmp_path, "g1", {"web": "1"})
    with pytest.raises(OSError, match="none"):
        write_generation(tmp_path, "g1", {"web": "2", "none/such": "3"})
    assert (tmp_path / "g1" / "web").read_text() == "1"
    with pytest.raises(OSError, match="none"):
        write_generation(tmp_path, "g2", {"web": "2", "none/such": "3"})
    assert not (tmp_path / "g2").exists()


def test_C1_what_is_written_is_flushed_before_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_generation(tmp_path, "g1", {"web": "12345", "api": "123"})
    assert flushed == [5, 3]


def test_C1_a_link_names_its_generation(tmp_path: Path) -> None:
    assert linked(tmp_path, "current") == ""
    relink(tmp_path, "current", "g1")
    assert linked(tmp_path, "current") == "g1"
    relink(tmp_path, "current", "g2")
    assert linked(tmp_path, "current") == "g2"
    assert [path.name for path in tmp_path.iterdir()] == ["current"]
    (tmp_path / "plain").write_text("no link")
    assert linked(tmp_path, "plain") == ""


def test_C1_a_reader_sees_the_old_or_the_new_and_never_neither(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_generation(tmp_path, name, {"web": name, "api": name})
    relink(tmp_path, "current", "a")
    seen: set[tuple[str, str]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            folder = os.open(tmp_path / "current", os.O_RDONLY)  # as one request consults one generation
            try:
                files = [os.open(name, os.O_RDONLY, dir_fd=folder) for name in ("web", "api")]
                seen.add((os.read(files[0], 10).decode(), os.read(files[1], 10).decode()))
                for file in files:
                    os.close(file)
            finally:
                os.close(folder)

    failed: list[BaseException] = []

    def reading() -> None:
        try:
            read()
        except BaseException as problem:
            failed.append(problem)

    reader = threading.Thread(target=reading)
    reader.start()
    for turn in range(400):
        relink(tmp_path, "current", "ab"[turn % 2])
    stop.set()
    reader.join()
    assert not failed
    assert seen <= {("a", "a"), ("b", "b")}


def test_C1_names_of_generations_are_used_once_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [new_generation() for _ in range(50)]
    assert len(set(names)) == 50
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.5)
    assert max(names) < new_generation()


def test_C1_old_generations_go_but_not_what_is_pointed_to(tmp_path: Path) -> None:
    for number in range(12):
        write_generation(tmp_path, f"g{number}", {"web": str(number)})
        os.utime(tmp_path / f"g{number}", (1000 + number, 1000 + number))
    relink(tmp_path, "current", "g0")
    relink(tmp_path, "verified", "g1")
    relink(tmp_path, "next", "g2")
    prune(tmp_path)
    left = {path.name for path in tmp_path.iterdir() if not path.is_symlink()}
    assert left == {"g0", "g1", "g2", "g7", "g8", "g9", "g10", "g11"}
    assert (tmp_path / "current" / "web").read_text() == "0"


def test_C1_what_a_crash_left_behind_goes_in_its_turn(tmp_path: Path) -> None:
    (tmp_path / ".g0.beef").mkdir()
    os.utime(tmp_path / ".g0.beef", (1, 1))
    for number in range(6):
        write_generation(tmp_path, f"g{number}", {})
    prune(tmp_path)
    assert not (tmp_path / ".g0.beef").exists()


def test_C1_few_generations_all_stay(tmp_path: Path) -> None:
    for number in range(5):
        write_generation(tmp_path, f"g{number}", {})
    prune(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


files = st.dictionaries(
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}(@[a-z0-9.-]{1,8})?", fullmatch=True), st.text(max_size=20), max_size=4
)


@given(files, files)
def test_C1_what_is_written_is_what_the_observation_reads(
    tmp_path_factory: pytest.TempPathFactory, current: dict[str, str], verified: dict[str, str]
) -> None:
    volume = tmp_path_factory.mktemp("volume")
    write_generation(volume / "pointer", "1", current)
    write_generation(volume / "pointer", "10", verified)
    relink(volume / "pointer", "current", "1")
    relink(volume / "pointer", "verified", "10")
    links = read_links(tree(volume))
    assert links.current == current
    assert links.verified == verified
    assert links.points_to(current) is (current == verified)

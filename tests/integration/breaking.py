"""Hands that break things for real: kill, freeze, empty; and eyes that see what is left."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.load import Load
from switchback.proxies import DRIVERS
from tests.integration.world import ROOT, World, python

_PATIENCE = 60.0  # seconds until a test gives up waiting; no test is about how long


def until(what: str, holds: Callable[[], bool], *, every: float = 0.05) -> None:
    """Waits until something holds.

    Raises:
        AssertionError: it never did.
    """
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(every)


def until_serves(world: World, version: str) -> None:
    """Waits until the proxy answers again, and it is this version that does."""

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return world.get()[0] == 200
        return False

    until("the proxy serves again", answers)
    assert world.serving() == version


# Processes.


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """A process and all that it started, the oldest first."""
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    return []


def procedure_of(process: subprocess.Popen[str], name: str) -> psutil.Process | None:
    """The `python -m switchback NAME` that runs under a `pulumi`, if one does."""
    for one in family(process):
        with contextlib.suppress(psutil.Error):
            if one.cmdline()[-3:] == ["-m", "switchback", name]:
                return one
    return None


def until_runs(process: subprocess.Popen[str], name: str) -> psutil.Process:
    """Waits for `python -m switchback NAME` under a `pulumi`."""
    found: list[psutil.Process] = []

    def runs() -> bool:
        assert process.poll() is None, process.communicate()[0]
        found.extend(one for one in [procedure_of(process, name)] if one)
        return bool(found)

    until(f"{name} runs", runs)
    return found[0]


def kill_family(process: subprocess.Popen[str]) -> str:
    """`kill -9` for a process and all that it started; returns what it had printed."""
    doomed = family(process)
    for one in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(doomed, timeout=10)
    return process.communicate()[0] if process.stdout and not process.stdout.closed else ""


# The environment.


def in_toolbox(world: World, *argv: str) -> str:
    """Runs a program in the toolbox, and returns what it printed."""
    code, said = world.part("toolbox").exec_run(list(argv))
    assert isinstance(said, bytes)
    assert code == 0, said
    return said.decode()


# Runs in the toolbox.
_PROCESSES = r"""
import pathlib, sys
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    if (entry / "cmdline").read_bytes().split(b"\0")[1:3] == [b"-m", sys.argv[1].encode()]:
        print(entry.name)
"""


def process_in_toolbox(world: World, module: str) -> str:
    """The id of the process that runs a module in the toolbox, as the toolbox counts; empty when none does."""
    return in_toolbox(world, "python3", "-c", _PROCESSES, module).strip()


def links(world: World) -> dict[str, str]:
    """Where the links on the shared volume lead: `pointer/current`, `config/verified`, …"""
    script = "cd /run/switchback; for l in pointer/current pointer/verified config/current config/verified; do"
    told = in_toolbox(world, "sh", "-c", f'{script} echo "$l $(readlink $l)"; done')
    return dict(line.partition(" ")[::2] for line in told.splitlines())


def config_file(world: World) -> str:
    """Where the proxy's configuration is, on the shared volume."""
    return f"/run/switchback/config/current/{DRIVERS[world.kind].FILENAME}"


def resources(world: World) -> list[dict[str, Any]]:
    """All resources of the stack's state."""
    held: list[dict[str, Any]] = json.loads(world.pulumi("stack", "export").text)["deployment"].get("resources", [])
    return held


def crash_proxy(world: World) -> None:
    """Ends the proxy's program from within its container, as a crash would: Docker starts it again."""
    proxy = world.part("proxy")
    restarts = proxy.attrs["RestartCount"]
    # The container's first process is Docker's init: it started the program, and ends with it.
    children = 'cut -d" " -f1,4 /proc/[0-9]*/stat | while read pid parent; do [ "$parent" != 1 ] || kill -9 $pid; done'
    proxy.exec_run(["sh", "-c", children])

    def runs_again() -> bool:
        seen = world.part("proxy").attrs
        return bool(seen["RestartCount"] > restarts and seen["State"]["Status"] == "running")

    until("Docker restarts the proxy", runs_again)


def procedure(name: str, spec: str) -> subprocess.CompletedProcess[str]:
    """`python -m switchback NAME`, as a command resource runs it."""
    argv = [python(), "-m", "switchback", name]
    return subprocess.run(argv, cwd=ROOT, input=spec, capture_output=True, text=True, check=False)


class Switching:
    """A `pulumi up` whose switch is stopped dead between its rename and its verification."""

    def __init__(self, world: World, process: subprocess.Popen[str], pid: int) -> None:
        self.world, self.process, self._pid = world, process, pid

    def resume(self) -> None:
        """Lets the switch go on."""
        in_toolbox(self.world, "sh", "-c", 'kill -CONT "$0"', str(self._pid))

    def kill_switch(self) -> None:
        """Ends the switch where it stands."""
        in_toolbox(self.world, "sh", "-c", 'kill -KILL "$0"', str(self._pid))

    def ended(self) -> str:
        """Waits for `pulumi up`, which fails, and returns what it printed."""
        said, _ = self.process.communicate(timeout=_PATIENCE)
        assert self.process.returncode not in (0, None), said
        return said


SLOW_ANSWERS = {"ANSWER_DELAY": "0.5"}  # of a release: how long its switch is not yet verified, at least

# Runs in the toolbox.
_STOPPER = """
import os, pathlib, signal, time
pointer = pathlib.Path("/run/switchback/pointer")
current = os.readlink(pointer / "current")
print("ready", flush=True)
while os.readlink(pointer / "current") == current:
    time.sleep(0.005)
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    if b"switchback.inside.switch" in (entry / "cmdline").read_bytes().split(b"\\0"):
        os.kill(int(entry.name), signal.SIGSTOP)
        print(entry.name, os.readlink(pointer / "current") != os.readlink(pointer / "verified"), flush=True)
"""


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """The lines in a stream that comes in pieces."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece.decode()).split("\n")
        yield from lines
    raise AssertionError(f"the program in the toolbox ended: {rest}")


@contextlib.contextmanager
def stopped_in_mid_switch(world: World) -> Iterator[Switching]:
    """A `pulumi up` whose switch is stopped after its rename, before it is verified; nothing of it is left after.

    The release that is switched to has `SLOW_ANSWERS`, or there would be no time to stop anything.
    """
    api = world.docker.api
    created = api.exec_create(world.part("toolbox").id, ["python3", "-c", _STOPPER])
    told = _lines(api.exec_start(created["Id"], stream=True))
    assert next(told) == "ready"
    process = world.popen("up", "--yes")
    try:
        pid, unverified = next(told).split()
        assert unverified == "True", "the switch was faster than the hand that stops it"
        stopped = Switching(world, process, int(pid))
        try:
            yield stopped
        finally:
            in_toolbox(world, "sh", "-c", 'kill -KILL "$0" 2>/dev/null || true', pid)
    finally:
        kill_family(process)


def load(world: World) -> Load:
    """A light load, so that what is lost is seen, and the machine has room for what is tested."""
    return Load(world.url, clients=4, rate=80)


def copy_of(backend: Path) -> dict[str, bytes]:
    """All files of a backend: path to content."""
    return {str(file.relative_to(backend)): file.read_bytes() for file in backend.rglob("*") if file.is_file()}

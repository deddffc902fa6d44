"""Who runs this update, and whether another one's process still lives: what a lease says, and what it is worth."""

from __future__ import annotations

import getpass
import socket
import time
from pathlib import Path

import psutil

from switchback.record import Lease

_SAME_START = 1.0  # seconds by which two readings of a process's start may differ


def own_lease(seconds: float) -> Lease:
    """A lease for the `pulumi` that started this process, from now for so many seconds."""
    process = _update()
    now = time.time()
    return Lease(
        who=f"{_user()}@{socket.gethostname()}, process {process.pid}",
        host=_machine(),
        pid=process.pid,
        started=process.create_time(),
        since=now,
        until=now + seconds,
    )


def is_dead(lease: Lease) -> bool:
    """Whether its holder is known to live no more: it ran on this machine, and its process is gone."""
    if lease.host != _machine():
        return False
    try:
        return abs(psutil.Process(lease.pid).create_time() - lease.started) > _SAME_START
    except psutil.NoSuchProcess:
        return True


def is_own(lease: Lease) -> bool:
    """Whether this process is part of the update that holds it."""
    process = _update()
    return (lease.host, lease.pid) == (_machine(), process.pid) and not is_dead(lease)


def in_the_way(lease: Lease | None) -> str:
    """Who else is changing the environment now, as a sentence; empty when nobody is."""
    if lease is None or lease.until < time.time() or is_dead(lease) or is_own(lease):
        return ""
    return str(lease)


def _update() -> psutil.Process:
    """The `pulumi` above this process, or this process, where somebody runs a procedure by hand."""
    own = psutil.Process()
    above = [process for process in own.parents() if process.name() == "pulumi"]
    return above[0] if above else own


def _machine() -> str:
    """This machine since its last start."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = f"{psutil.boot_time():.0f}"
    return f"{socket.gethostname()} {boot}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"

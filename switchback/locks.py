"""Pulumi's own lock on a stack: who holds it, and whether they still live, which a file backend does not know.

A lock is a small JSON file, `.pulumi/locks/organization/PROJECT/STACK/ID.json`, that an update writes when it begins
and removes when it ends, but not when it is killed. Preview takes no lock, so preview is where this can be said.
"""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import psutil

_EARLIER = 1.0  # seconds by which a holder's start may seem to be later than its lock, the clocks being two


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a lock file."""

    pid: int = 0
    username: str = "somebody"
    hostname: str = ""
    timestamp: datetime | None = None


def lock_notices(project: str, stack: str) -> list[str]:
    """A sentence for every lock on the stack that is not the own update's: who, since when, alive or not, what to type.

    Empty for a backend that is no directory: Pulumi Cloud says itself who holds a lock.
    """
    folder = _backend()
    if folder is None:
        return []
    files = sorted((folder / ".pulumi/locks/organization" / project / stack).glob("*.json"))
    locks = [lock for file in files if (lock := _read(file))]
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    return [notice(lock) for lock in locks if (lock.hostname, lock.pid in own) != (socket.gethostname(), True)]


def notice(lock: Lock) -> str:
    """What a person has to know about a lock."""
    since = f", since {lock.timestamp:%Y-%m-%d %H:%M:%S} UTC" if lock.timestamp else ""
    held = f"this stack is locked by {lock.username}@{lock.hostname}, process {lock.pid}{since}"
    if lock.hostname != socket.gethostname():
        return (
            f"{held}. Whether it is still at work can only be seen on {lock.hostname} (`ps -p {lock.pid}`): if it is,"
            " wait for it; if not, type `pulumi cancel`, then `pulumi up`"
        )
    if _lives(lock):
        return f"{held}, which is at work: wait for it. `pulumi cancel` would take its lock away, and not stop it"
    return (
        f"{held}, which is not running any more: that update was killed. Nobody is at work; type `pulumi cancel`,"
        " then `pulumi up`, which goes on from what is really there"
    )


def _lives(lock: Lock) -> bool:
    """Whether the process is still the one that wrote the lock: process numbers are used again."""
    try:
        process = psutil.Process(lock.pid)
        began = process.create_time()
        ended = process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False
    return not ended and (lock.timestamp is None or began <= lock.timestamp.timestamp() + _EARLIER)


def _read(file: Path) -> Lock | None:
    """The lock in a file; None when its update has just ended and removed it."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Lock)
    except msgspec.DecodeError:
        return Lock(hostname="a place that it does not tell")  # killed while it wrote: Pulumi counts it all the same
    except OSError:
        return None


def _backend() -> Path | None:
    """The directory of a file backend, from the environment or from `pulumi login`; None for any other."""
    url = os.environ.get("PULUMI_BACKEND_URL") or _logged_in()
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    return Path(unquote(parts.netloc + parts.path)).expanduser()


def _logged_in() -> str:
    """Where `pulumi login` was last pointed."""
    home = os.environ.get("PULUMI_CREDENTIALS_PATH") or os.environ.get("PULUMI_HOME") or "~/.pulumi"
    try:
        held = json.loads((Path(home).expanduser() / "credentials.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(held.get("current", "")) if isinstance(held, dict) else ""

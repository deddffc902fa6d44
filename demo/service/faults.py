"""Faults that end the process, caused for real."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

log = logging.getLogger("demo")

EXIT_CODE = 3
_STEP = 16 << 20  # bytes
# With nothing to stop it, the fault would take the whole machine along.
_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NO_LIMIT = 4 << 30  # bytes; more than a container of a test would ever be given


def crash() -> None:
    """Ends the process at once, as a bug would: no request in flight is finished."""
    log.critical("crashing, as CRASH_AFTER asks")
    os._exit(EXIT_CODE)


def eat_memory() -> None:
    """Takes memory in a thread of its own until the kernel ends the process. Refuses without a memory limit."""
    limit = memory_limit()
    if limit is None:
        log.critical("EAT_MEMORY: this container has no memory limit, so it would take the machine's; exiting")
        os._exit(EXIT_CODE)
    log.warning("eating memory up to the limit of %d MiB, as EAT_MEMORY asks", limit >> 20)
    threading.Thread(target=_eat, daemon=True).start()


def memory_limit() -> int | None:
    """The container's memory limit in bytes, or None when there is none to speak of."""
    for name in _LIMIT_FILES:
        file = Path(name)
        if file.is_file():
            text = file.read_text().strip()
            return int(text) if text.isdigit() and int(text) <= _NO_LIMIT else None
    return None


def _eat() -> None:
    eaten: list[bytes] = []
    while True:
        eaten.append(b"x" * _STEP)
        time.sleep(0.05)

"""The record's file on the shared volume: changed by one process at a time, replaced as a whole.

python -m switchback.inside.ledger release     lets go of the lease in SWITCHBACK_SPEC, if it is still held
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from switchback.record import FILENAME, Lease, Record, read_record
from switchback.specs import decode, encode

HOME = Path("/run/switchback")


class LeaseHeld(Exception):
    """Another update is at work."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        super().__init__(str(lease))


def read() -> Record:
    """The record as it is now."""
    try:
        return read_record((HOME / FILENAME).read_bytes())
    except FileNotFoundError:
        return Record()


def change(how: Callable[[Record], Record]) -> Record:
    """Replaces the record by what a function makes of it; nobody else changes it meanwhile."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / ".record.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        record = how(read())
        beside = HOME / f".{FILENAME}.{secrets.token_hex(4)}"
        with beside.open("w") as out:
            out.write(encode(record))
            out.flush()
            os.fsync(out.fileno())
        beside.rename(HOME / FILENAME)
        return record


def take(lease: Lease, *, over: Lease | None) -> Record:
    """Takes the lease, or prolongs it.

    Args:
        lease: Of this update.
        over: Another update's, whose process is known to be dead; it may be taken over.

    Raises:
        LeaseHeld: another update has it, and may be alive.
    """

    def taken(record: Record) -> Record:
        held = record.lease
        free = held is None or held.owner == lease.owner or (over is not None and held.owner == over.owner)
        if held is not None and not free and held.until > time.time():
            raise LeaseHeld(held)
        since = held.since if held and held.owner == lease.owner else lease.since
        return msgspec.structs.replace(record, lease=msgspec.structs.replace(lease, since=since))

    return change(taken)


def let_go(lease: Lease) -> None:
    """Ends the lease, if this update still has it."""

    def released(record: Record) -> Record:
        mine = record.lease is not None and record.lease.owner == lease.owner
        return msgspec.structs.replace(record, lease=None) if mine else record

    change(released)


def main(words: list[str]) -> int:
    """Does one step; exit code 0 when it is done."""
    if words != ["release"]:
        print(__doc__, file=sys.stderr)
        return 2
    let_go(decode(os.environ["SWITCHBACK_SPEC"], Lease))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""The record on the shared volume: which releases have proved themselves, what is on trial, who is at work. Pure data.

It is one small JSON file, `record.json`, replaced as a whole (`inside/ledger.py`), so it travels with the environment
and not with whoever runs `pulumi`.
"""

from __future__ import annotations

import time

import msgspec

FILENAME = "record.json"
_REMEMBERED = 100  # containers whose past is kept; older ones are long gone


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who is changing the environment's traffic. Times are Unix times in seconds."""

    who: str  # for people: `root@host, process 4711`
    host: str  # the machine, and its boot: a process number means nothing elsewhere or after a restart
    pid: int
    started: float  # when that process began: process numbers are used again
    since: float
    until: float  # when it has to be over; from another machine nobody can see whether the process lives

    @property
    def owner(self) -> tuple[str, int, float]:
        """The update that holds it: one process, whichever of its procedures speaks."""
        return self.host, self.pid, self.started

    def __str__(self) -> str:
        since, until = (time.strftime("%H:%M:%S UTC", time.gmtime(moment)) for moment in (self.since, self.until))
        return f"another update is changing this environment: {self.who}, since {since}, until {until} at the latest"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Releases that have taken traffic and have not proved themselves yet."""

    at: float  # Unix time of the switch
    containers: tuple[str, ...]
    before: dict[str, str]  # the pointer's files before the switch: where the traffic goes back to


class Reverted(msgspec.Struct, frozen=True, kw_only=True):
    """A release that was taken out of the traffic again."""

    at: float
    reasons: tuple[str, ...]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of an environment between updates."""

    accepted: tuple[str, ...] = ()  # containers that had all of the traffic and did well; the newest last
    reverted: dict[str, Reverted] = {}
    trial: Trial | None = None
    lease: Lease | None = None

    def accept(self, containers: tuple[str, ...]) -> Record:
        """With these releases proved; a trial is over with that."""
        kept = [held for held in self.accepted if held not in containers]
        reverted = {name: held for name, held in self.reverted.items() if name not in containers}
        accepted = (*kept, *containers)[-_REMEMBERED:]
        return msgspec.structs.replace(self, accepted=accepted, reverted=reverted, trial=None)

    def revert(self, containers: tuple[str, ...], at: float, reasons: tuple[str, ...]) -> Record:
        """With these releases taken back; a trial is over with that."""
        reverted = {**self.reverted, **{name: Reverted(at=at, reasons=reasons) for name in containers}}
        while len(reverted) > _REMEMBERED:
            del reverted[min(reverted, key=lambda name: reverted[name].at)]
        accepted = tuple(held for held in self.accepted if held not in containers)
        return msgspec.structs.replace(self, accepted=accepted, reverted=reverted, trial=None)


def read_record(text: bytes) -> Record:
    """The record in a file. An empty or damaged one is an empty record: then everything is to be proved anew."""
    try:
        return msgspec.json.decode(text, type=Record)
    except msgspec.DecodeError:
        return Record()

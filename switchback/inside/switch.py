"""Runs in the toolbox: the switch itself, under the lease, remembered in the record."""

from __future__ import annotations

import os

import msgspec

from switchback.events import Event, tell
from switchback.inside import ledger
from switchback.inside.turn import pointed, turn
from switchback.pointer import whole
from switchback.proxies import DRIVERS
from switchback.record import Record, Trial
from switchback.specs import Claim, Switch, decode, encode


def main() -> int:
    """Does the switch in `SWITCHBACK_SPEC`. Exit code 0 when it is verified, else 1 with the pointer moved back."""
    switch, claim = decode(os.environ["SWITCHBACK_SPEC"], Switch), decode(os.environ["SWITCHBACK_CLAIM"], Claim)
    try:
        ledger.take(claim.lease, over=claim.over)
    except ledger.LeaseHeld as held:
        tell(Event(kind="held", text=encode(held.lease)))
        return 1
    before = whole(pointed())
    share = switch.shares[0] if switch.trial and switch.shares and before else 100
    files = switch.pointer
    if share < 100:
        files = DRIVERS[switch.place.proxy_kind].shared_pointer(before, switch.targets, share)
    turned = turn(switch.place, files, switch.targets)
    if turned.wrong:
        ledger.let_go(claim.lease)
        outcome = "" if not turned.rehearsed else "back" if before else "kept"
        tell(Event(kind="failed", reasons=turned.wrong, text=outcome, number=turned.seconds))
        return 1
    names = tuple(target.container for target in switch.targets)

    def remembered(record: Record) -> Record:
        if not (switch.trial and before):
            return record.accept(names)
        # A trial that was cut short goes on against what was there before it.
        began = record.trial.before if record.trial else before
        return msgspec.structs.replace(record, trial=Trial(at=turned.at, containers=names, before=began))

    record = ledger.change(remembered)
    if record.trial is None:
        ledger.let_go(claim.lease)
    tell(Event(kind="done", number=turned.seconds, text=str(share)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

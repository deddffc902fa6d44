"""Runs in the toolbox: watches releases on trial, widens their share step by step, or takes all traffic back.

It goes on when whoever started it is gone, and stops without touching anything when another update takes the lease.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from switchback.events import Event, tell
from switchback.inside import ledger
from switchback.inside.clock import Clock
from switchback.inside.synthetic import Synthesist, unanswered
from switchback.inside.turn import pointed, rehearse, turn
from switchback.judgement import Sample, Verdict, judge
from switchback.metering import Cell, MeterError, ask
from switchback.observation import pointed_in
from switchback.pointer import whole
from switchback.proxies import DRIVERS
from switchback.record import Trial
from switchback.specs import Analyse, Claim, Target, decode, encode

_LOOK_EVERY = 0.1  # seconds
_TELL_EVERY = 5.0  # seconds
_MISSED = 30  # requests that should have come by now, and none has: then we ask ourselves
_ANSWER_WITHIN = 5.0  # seconds
_SETTLE = 0.5  # seconds until the last lines of a bake have come through the proxy's buffer and the meter
_CLOCK_SET = "the clock of the Docker host was set {} meanwhile, so what was counted does not cover the bake"


class Watch:
    """One trial."""

    def __init__(self, spec: Analyse, claim: Claim, trial: Trial) -> None:
        self.spec, self.claim, self.trial = spec, claim, trial
        old = pointed_in(trial.before)
        routed = [target for target in spec.targets if target.routes and target.service in old]
        # What is judged: each release on trial, and the one that had its traffic.
        self.pairs = [
            (target, msgspec.structs.replace(target, container=old[target.service]))
            for target in routed
            if old[target.service] != target.container
        ]
        self.fresh = tuple(name for name in trial.containers if name not in old.values())
        self.clock, self.set_by = Clock(), 0.0  # seconds by which the wall clock was set since the trial began
        self.heard: set[str] = set()  # services that were asked because nothing was heard of them
        self.back = [msgspec.structs.replace(target, container=old[target.service]) for target in routed]

    def run(self) -> int:
        """Watches step by step. Exit code 0 when the releases are accepted."""
        shared = whole(pointed()) != pointed()
        steps = self.spec.shares if shared and self.spec.shares else (100,)
        reasons: tuple[str, ...] = ()
        began = min(self.trial.at, time.time())  # what lies ahead was written before the clock was set back
        whole_at = began if not shared else 0.0
        for number, share in enumerate(steps):
            if number:
                turned = turn(self.spec.place, self._files(share), self.spec.targets)
                if turned.wrong:
                    return self._fail(turned.wrong)
                began = turned.at
                whole_at = turned.at if share == 100 else 0.0
                tell(Event(kind="step", number=share))
            verdict, reasons = self._watch(began, whole_at, share)
            if verdict == "lost":
                tell(Event(kind="lost"))
                return 1
            if verdict == "fail" or (verdict == "inconclusive" and self.spec.revert_inconclusive):
                return self._fail(reasons, inconclusive=verdict == "inconclusive")
            if verdict == "inconclusive":
                tell(Event(kind="inconclusive", reasons=reasons, number=share))
        gone = rehearse(self.spec.place, self.trial.before, [old for _, old in self.pairs], within=1.0)
        ledger.change(lambda record: record.accept(self.trial.containers))
        ledger.let_go(self.claim.lease)
        tell(Event(kind="done", reasons=reasons, text="; ".join(gone)))
        return 0

    def _files(self, share: int) -> dict[str, str]:
        if share == 100:
            return self.spec.pointer
        shared: dict[str, str] = DRIVERS[self.spec.place.proxy_kind].shared_pointer(
            self.trial.before, self.spec.targets, share
        )
        return shared

    def _watch(self, since: float, whole_at: float, share: int) -> tuple[str, tuple[str, ...]]:
        """One step, until it fails or its time is over.

        Args:
            since: Unix time at which the step began.
            whole_at: Unix time since when the old releases get nothing; 0 while they still do.
            share: Percent of the traffic.
        """
        left = min(max(0.0, since + self.spec.bake - time.time()), self.spec.bake)
        told, deadline, set_by = time.monotonic(), time.monotonic() + left + _SETTLE, self.set_by
        with Synthesist(self.spec, shared=share < 100) as synthesist:
            while True:
                time.sleep(_LOOK_EVERY)
                lease = ledger.read().lease
                if lease is None or lease.owner != self.claim.lease.owner:
                    return "lost", ()
                if step := self.clock.step():
                    self.set_by += step
                    # What was counted until now is told by another clock.
                    since, whole_at = time.time(), whole_at and whole_at + step
                over = time.monotonic() >= deadline
                verdicts = self._judged(since, whole_at or time.time(), over=over)
                if bad := [(t, v) for t, v in verdicts if v.kind == "fail"]:
                    return "fail", _said(bad)
                if silent := self._silent(verdicts, since, share):
                    return "fail", silent
                if over and self.set_by != set_by:
                    return "inconclusive", (_CLOCK_SET.format("forward" if self.set_by > set_by else "back"),)
                if over:
                    kind = "inconclusive" if any(v.kind == "inconclusive" for _, v in verdicts) else "pass"
                    return kind, _said([(t, v) for t, v in verdicts if kind == "pass" or v.kind == kind])
                synthesist.wanted(
                    {
                        target.service: v.figures.get("requests", 0.0)
                        < self.spec.limits.min_requests * (time.time() - since) / self.spec.bake
                        for target, v in verdicts
                    }
                )
                if time.monotonic() - told >= _TELL_EVERY:
                    told = time.monotonic()
                    elapsed = time.monotonic() - deadline + _SETTLE + self.spec.bake
                    tell(Event(kind="progress", reasons=_said(verdicts), number=elapsed))

    def _silent(self, verdicts: list[tuple[Target, Verdict]], since: float, share: int) -> tuple[str, ...]:
        """The releases of which nothing is heard though much should be, and which do not answer us either.

        A request that hangs is in no log before it ends. That users stay away by themselves is no fault.
        """
        found = []
        for target, verdict in verdicts:
            old = verdict.figures.get("requests_old", 0.0) / self.spec.baseline
            expected = old * (time.time() - since) * share / 100
            if expected >= _MISSED and not verdict.figures.get("requests") and target.service not in self.heard:
                why = unanswered(self.spec.place, target, times=3, within=_ANSWER_WITHIN)
                if why:
                    found.append(
                        f"{target.label}: answers nothing, where about {expected:.0f} requests were due; {why}"
                    )
                self.heard.add(target.service)
        return tuple(found)

    def _judged(self, since: float, old_until: float, *, over: bool) -> list[tuple[Target, Verdict]]:
        """What is known of each release by now."""
        try:
            cells = ask(self.trial.at + self.set_by - self.spec.baseline, time.time())
        except MeterError as failed:
            # Without the figures nothing is known: at the end that is its own answer, never a pass and never a revert.
            said = (f"the requests can't be counted: {failed}",)
            unknown = Verdict(kind="inconclusive" if over else "undecided", reasons=said, figures={})
            return [(target, unknown) for target, _ in self.pairs]
        return [
            (
                target,
                judge(
                    _sample(cells, old.container, 0.0, old_until),
                    _sample(cells, target.container, since, float("inf")),
                    self.spec.limits,
                    over=over,
                ),
            )
            for target, old in self.pairs
        ]

    def _fail(self, reasons: tuple[str, ...], *, inconclusive: bool = False) -> int:
        """Takes all traffic back, unless that was switched off or there is nothing to go back to."""
        left = "left" if not self.spec.auto_rollback else ""
        turned = None if left else turn(self.spec.place, self.trial.before, tuple(self.back))
        outcome = left or ("back" if turned and not turned.wrong else "dead")
        at = time.time()
        if outcome == "back":
            ledger.change(lambda record: record.revert(self.fresh, at, reasons))
        ledger.let_go(self.claim.lease)
        more = turned.wrong if turned and turned.wrong else ()
        text = f"{outcome}-inconclusive" if inconclusive else outcome
        tell(Event(kind="failed", reasons=(*reasons, *more), text=text, number=at - self.trial.at - self.set_by))
        return 1


def _sample(cells: Mapping[str, list[Cell]], container: str, since: float, until: float) -> Sample:
    return Sample(tuple(cell for cell in cells.get(container, ()) if int(since) <= cell.second < until))


def _said(verdicts: list[tuple[Target, Verdict]]) -> tuple[str, ...]:
    return tuple(f"{target.label}: {reason}" for target, verdict in verdicts for reason in verdict.reasons)


def main() -> int:
    """Does the analysis in `SWITCHBACK_SPEC`. Exit code 0: accepted, or nothing is on trial."""
    spec, claim = decode(os.environ["SWITCHBACK_SPEC"], Analyse), decode(os.environ["SWITCHBACK_CLAIM"], Claim)
    try:
        record = ledger.take(claim.lease, over=claim.over)
    except ledger.LeaseHeld as held:
        tell(Event(kind="held", text=encode(held.lease)))
        return 1
    if record.trial is None:
        ledger.let_go(claim.lease)
        tell(Event(kind="done", text="none"))
        return 0
    return Watch(spec, claim, record.trial).run()


if __name__ == "__main__":
    raise SystemExit(main())

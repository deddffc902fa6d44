"""Whether a release does well under real traffic, from what the meter counted. Pure; why so: `docs/decisions/0011`.

Errors are judged request by request, so that a clear case ends within a second. Latency is judged second by second: a
machine that holds its breath slows hundreds of requests at once, and they are one event, not hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from switchback.metering import Cell
from switchback.statistics import (
    ALPHA,
    above,
    log_evidence,
    log_evidence_of_mean,
    quantile,
    quantile_bound,
    share_bound,
    tail,
)

_ENOUGH = math.log(1 / ALPHA)
_FEWEST_REQUESTS = 10  # below it nothing is said of a release, nor of a block of time
_BASELINE_REQUESTS = 100  # from here on, the bound of a faultless old release (4.5 %) is no excuse for the new one
_BASELINE_ALPHA = 0.01  # how often the old release's bound may be too low; a miss alone fails nothing
_CHANCE = 0.05  # at the end: what so seldom comes by chance is no pass

_TAIL = 0.05  # what exceeds a p95
_SLACK = 0.002  # seconds: two ticks of the clock that nginx measures with are no difference
_BAR_ALPHA = 0.25  # how often the old p95's bound may be too low: by two or three per cent, of a bar that is far off
# A block counts as if at most a fifth of its requests were slow. So a second in which the machine held its breath
# weighs no more than four ordinary ones, and six in a row at least are needed to fail a release.
_MOST = 0.2


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a new release may do: shares from 0 to 1; an increase of 0.5 is half as long again."""

    max_error_rate: float = 0.05
    max_latency_increase: float = 0.5
    min_requests: int = 100


class Sample(msgspec.Struct, frozen=True, dict=True):
    """What one release of one service answered in a span of time: its seconds, in the order of time."""

    cells: tuple[Cell, ...] = ()

    @cached_property
    def requests(self) -> int:
        """All requests."""
        return sum(cell.requests for cell in self.cells)

    @cached_property
    def errors(self) -> int:
        """Those that were answered with 500 or more."""
        return sum(cell.errors for cell in self.cells)

    @cached_property
    def latencies(self) -> dict[int, int]:
        """Bucket to requests, of those that have a latency."""
        return _merged(self.cells)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a release so far.

    `fail` and `undecided` come at any time, `pass` and `inconclusive` only when the time is over. The reasons are
    sentences for people. Figures: shares from 0 to 1, latencies in seconds; what is not known is not in it.
    """

    kind: Literal["pass", "fail", "inconclusive", "undecided"]
    reasons: tuple[str, ...]
    figures: dict[str, float]


class _Finding(msgspec.Struct, frozen=True, kw_only=True):
    sentence: str
    bad: bool = False  # beyond doubt
    doubtful: bool = False  # worse than chance explains, if this were the only look
    figures: dict[str, float]


def judge(baseline: Sample | None, trial: Sample, limits: Limits, *, over: bool) -> Verdict:
    """Compares a release with its predecessor. May be asked as often as one likes while `trial` grows.

    Args:
        baseline: The old release before the switch or, in a gradual rollout, at the same time. Below 100 requests (or
            `min_requests`, if that is more) it is not used: errors are held against the limit alone, and latency is not
            judged.
        trial: The new release since it has the traffic (or its share).
        limits: What is allowed.
        over: Whether the bake time has ended; before that, the newest second is not complete and its latency not used.
    """
    needed = max(limits.min_requests, _BASELINE_REQUESTS)
    old = baseline if baseline is not None and baseline.requests >= needed else None
    findings = (_errors(old, trial, limits), _latency(baseline, trial, limits, needed=needed, over=over))
    figures = {key: value for finding in findings for key, value in finding.figures.items()}
    said = tuple(finding.sentence for finding in findings)
    if bad := tuple(finding.sentence for finding in findings if finding.bad):
        return Verdict(kind="fail", reasons=bad, figures=figures)
    if not over:
        return Verdict(kind="undecided", reasons=said, figures=figures)
    if trial.requests < limits.min_requests:
        few = f"only {trial.requests:,} requests; at least {limits.min_requests:,} are needed{_usual(baseline)}"
        return Verdict(kind="inconclusive", reasons=(few, *said), figures=figures)
    if doubtful := [finding.sentence for finding in findings if finding.doubtful]:
        reasons = tuple(f"{sentence}: more than allowed, but too little to be sure" for sentence in doubtful)
        return Verdict(kind="inconclusive", reasons=reasons, figures=figures)
    return Verdict(kind="pass", reasons=said, figures=figures)


def _errors(old: Sample | None, trial: Sample, limits: Limits) -> _Finding:
    requests, errors = trial.requests, trial.errors
    allowed, versus = limits.max_error_rate, ""
    figures = {"requests": float(requests), "errors": float(errors)}
    if old is not None:
        # Errors that the old release has as well are not the new one's fault.
        before = old.errors / old.requests
        bound = share_bound(old.errors, old.requests, _BASELINE_ALPHA)
        versus = f"{', since' if bound > allowed else ','} the old release had {_percent(before)}"
        allowed = max(allowed, bound)
        figures |= {"error_rate_old": before, "requests_old": float(old.requests)}
    figures["error_rate_allowed"] = allowed
    if not requests:
        return _Finding(sentence="error rate not known: no request", figures=figures)
    rate = figures["error_rate"] = errors / requests
    of = f"{errors:,} of {requests:,} requests; at most {_percent(allowed)} allowed{versus}"
    return _Finding(
        sentence=f"error rate {_percent(rate)} ({of})",
        bad=requests >= _FEWEST_REQUESTS and log_evidence(errors, requests, allowed) >= _ENOUGH,
        doubtful=rate > allowed and tail(errors, requests, allowed) <= _CHANCE,
        figures=figures,
    )


def _latency(baseline: Sample | None, trial: Sample, limits: Limits, *, needed: int, over: bool) -> _Finding:
    now = quantile(trial.latencies, 1 - _TAIL)
    figures = {} if now is None else {"latency_p95": now}
    before = baseline.latencies if baseline is not None else {}
    timed = sum(before.values())
    bound = quantile_bound(before, 1 - _TAIL, _BAR_ALPHA) if timed >= needed else None
    was = quantile(before, 1 - _TAIL)
    if bound is None or was is None:
        why = f"the old release has {timed:,} timed requests, at least {needed:,} are needed"
        own = "" if now is None else f" {_time(now)}"
        return _Finding(sentence=f"p95 latency{own} not compared: {why}", figures=figures)
    bar = bound + max(bound * limits.max_latency_increase, _SLACK)
    figures |= {"latency_p95_old": was, "latency_bar": bar}
    # A second that still grows could be slow now and not a moment later: then looking often would no longer be free.
    cells = trial.cells if over else trial.cells[:-1]
    blocks = [*_blocks(cells)]
    if now is None or not blocks:
        return _Finding(sentence=f"p95 latency not known, old release {_time(was)}", figures=figures)
    late = [above(block, bar) / sum(block.values()) for block in blocks]
    slow = sum(1 for share in late if share > _TAIL)
    evidence = log_evidence_of_mean([min(share, _MOST) for share in late], _TAIL)
    figures |= {"blocks": float(len(blocks)), "blocks_slow": float(slow)}
    unit = "s" if len(blocks) == len(cells) else f"spans of {_FEWEST_REQUESTS} requests or more"
    allowed = f"at most {limits.max_latency_increase * 100:+.3g} % allowed"
    of = f"{(now / was - 1) * 100:+.0f} %, {allowed}; {slow} of {len(blocks)} {unit} slower"
    return _Finding(
        sentence=f"p95 latency {_time(now)}, old release {_time(was)} ({of})",
        bad=evidence >= _ENOUGH,
        doubtful=evidence >= math.log(1 / _CHANCE),
        figures=figures,
    )


def _blocks(cells: tuple[Cell, ...]) -> Iterator[dict[int, int]]:
    """Histograms of successive seconds, merged until each has the fewest requests that say anything."""
    waiting: list[Cell] = []
    timed = 0
    for cell in cells:
        waiting.append(cell)
        timed += sum(cell.buckets.values())
        if timed >= _FEWEST_REQUESTS:
            yield _merged(waiting)
            waiting, timed = [], 0


def _merged(cells: Sequence[Cell]) -> dict[int, int]:
    if len(cells) == 1:
        return cells[0].buckets
    merged: dict[int, int] = {}
    for cell in cells:
        for bucket, count in cell.buckets.items():
            merged[bucket] = merged.get(bucket, 0) + count
    return merged


def _usual(baseline: Sample | None) -> str:
    # A release that hangs answers nothing, so nothing is counted: that there used to be more is worth knowing.
    if baseline is None or not baseline.requests:
        return ""
    span = baseline.cells[-1].second - baseline.cells[0].second + 1
    return f" (the old release answered {baseline.requests:,} in {span} s)"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.3g} ms"

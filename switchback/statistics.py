"""Tests of a share that may be looked at as often as one likes, and exact bounds. Pure; the toolbox has no scipy.

The analysis looks again and again while requests come in. A test that is made for one look would sooner or later
reject anything; `log_evidence` may be asked after every request and keeps its promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from switchback.metering import bucket_of, upper_bound

# One release in a thousand that is exactly as bad as allowed is failed by chance, however often one looks and however
# long it bakes; one that is better than that far more seldom. At two deployments a day that is less than one in a year.
ALPHA = 0.001
_HALVINGS = 50  # of an interval of 1: far below what a count can tell


def log_evidence(hits: int, trials: int, share: float, odds: Sequence[float] = (1.6, 4.0, 32.0)) -> float:
    """The logarithm of the evidence against "a trial hits with a probability of at most `share`, whatever came before".

    The mean, over fixed alternatives, of the likelihood ratio of the alternative to `share`; reject when it is at
    least log(1 / alpha). While the hypothesis holds, the mean is a supermartingale that starts at 1, so by Ville's
    inequality it ever reaches 1 / alpha with a probability of at most alpha: any number of looks, any rule to stop.
    Trials need not be independent. The alternatives are ratios of odds, which makes each likelihood ratio
    c^hits / (1 + (c-1) share)^trials. It falls as `share` grows, so what is rejected at a share is rejected at every
    smaller one as well.

    Method of mixtures: H. Robbins, Statistical methods related to the law of the iterated logarithm (1970); as
    confidence sequences: S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Time-uniform, nonparametric, nonasymptotic
    confidence sequences (2021).

    Args:
        hits: How many of the trials hit.
        trials: How many there were; 0 is no evidence.
        share: From 0 to 1.
        odds: The alternatives, each above 1. The default spans a share half as high again and "everything hits": one in
            the size of the true effect finds it fastest, and each further one costs log(how many) in all.
    """
    return _log_mean([hits * math.log(ratio) - trials * math.log1p((ratio - 1) * share) for ratio in odds])


def log_evidence_of_mean(values: Sequence[float], mean: float, parts: Sequence[float] = (0.5, 0.9)) -> float:
    """The logarithm of the evidence against "each value is on average at most `mean`, whatever came before".

    A gambler stakes a fixed part of the capital on each value, in a game that is fair if the hypothesis just holds;
    reject when the capital has grown to 1 / alpha, as in `log_evidence` and with the same promise. It takes
    log(1 / alpha) / log(highest / mean) of the highest values at least, so whoever bounds the values bounds what a few
    of them can do. I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting (2024).

    Args:
        values: At least 0; none is no evidence.
        mean: Above 0.
        parts: The stakes, below 1: the capital is spread evenly over gamblers of these habits.
    """
    return _log_mean([sum(math.log1p(part * (value / mean - 1)) for value in values) for part in parts])


def _log_mean(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs) / len(logs))


def tail(hits: int, trials: int, share: float) -> float:
    """The probability of at least `hits` in independent trials that hit with the probability `share`: exact."""
    if hits <= 0 or share >= 1:
        return 1.0 if hits <= trials else 0.0
    if hits > trials or share <= 0:
        return 0.0
    odds = share / (1 - share)
    if hits > trials * share:
        return min(1.0, _sum(hits, trials, share, lambda i: (trials - i) / (i + 1) * odds, 1))
    return max(0.0, 1.0 - _sum(hits - 1, trials, share, lambda i: i / (trials - i + 1) / odds, -1))


def _sum(first: int, trials: int, share: float, ratio: Callable[[int], float], step: int) -> float:
    """Binomial probabilities added up from `first` away from the mean, where each is smaller than the one before."""
    choose = math.lgamma(trials + 1) - math.lgamma(first + 1) - math.lgamma(trials - first + 1)
    term = math.exp(choose + first * math.log(share) + (trials - first) * math.log1p(-share))
    total, at = 0.0, first
    while term > total * 1e-17:
        total += term
        term *= ratio(at)
        at += step
    return total


@lru_cache(maxsize=64)  # the old release stays as it is from look to look
def share_bound(hits: int, trials: int, alpha: float) -> float:
    """The upper bound of a share that a single look misses with a probability of at most `alpha`; 1 without a trial.

    C. Clopper, E. Pearson, The use of confidence or fiducial limits (1934): the share at which so few hits would come
    with the probability `alpha`. Exact, so it never promises too much, at few trials either.
    """
    if hits >= trials:
        return 1.0
    low, high = hits / trials, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        few = tail(trials - hits, trials, 1 - middle)  # at most `hits`, counted from the other side
        low, high = (middle, high) if few > alpha else (low, middle)
    return high


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The latency, in seconds, that `share` of the requests of a histogram (bucket to requests) do not exceed.

    Interpolated within the bucket; None of no requests.
    """
    trials = sum(histogram.values())
    return _at_rank(histogram, share * trials) if trials else None


def quantile_bound(histogram: Mapping[int, int], share: float, alpha: float) -> float | None:
    """The upper bound of a quantile that is missed with a probability of at most `alpha`; None of too few requests.

    A value in the order of size: if the r-th smallest were below the quantile, at least r of the requests would be, and
    the binomial says how improbable that is (H. David, H. Nagaraja, Order Statistics, 2003, section 7.1).
    """
    rank = _rank(sum(histogram.values()), share, alpha)
    return None if rank is None else _at_rank(histogram, rank)


@lru_cache(maxsize=64)
def _rank(trials: int, share: float, alpha: float) -> int | None:
    if not trials or tail(trials, trials, share) > alpha:
        return None
    low, high = 0, trials  # the rank sought is above low and at most high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tail(middle, trials, share) <= alpha else (middle, high)
    return high


def above(histogram: Mapping[int, int], bar: float) -> float:
    """How many requests of a histogram took longer than `bar` seconds; evenly spread in the bucket that holds it."""
    across = bucket_of(bar)
    low, high = _span(across)
    within = histogram.get(across, 0) * min(1.0, max(0.0, (high - bar) / (high - low)))
    return within + sum([count for bucket, count in histogram.items() if bucket > across])


def _at_rank(histogram: Mapping[int, int], rank: float) -> float:
    before, bucket = 0, 0
    for bucket in sorted(histogram):
        count = histogram[bucket]
        if count and before + count >= rank:
            low, high = _span(bucket)
            return low + (high - low) * max(0.0, rank - before) / count
        before += count
    return upper_bound(bucket)  # a rounding error beyond the last


def _span(bucket: int) -> tuple[float, float]:
    return (upper_bound(bucket - 1) if bucket else 0.0), upper_bound(bucket)

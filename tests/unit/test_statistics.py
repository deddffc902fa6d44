"""The tests keep what they promise however often one looks; the bounds are the exact ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from switchback.metering import BOUNDS, bucket_of
from switchback.statistics import (
    above,
    log_evidence,
    log_evidence_of_mean,
    quantile,
    quantile_bound,
    share_bound,
    tail,
)

SHARES = st.floats(0.001, 0.999)
HISTOGRAMS = st.dictionaries(st.integers(0, 150), st.integers(1, 500), min_size=1, max_size=20)
ALPHA = 0.05  # coarser than the one in use, so that some hundred runs show it


def dice(seed: int) -> random.Random:
    """The same numbers every time."""
    return random.Random(seed)  # noqa: S311


def ever(evidence: Callable[[int, int], float], share: float, *, trials: int, rng: random.Random) -> bool:
    """Whether the evidence ever says so, when one looks after every trial."""
    hits = 0
    for trial in range(1, trials + 1):
        hits += rng.random() < share
        if evidence(hits, trial) >= math.log(1 / ALPHA):
            return True
    return False


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_B4_a_release_at_the_limit_is_rejected_no_more_often_than_promised_however_often_one_looks(
    share: float,
) -> None:
    rng = dice(4)
    rejected = sum(ever(lambda k, n: log_evidence(k, n, share), share, trials=200, rng=rng) for _ in range(400))
    naive = sum(ever(lambda k, n: -math.log(tail(k, n, share)), share, trials=200, rng=rng) for _ in range(50))
    assert 0 < rejected <= 400 * ALPHA
    assert naive > 50 * ALPHA  # what the test is for: one that is made for one look does not survive 200 of them


@pytest.mark.parametrize("spread", [(0.0, 0.2), (0.03, 0.2), (0.0, 1.0)])
def test_B4_blocks_at_the_limit_are_rejected_no_more_often_than_promised(spread: tuple[float, float]) -> None:
    rng, rejected = dice(5), 0
    low, high = spread
    for _ in range(400):
        values: list[float] = []
        for _ in range(60):
            values.append(high if rng.random() < (0.05 - low) / (high - low) else low)
            if log_evidence_of_mean(values, 0.05) >= math.log(1 / ALPHA):
                rejected += 1
                break
    assert rejected <= 400 * ALPHA


@given(st.integers(1, 5000), st.data(), SHARES, SHARES)
def test_more_hits_are_more_evidence_and_a_higher_share_is_less(
    n: int, data: st.DataObject, one: float, two: float
) -> None:
    k = data.draw(st.integers(0, n - 1))
    low, high = sorted((one, two))
    assert log_evidence(k, n, low) < log_evidence(k + 1, n, low)
    assert log_evidence(k, n, high) <= log_evidence(k, n, low)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=40), st.floats(0, 0.2))
def test_a_slower_block_is_more_evidence(values: list[float], other: float) -> None:
    first = values[0]
    low, high = sorted((first, other))
    assert log_evidence_of_mean([low, *values[1:]], 0.05) <= log_evidence_of_mean([high, *values[1:]], 0.05)


@given(st.integers(0, 3000), st.integers(0, 3000), SHARES)
def test_what_is_within_the_share_is_no_evidence(hits: int, misses: int, share: float) -> None:
    assume(hits <= share * (hits + misses))
    assert log_evidence(hits, hits + misses, share) <= 1e-6


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_fault_42_nothing_is_no_evidence(share: float) -> None:
    assert log_evidence(0, 0, share) == pytest.approx(0)
    assert log_evidence_of_mean([], 0.05) == pytest.approx(0)
    assert math.isfinite(log_evidence(10_000_000, 10_000_000, share))
    assert math.isfinite(log_evidence(0, 10_000_000, share))


@given(st.integers(0, 60), st.integers(-1, 62), SHARES)
def test_the_tail_is_the_sum_of_the_binomial(n: int, k: int, share: float) -> None:
    exact = math.fsum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(max(k, 0), n + 1))
    assert tail(k, n, share) == pytest.approx(exact, rel=1e-9, abs=1e-12)


@given(st.integers(1, 200_000), st.data(), SHARES)
def test_the_tail_has_two_sides(n: int, data: st.DataObject, share: float) -> None:
    k = data.draw(st.integers(0, n))
    assert tail(k, n, share) + tail(n - k + 1, n, 1 - share) == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize(("hits", "share", "expected"), [(0, 0.0, 1.0), (1, 0.0, 0.0), (5, 1.0, 1.0), (6, 1.0, 0.0)])
def test_the_tail_of_what_is_certain(hits: int, share: float, expected: float) -> None:
    assert tail(hits, 5, share) == expected


def test_the_bound_of_a_share_is_that_of_clopper_and_pearson() -> None:
    assert share_bound(0, 100, 0.01) == pytest.approx(1 - 0.01 ** (1 / 100))  # closed form
    assert share_bound(5, 50, 0.025) == pytest.approx(0.21814, abs=1e-5)  # textbooks: 5 of 50 are 3.3 % to 21.8 %
    assert share_bound(7, 7, 0.01) == 1.0


def test_fault_42_the_bound_of_nothing_is_everything() -> None:
    assert share_bound(0, 0, 0.01) == 1.0


@given(st.integers(1, 100_000), st.data(), st.sampled_from([0.001, 0.01, 0.25]))
def test_so_few_hits_come_at_the_bound_with_the_probability_alpha(n: int, data: st.DataObject, alpha: float) -> None:
    k = data.draw(st.integers(0, n - 1))
    bound = share_bound(k, n, alpha)
    assert k / n < bound < 1
    assert 1 - tail(k + 1, n, bound) == pytest.approx(alpha, rel=1e-3)


@given(HISTOGRAMS, SHARES)
def test_a_quantile_lies_where_its_request_does(histogram: dict[int, int], share: float) -> None:
    found = quantile(histogram, share)
    assert found is not None
    assert min(histogram) <= bucket_of(found * (1 - 1e-12)) + 1
    assert found <= BOUNDS[max(histogram)]
    trials = sum(histogram.values())
    assert above(histogram, found) == pytest.approx((1 - share) * trials, abs=1e-6 * trials)


@given(HISTOGRAMS, st.floats(0, 60), st.floats(0, 60))
def test_a_higher_bar_leaves_fewer_above_it(histogram: dict[int, int], one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert 0 <= above(histogram, high) <= above(histogram, low) <= sum(histogram.values())


def test_the_bound_of_a_quantile_is_missed_as_seldom_as_promised() -> None:
    rng, p95, missed = dice(6), -math.log(0.05) / 20, 0
    for _ in range(400):
        histogram: dict[int, int] = {}
        for _ in range(200):
            bucket = bucket_of(rng.expovariate(20))
            histogram[bucket] = histogram.get(bucket, 0) + 1
        bound = quantile_bound(histogram, 0.95, 0.1)
        assert bound is not None
        missed += bound < p95
    assert 0 < missed <= 400 * 0.1 + 3 * math.sqrt(400 * 0.1 * 0.9)


def test_fault_42_too_few_requests_have_no_bound() -> None:
    assert quantile_bound({}, 0.95, 0.01) is None
    assert quantile_bound({40: 89}, 0.95, 0.01) is None  # 0.95^89 is above 1 %: all of them may be below the p95
    assert quantile_bound({40: 90}, 0.95, 0.01) == pytest.approx(BOUNDS[40])
    assert quantile({}, 0.95) is None
    assert above({}, 1.0) == 0

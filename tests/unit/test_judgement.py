"""Releases that are worse fail, every time; releases that are not never do; and what is not known is said to be."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Collection
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.judgement import Limits, Sample, Verdict, judge
from switchback.metering import Cell, bucket_of

LIMITS = Limits()
BAKE = 15  # seconds
FIVEFOLD = bucket_of(0.5) - bucket_of(0.1)  # buckets
Shape = Callable[[random.Random], float]


def constant(rng: random.Random) -> float:
    """40 ms and a little."""
    return rng.uniform(0.040, 0.046)


def varied(rng: random.Random) -> float:
    """Around 40 ms, with the long tail that most services have."""
    return 0.040 * math.exp(rng.gauss(0, 0.5))


def quick(rng: random.Random) -> float:
    """Hardly 3 ms."""
    return rng.uniform(0.0030, 0.0034)


def ticking(latency: float, rng: random.Random) -> float:
    """As nginx measures: two readings of a clock that counts milliseconds."""
    return math.floor(latency * 1000 + rng.random()) / 1000


def dice(*seed: object) -> random.Random:
    """The same numbers every time."""
    return random.Random(repr(seed))  # noqa: S311


@cache
def seconds(shape: Shape, factor: float, rate: int, role: str) -> tuple[dict[int, int], ...]:
    """Histograms of single seconds of a service, some of them for simulations to draw from."""
    rng, found = dice(shape.__name__, factor, rate, role), []
    for _ in range(200 if rate <= 100 else 80):
        latencies = [shape(rng) * factor for _ in range(rng.randint(rate * 9 // 10, rate * 11 // 10))]
        found.append(Counter(bucket_of(ticking(one, rng) if shape is quick else one) for one in latencies))
    return tuple(dict(histogram) for histogram in found)


def errors_of(requests: int, share: float, rng: random.Random) -> int:
    """How many of the requests fail, when each does with that probability."""
    if share in (0.0, 1.0):
        return int(requests * share)
    found, at = 0, 0
    while (at := at + int(math.log(1 - rng.random()) / math.log1p(-share)) + 1) <= requests:
        found += 1
    return found


class Service:
    """A release under a steady load, as the meter would have counted it."""

    def __init__(self, shape: Shape, rate: int, *, errors: float = 0.0, factor: float = 1.0, role: str = "new") -> None:
        self.errors = errors
        self.usual = seconds(shape, factor, rate, role)

    def serve(self, rng: random.Random, span: int, hiccups: Collection[int] = ()) -> Sample:
        """So many seconds of it, some of them five times as slow."""
        cells = []
        for second in range(span):
            histogram = rng.choice(self.usual)
            if second in hiccups:
                histogram = {bucket + FIVEFOLD: count for bucket, count in histogram.items()}
            requests = sum(histogram.values())
            cells.append(Cell(second, requests, errors_of(requests, self.errors, rng), histogram))
        return Sample(tuple(cells))


def bake(baseline: Sample | None, trial: Sample, limits: Limits = LIMITS) -> tuple[Verdict, int]:
    """Looks after every second, as the analysis does; the verdict, and after how many seconds it came."""
    for span in range(1, len(trial.cells) + 1):
        verdict = judge(baseline, Sample(trial.cells[:span]), limits, over=False)
        assert verdict.kind in ("fail", "undecided")
        if verdict.kind == "fail":
            return verdict, span
    return judge(baseline, trial, limits, over=True), len(trial.cells)


def kinds(
    runs: int, old: Service, new: Service, *, before: int = BAKE, at: Collection[int] = (), old_at: Collection[int] = ()
) -> Counter[str]:
    """How so many bakes ended, with hiccups at these seconds."""
    found: Counter[str] = Counter()
    for run in range(runs):
        rng = dice(run)
        found[bake(old.serve(rng, before, old_at), new.serve(rng, BAKE, at))[0].kind] += 1
    return found


def plain(requests: int, errors: int = 0, *, per_second: int = 100, milliseconds: float = 40.0) -> Sample:
    """Requests of one latency, errors first."""
    cells = []
    for second, done in enumerate(range(0, requests, per_second)):
        now = min(per_second, requests - done)
        cells.append(Cell(second, now, max(0, min(now, errors - done)), {bucket_of(milliseconds / 1000): now}))
    return Sample(tuple(cells))


# What is worse


@pytest.mark.parametrize("rate", [50, 100, 1000])
@pytest.mark.parametrize("before", [0, 15])
def test_B4_fault_41_a_release_that_answers_500_to_everything_fails_within_a_second(rate: int, before: int) -> None:
    for run in range(20):
        rng = dice(run)
        trial = Service(constant, rate, errors=1.0).serve(rng, 1)
        baseline = Service(constant, rate, errors=0.01, role="old").serve(rng, before)
        verdict = judge(baseline, trial, LIMITS, over=False)
        assert verdict.kind == "fail"
        assert verdict.reasons[0].startswith("error rate 100 % (")


@pytest.mark.parametrize("rate", [100, 1000])
def test_B4_a_tenth_of_errors_fails_every_time(rate: int) -> None:
    assert kinds(200, Service(constant, rate, role="old"), Service(constant, rate, errors=0.1)) == {"fail": 200}


@pytest.mark.parametrize("rate", [100, 1000])
@pytest.mark.parametrize("shape", [constant, varied, quick])
def test_B4_a_doubled_latency_fails_every_time(shape: Shape, rate: int) -> None:
    old, new = Service(shape, rate, role="old"), Service(shape, rate, factor=2.0)
    assert kinds(200, old, new, before=60 if shape is varied else BAKE) == {"fail": 200}


# What is not


@pytest.mark.parametrize(("rate", "errors"), [(100, 0.0), (100, 0.01), (100, 0.04), (100, 0.08), (1000, 0.04)])
def test_B4_a_release_no_different_from_the_old_one_never_fails(rate: int, errors: float) -> None:
    old, new = Service(varied, rate, errors=errors, role="old"), Service(varied, rate, errors=errors)
    assert kinds(500, old, new)["fail"] == 0


@pytest.mark.parametrize("shape", [constant, quick])
def test_B4_nor_does_one_of_another_kind(shape: Shape) -> None:
    assert kinds(500, Service(shape, 100, role="old"), Service(shape, 100)) == {"pass": 500}


@pytest.mark.parametrize(
    ("shape", "old_at", "at"),
    [(constant, (), (0, 1)), (varied, (), (3, 11)), (varied, (7,), ()), (constant, (2, 3), ())],
)
def test_B4_a_hiccup_of_the_machine_fails_nothing(shape: Shape, old_at: Collection[int], at: Collection[int]) -> None:
    old, new = Service(shape, 100, role="old"), Service(shape, 100)
    assert kinds(500, old, new, old_at=old_at, at=at) == {"pass": 500}


def test_B4_even_five_seconds_of_breath_held_fail_nothing_where_six_may() -> None:
    rng = dice("breath")
    old, new = Service(constant, 1000, role="old").serve(rng, BAKE), Service(constant, 1000)
    assert bake(old, new.serve(rng, BAKE, range(5)))[0].kind != "fail"
    assert bake(old, new.serve(rng, BAKE, range(BAKE)))[1] == 7  # the seventh second shows that the sixth is complete


def test_B4_errors_that_the_old_release_has_as_well_are_not_held_against_the_new_one() -> None:
    assert judge(plain(3000, 600), plain(1500, 300), LIMITS, over=True).kind == "pass"
    assert judge(plain(3000, 0), plain(1500, 300), LIMITS, over=False).kind == "fail"
    assert judge(None, plain(1500, 300), LIMITS, over=False).kind == "fail"


def test_B4_a_handful_of_old_requests_excuses_no_error() -> None:
    # Of nothing in five requests the bound is 60 %; of three in five it is 97 %.
    for baseline in (plain(5), plain(5, 3), plain(99)):
        assert judge(baseline, plain(1500, 300), LIMITS, over=False).kind == "fail"


# What is not known


@pytest.mark.parametrize("baseline", [None, Sample(), plain(1500), plain(1500, 1500)])
@pytest.mark.parametrize("trial", [Sample(), plain(9), plain(9, 9), plain(99), Sample((Cell(0),))])
def test_fault_42_too_little_traffic_is_inconclusive(baseline: Sample | None, trial: Sample) -> None:
    assert judge(baseline, trial, LIMITS, over=False).kind == "undecided"
    verdict = judge(baseline, trial, LIMITS, over=True)
    assert verdict.kind == "inconclusive"
    usual = " (the old release answered 1,500 in 15 s)" if baseline and baseline.requests else ""
    assert verdict.reasons[0] == f"only {trial.requests} requests; at least 100 are needed{usual}"
    assert all(math.isfinite(figure) for figure in verdict.figures.values())


def test_B4_without_a_baseline_latency_is_not_judged_and_the_verdict_says_so() -> None:
    for baseline, known in ((None, 0), (plain(99), 99)):
        verdict = judge(baseline, plain(1500, milliseconds=9000), LIMITS, over=True)
        assert verdict.kind == "pass"
        assert verdict.reasons == (
            "error rate 0 % (0 of 1,500 requests; at most 5 % allowed)",
            f"p95 latency 9,230 ms not compared: the old release has {known} timed requests, at least 100 are needed",
        )


def test_C2_web_sockets_count_as_requests_that_have_no_latency() -> None:
    sockets = Sample(tuple(Cell(second, 100) for second in range(BAKE)))
    verdict = judge(plain(1500), sockets, LIMITS, over=True)
    assert (verdict.kind, verdict.figures["requests"]) == ("pass", 1500)
    assert "latency_p95" not in verdict.figures


def test_B4_what_is_worse_than_allowed_but_may_be_chance_is_no_pass() -> None:
    errors = judge(plain(1500), plain(150, 13), LIMITS, over=True)
    assert errors.kind == "inconclusive"
    assert errors.reasons == (
        "error rate 8.67 % (13 of 150 requests; at most 5 % allowed, the old release had 0 %): "
        "more than allowed, but too little to be sure",
    )
    latency = judge(plain(1500), plain(400, milliseconds=80), LIMITS, over=True)
    assert latency.kind == "inconclusive"
    assert "4 of 4 s slower" in latency.reasons[0]


def test_B4_little_traffic_is_judged_in_longer_spans() -> None:
    old, new = plain(600, per_second=3), plain(300, per_second=3, milliseconds=80)
    verdict, span = bake(old, new)
    assert verdict.kind == "fail"
    assert span == 25  # six spans of four seconds, and one that shows that the last is complete
    assert "6 of 6 spans of 10 requests or more slower" in verdict.reasons[0]


# What people read


def test_B4_a_failure_is_told_with_its_figures() -> None:
    verdict = judge(plain(3000, 3), plain(1000, 372), LIMITS, over=False)
    assert verdict.reasons == (
        "error rate 37.2 % (372 of 1,000 requests; at most 5 % allowed, the old release had 0.1 %)",
    )
    assert verdict.figures["error_rate"] == 0.372
    slow = judge(plain(1500), plain(1500, milliseconds=82), LIMITS, over=False)
    assert slow.reasons == (
        "p95 latency 85.8 ms, old release 42.9 ms (+100 %, at most +50 % allowed; 14 of 14 s slower)",
    )


def test_B4_the_old_releases_errors_are_told_where_they_are_the_reason() -> None:
    verdict = judge(plain(3000, 240), plain(1500, 120), LIMITS, over=True)
    assert verdict.kind == "pass"
    assert verdict.reasons[0] == (
        "error rate 8 % (120 of 1,500 requests; at most 9.23 % allowed, since the old release had 8 %)"
    )


# What holds for any


CELLS = st.builds(
    lambda requests, failed, buckets: Cell(0, requests + sum(buckets.values()), min(failed, requests), buckets),
    st.integers(0, 200),
    st.integers(0, 200),
    st.dictionaries(st.integers(0, 255), st.integers(0, 200), max_size=5),
)
SAMPLES = st.lists(CELLS, max_size=20).map(lambda cells: Sample(tuple(cells)))
ANY_LIMITS = st.builds(
    Limits,
    max_error_rate=st.floats(0, 1),
    max_latency_increase=st.floats(0, 100),
    min_requests=st.integers(0, 2000),
)


@given(st.none() | SAMPLES, SAMPLES, ANY_LIMITS, st.booleans())
def test_fault_42_any_counts_make_a_verdict(baseline: Sample | None, trial: Sample, limits: Limits, over: bool) -> None:
    verdict = judge(baseline, trial, limits, over=over)
    assert verdict.kind in (("pass", "fail", "inconclusive") if over else ("fail", "undecided"))
    assert verdict.kind != "pass" or trial.requests >= limits.min_requests
    assert verdict.reasons
    assert not any("nan" in reason or "inf" in reason for reason in verdict.reasons)
    assert all(math.isfinite(figure) for figure in verdict.figures.values())


@given(st.integers(1, 3000), st.data(), st.floats(0, 1))
def test_more_errors_never_help(requests: int, data: st.DataObject, allowed: float) -> None:
    fewer, more = sorted((data.draw(st.integers(0, requests)), data.draw(st.integers(0, requests))))
    limits = Limits(max_error_rate=allowed)
    if judge(None, plain(requests, fewer), limits, over=False).kind == "fail":
        assert judge(None, plain(requests, more), limits, over=False).kind == "fail"


@given(st.floats(1, 500), st.floats(1, 500))
def test_a_longer_latency_never_helps(one: float, two: float) -> None:
    shorter, longer = sorted((one, two))
    if judge(plain(1500), plain(1500, milliseconds=shorter), LIMITS, over=True).kind == "fail":
        assert judge(plain(1500), plain(1500, milliseconds=longer), LIMITS, over=True).kind == "fail"

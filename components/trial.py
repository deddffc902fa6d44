"""The settings of analysis and rollout as a specification: how long a release is watched, and by what it is judged."""

from __future__ import annotations

from typing import Protocol

from components.models import Settings
from switchback.judgement import Limits
from switchback.proxies import DRIVERS
from switchback.specs import Analyse, FunctionalTest, Place, Retire, Synthetic, Target


class Due(Protocol):
    """What an agenda says that a trial has to know."""

    @property
    def pointer(self) -> dict[str, str]:
        """Where the traffic goes when the trial is passed."""

    @property
    def way_back(self) -> tuple[str, ...]:
        """What to type when it is not."""


def watched(settings: Settings) -> bool:
    """Whether new releases have to prove themselves: somebody asked for it, and there is a proxy that can tell."""
    return settings.analysis.bake > 0 and settings.proxy.kind in DRIVERS


def shares(settings: Settings) -> tuple[int, ...]:
    """The steps of a gradual rollout, in percent; none where all of the traffic goes at once."""
    steps = settings.rollout.steps
    return steps if watched(settings) and len(steps) > 1 else ()


def analyse(
    settings: Settings,
    place: Place,
    targets: tuple[Target, ...],
    due: Due,
    retire: Retire,
    tests: tuple[FunctionalTest, ...] = (),
) -> Analyse:
    """The specification of the analysis."""
    own = settings.analysis
    return Analyse(
        place=place,
        targets=targets,
        pointer=due.pointer,
        bake=own.bake,
        baseline=own.baseline,
        limits=Limits(
            max_error_rate=own.max_error_rate,
            max_latency_increase=own.max_latency_increase,
            min_requests=own.min_requests,
        ),
        shares=shares(settings),
        synthetic=Synthetic(rate=own.synthetic.rate, paths=own.synthetic.paths) if own.synthetic else None,
        revert_inconclusive=own.on_inconclusive == "revert",
        auto_rollback=settings.auto_rollback,
        retire=retire,
        tests=tests,
        way_back=due.way_back,
    )

"""What a release has to prove under real traffic: the models of the analysis and of the gradual rollout."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components.values import Model, Number, Seconds, UrlPath

# An inconclusive analysis is its own answer; what follows from it is the user's to say.
OnInconclusive = Literal["keep", "revert"]


def _steps(value: tuple[int, ...]) -> tuple[int, ...]:
    if (
        not value
        or value[-1] != 100
        or list(value) != sorted(set(value))
        or not all(1 <= step <= 100 for step in value)
    ):
        raise ValueError("steps are percent of the traffic: from 1 on, rising, the last of them 100")
    return value


class SyntheticSettings(Model):
    """Requests of Switchback's own through the proxy, for a service that has too few of its users'."""

    rate: Number = Field(default=20.0, gt=0, le=1000, description="Requests a second for each service.")
    paths: tuple[UrlPath, ...] = Field(
        default=("/",),
        min_length=1,
        strict=False,
        description="What is asked with GET, in turn, below the first route.",
    )


class AnalysisSettings(Model):
    """After the switch: the new release's errors and latency against those of the one that it replaces."""

    bake: Seconds = Field(
        default=0.0,
        ge=0,
        le=600,
        description="How long each step is watched; a clear case ends sooner. 0 is no analysis; 30s is a good start.",
    )
    baseline: Seconds = Field(
        default=60.0, ge=1, le=840, description="How long before the switch the old release is judged by."
    )
    max_error_rate: Number = Field(
        default=0.05,
        ge=0.001,
        le=0.99,
        description="Share of answers with 500 or more that is allowed; more, where the old release had more.",
    )
    max_latency_increase: Number = Field(
        default=0.5, ge=0.05, le=100, description="By how much p95 may grow: 0.5 is half as long again."
    )
    min_requests: int = Field(
        default=100, ge=10, le=1_000_000, description="With fewer requests the analysis is inconclusive."
    )
    on_inconclusive: OnInconclusive = Field(
        default="keep", description="What then: keep the new release in the traffic, with a warning, or revert."
    )
    synthetic: SyntheticSettings | None = Field(
        default=None, description="Fill in with requests of our own where there are too few; without it, none are sent."
    )


class RolloutSettings(Model):
    """A new release gets a share of the clients first, and more of them step by step."""

    steps: Annotated[tuple[int, ...], AfterValidator(_steps)] = Field(
        default=(100,),
        strict=False,
        description="Percent of the clients at each step, such as 10, 50, 100; analysis.bake passes at each.",
    )

"""An image that is nowhere is built again, from the commit that it was built from."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from switchback.checkout import Checkout, CheckoutFailed, checked_out
from switchback.errors import ProcedureFailed
from switchback.observation import LABEL
from switchback.relay import Relay
from switchback.repository import credentials, shown
from switchback.serving import still_serving
from switchback.specs import Build, Recipe
from switchback.workshop import Workshop

_SHORT = 7  # digits of a commit's short name, as Git's own


def run(spec: Build) -> None:
    """Builds the image of a release, unless it can be had by now.

    Raises:
        ProcedureFailed: with what was tried in which order, what is still serving and what to type next.
        EngineError: when the Engine does not answer.
    """
    if spec.idle:
        return
    engine = Workshop()
    if engine.image_id(spec.image):
        print(f"{spec.image}: is on the Docker host by now", flush=True)
        return
    refusal = engine.registry_refusal(spec.image)
    if not refusal:
        print(f"{spec.image}: is in its registry by now", flush=True)
        return
    where = f"{shown(spec.recipe.repository)} at {spec.recipe.commit}"
    print(f"{spec.image}: is neither on the Docker host nor in its registry; building it from {where}", flush=True)
    relay = Relay(value for value in credentials(spec.recipe.repository) if value)
    began = time.monotonic()
    try:
        with checked_out(spec.recipe.repository, spec.recipe.commit, spec.recipe.timeout) as files:
            print(f"commit {files.commit}", flush=True)
            left = spec.recipe.timeout - (time.monotonic() - began)
            failed = _built(engine, spec, files, relay, left)
    except CheckoutFailed as complaint:
        failed = [f"its commit cannot be had: {complaint}"]
    if failed:
        serving = still_serving(engine, spec.place)
        raise ProcedureFailed("\n".join(_report(spec, refusal, where, failed, serving)))
    print(f"{spec.image}: built in {time.monotonic() - began:.0f} s", flush=True)


def _built(engine: Workshop, spec: Build, files: Checkout, relay: Relay, within: float) -> list[str]:
    """Builds it; why it failed, and the last lines of the build, or nothing."""
    if complaint := _outside(files.path, spec.recipe):
        return [complaint]
    failure = engine.build(
        files.path / spec.recipe.context,
        dockerfile=spec.recipe.dockerfile,
        tag=spec.image,
        args={**spec.recipe.args, "GIT_COMMIT": files.commit, "GIT_SHORT_COMMIT": files.commit[:_SHORT]},
        labels={f"{LABEL}commit": files.commit},
        within=max(1.0, within),
        on_output=relay.feed,
    )
    if not failure:
        return []
    relay.close()
    last = [f"  Last {len(relay.last)} lines of the build:", *(f"    | {line}" for line in relay.last)]
    return [f"the build failed: {failure}", *(last if relay.last else [])]


def _outside(tree: Path, recipe: Recipe) -> str:
    """What is wrong with the paths, which a link in the repository may lead anywhere; empty when nothing is."""
    top, context = tree.resolve(), (tree / recipe.context).resolve()
    dockerfile = (context / recipe.dockerfile).resolve()
    if not (context.is_dir() and context.is_relative_to(top)):
        return f"there is no directory {recipe.context} in that commit"
    if not (dockerfile.is_file() and dockerfile.is_relative_to(context)):
        return f"there is no file {recipe.dockerfile} in {recipe.context} of that commit"
    return ""


def _report(spec: Build, refusal: str, where: str, failed: list[str], serving: str) -> Iterable[str]:
    yield f"Image {spec.image} cannot be had, so {spec.target.label} was not made. Tried, in this order:"
    yield "  the Docker host: has no image of that name"
    yield f"  its registry: {refusal}"
    yield f"  building it from {where}: {failed[0]}"
    yield from failed[1:]
    yield serving
    if spec.way_back:
        yield "What to type next:"
        yield from (f"  {line}" for line in spec.way_back)

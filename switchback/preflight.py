"""What is known to fail before anything is touched: images that are nowhere, ports that are taken. Read-only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from switchback.docker_host import Engine
from switchback.observation import Observation
from switchback.observe import port_holder
from switchback.repository import shown
from switchback.specs import Recipe, Target


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """Where images are that things are going to be made from; sentences by the key path that asks for the image."""

    problems: dict[str, str]  # it cannot be had
    to_build: dict[str, str]  # it is nowhere, but it is known how it is built
    missing: frozenset[str]  # images that the Docker host does not have, wherever else they are


def look_for_images(engine: Engine, wanted: Mapping[str, str], recipes: Mapping[str, Recipe]) -> Images:
    """Looks for images on the Docker host, and for those that it does not have in their registries.

    Args:
        engine: The Docker Engine.
        wanted: Configuration key path to the image that it asks for.
        recipes: Image to how it is built.
    """
    missing = frozenset(reference for reference in set(wanted.values()) if not engine.image_id(reference))
    refused = {reference: engine.registry_refusal(reference) for reference in sorted(missing)}
    problems, to_build = {}, {}
    for key, reference in wanted.items():
        if not refused.get(reference):
            continue
        nowhere = f"image {reference} is neither on the Docker host nor in its registry ({refused[reference]})"
        service = key.partition(" of ")[2].removesuffix("/image")
        if recipe := recipes.get(reference):
            to_build[key] = f"{nowhere}, and would be built from {shown(recipe.repository)} at {recipe.commit}"
        else:
            unsaid = f", and {service}/build does not say how to build it" if service else ""
            problems[key] = f"{key}: {nowhere}{unsaid}"
    return Images(problems=problems, to_build=to_build, missing=missing)


def image_labels(engine: Engine, references: Iterable[str]) -> dict[str, dict[str, str]]:
    """Image to its labels, of those that the Docker host has."""
    found = {reference: engine.image_labels(reference) for reference in sorted(references)}
    return {reference: labels for reference, labels in found.items() if labels is not None}


def moved_tags(engine: Engine, seen: Observation, made_from: Mapping[Target, str]) -> list[str]:
    """Which tags name another image by now than the one that a release was made from, a sentence each.

    Args:
        engine: The Docker Engine.
        seen: The containers as they are.
        made_from: Declared release to its image, by name and tag.
    """
    there = {target: reference for target, reference in made_from.items() if target.container in seen.containers}
    now = engine.image_ids(there.values())
    sentences = []
    for target, reference in there.items():
        pinned = seen.containers[target.container].image_id
        if now.get(reference, pinned) != pinned:
            sentences.append(
                f"tag {reference} moved: {target.label} was made from image {_short(pinned)} and stays so, the tag now"
                f" names {_short(now[reference])}. To release that, raise slots.{target.slot}.revision"
            )
    return sentences


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def port_problem(engine: Engine, seen: Observation, proxy: str, address: str, port: int) -> str:
    """Why the proxy cannot publish its port; empty when it can, or does already."""
    own = seen.containers.get(proxy)
    if own and any(published == port for _, published in own.ports):
        return ""
    if proxy in seen.strangers and proxy in (name for (_, held), name in seen.foreign_ports.items() if held == port):
        return ""  # it goes when the proxy is made again
    holder = port_holder(engine, seen, address, port)
    if not holder:
        return ""
    return f"proxy/httpPort: port {port} of the Docker host is taken by {holder}; set another, or stop that one"

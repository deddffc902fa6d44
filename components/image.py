"""Image: what a release is made from is on the Docker host, though neither the host nor a registry had it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.models import Settings
from components.procedure import procedure
from components.targets import image_of
from switchback.repository import credentials
from switchback.specs import Build, Place, Recipe, Target, encode


@dataclass(frozen=True, kw_only=True)
class ImageArgs:
    """Which image, for which release, and whether it has to be built."""

    place: Place
    target: Target
    reference: str  # name and tag
    recipe: Recipe
    due: str | None  # it is nowhere
    after: Sequence[pulumi.Resource]
    way_back: tuple[str, ...] = ()


class Image(pulumi.ComponentResource):
    """Built from its commit, when it is due; whoever needs the image waits for the command."""

    command: local.Command

    def __init__(self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Image", name, {}, opts)
        build = Build(
            place=args.place,
            target=args.target,
            image=args.reference,
            recipe=args.recipe,
            idle=args.due is None,
            way_back=args.way_back,
        )
        secret = any(credentials(args.recipe.repository))
        self.command = procedure(
            f"{name}-build",
            "build",
            pulumi.Output.secret(encode(build)) if secret else encode(build),
            due=args.due,
            parent=self,
            depends_on=args.after,
        )
        self.register_outputs({"said": self.command.stdout})


def recipe_of(settings: Settings, target: Target) -> Recipe | None:
    """How the image of a release is built, if its service says so."""
    build = settings.services[target.service].build
    if build is None:
        return None
    return Recipe(
        repository=build.repository,
        commit=build.commit.replace("{tag}", target.version),
        context=build.context,
        dockerfile=build.dockerfile,
        args=build.args,
        timeout=build.timeout,
    )


def recipes(settings: Settings, targets: Sequence[Target]) -> dict[str, Recipe]:
    """Image, by name and tag, to how it is built: those of these releases that can be."""
    found = {image_of(settings, target): recipe_of(settings, target) for target in targets}
    return {reference: recipe for reference, recipe in found.items() if recipe}

"""Service: what is the same for a service's releases in either slot."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.image import Image, ImageArgs, recipe_of
from components.models import Settings
from components.slot import Slot, SlotArgs
from components.targets import image_of, made_from
from switchback.specs import Place, Target


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Where the service lives."""

    environment: str
    settings: Settings
    network: pulumi.Input[str]
    database_url: pulumi.Input[str] | None
    place: Place
    to_build: Mapping[str, str]  # container to why its image has to be built
    images_missing: Collection[str]  # images of releases to be made that the Docker host does not have
    way_back: tuple[str, ...]


class Service(pulumi.ComponentResource):
    """One service; its releases are declared one by one, in the order that the Deployment needs."""

    slots: dict[str, Slot]

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Service", name, {}, opts)
        self.name, self.args, self.slots = name, args, {}
        self.register_outputs({"name": name})

    def release(self, target: Target, *, started: bool, after: Sequence[pulumi.Resource]) -> Slot:
        """Declares a release of this service, to be made when `after` is done."""
        settings = self.args.settings
        slot = settings.slots[target.slot]  # type: ignore[index]
        reference, image = image_of(settings, target), None
        if recipe := recipe_of(settings, target):
            image = Image(
                f"{self.name}-{target.slot}-image",
                ImageArgs(
                    place=self.args.place,
                    target=target,
                    reference=reference,
                    recipe=recipe,
                    due=self.args.to_build.get(target.container),
                    after=after,
                    way_back=self.args.way_back,
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.slots[target.slot] = Slot(
            f"{self.name}-{target.slot}",
            SlotArgs(
                environment=self.args.environment,
                target=target,
                service=settings.services[self.name],
                slot_env=slot.env,
                made_from=json.dumps(made_from(settings, self.name, target.slot), sort_keys=True),  # type: ignore[arg-type]
                network=self.args.network,
                database_url=self.args.database_url,
                started=started,
                after=after,
                image=image,
                image_missing=reference in self.args.images_missing,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return self.slots[target.slot]

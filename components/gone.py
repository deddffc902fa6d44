"""What is gone from Docker, or was replaced there, is made again, though Pulumi believes that it is there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_docker as docker

from components.leftovers import CONTAINER
from components.names import part_name
from components.targets import Declared
from switchback.observation import IMAGE, MARK, PARTS, Observation, Seen


def remake_what_is_gone(seen: Mapping[str, Seen]) -> None:
    """Replaces, from the settings of now, every declared container that is not there.

    Each container carries a mark that is used once. One that is there is declared with the mark that it has, and one
    that is not with a new mark, which is a change that no `ignore_changes` may hide. It also carries the image that
    it is made from, for a container that has the mark and another image is not the one that was made.

    Args:
        seen: The environment's containers, by name.
    """

    def mark(resource: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if resource.type_ != CONTAINER:
            return None
        given: dict[str, Any] = dict(resource.props)
        held = seen.get(given["name"])
        new = {MARK: uuid.uuid4().hex[:12], IMAGE: given["image"]}
        # What an older version made lacks the one or the other, and for a label alone nothing is made anew.
        values = new if held is None else {IMAGE: given["image"], MARK: held.labels.get(MARK, "")}
        own = [
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in values.items()
            if held is None or label in held.labels
        ]
        given["labels"] = sorted([*given["labels"], *own], key=lambda label: str(label.label))
        if held is None:
            resource.opts.ignore_changes = None
        return pulumi.ResourceTransformationResult(given, resource.opts)

    pulumi.runtime.register_stack_transformation(mark)


def taken_names(seen: Observation, environment: str, releases: Declared) -> list[str]:
    """What an update does about containers that were put in the place of its own, a sentence each."""
    serving = {container: service for service, container in seen.pointed().items()}
    names = [part_name(environment, part) for part in sorted(PARTS)]
    names += [target.container for target in (*releases.desired, *releases.standby)]
    sentences = []
    for name in names:
        if name in seen.strangers:
            cost = f"; until it runs, no request to {serving[name]} can be answered" if name in serving else ""
            cost = "; until it runs, no request can be answered" if name == part_name(environment, "proxy") else cost
            sentences.append(
                f"{name} was replaced by hand: {seen.strangers[name]}. An update renames that container to"
                f" {name}-replaced-TIME, keeps it, stopped, for inspection, and makes {name} again{cost}"
            )
    return sentences

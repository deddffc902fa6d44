"""What is done in Docker before anything is made there, however its component declares it."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

CONTAINER, NETWORK = "docker:index/container:Container", "docker:index/network:Network"


def before_making(kinds: dict[str, Callable[[str], None]]) -> None:
    """Has a function called with the name of each thing that is about to be made, because the state has none.

    The program can't see the state, so it can't know beforehand; a hook is run at the only moment when it is sure.

    Args:
        kinds: Type token to the function. It runs in an update, not in a preview; an error of its fails the resource.
    """

    def make_room(making: pulumi.ResourceHookArgs) -> None:
        kinds[making.type]((making.new_inputs or {})["name"])

    binding = pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook("make-room", make_room)])

    def bind(resource: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if resource.type_ not in kinds:
            return None
        opts = pulumi.ResourceOptions.merge(resource.opts, pulumi.ResourceOptions(hooks=binding))
        return pulumi.ResourceTransformationResult(resource.props, opts)

    pulumi.runtime.register_stack_transformation(bind)

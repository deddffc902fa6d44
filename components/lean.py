"""What an update of many services does not have to wait for. It changes nothing about what is declared."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
from pulumi.runtime.settings import SETTINGS, _get_rpc_manager

from components.leftovers import CONTAINER


def keep_lean() -> None:
    """To be called once, before anything is declared.

    With 20 services in two slots, the program takes less than a third of the time (`noop-20` in bench/).
    """
    # The SDK tells the engine five times a resource what it is about to do, and waits each time. The engine shows it
    # under `pulumi up --debug` alone, where the engine's own messages say the same.
    pulumi.log.debug = _unheard
    pulumi.runtime.register_stack_transformation(_given_only)
    _get_rpc_manager().rpcs.append(asyncio.ensure_future(_settle()))


async def _settle() -> None:
    """Waits for all outputs at once, or the first that fails, which the SDK then reports.

    The SDK itself begins anew with each that is there, so the time it takes grows with their number's square.
    """
    while True:
        with SETTINGS.lock:
            pending = [output for output in SETTINGS.outputs if not output.done()]
        if not pending:
            return
        done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        if any(output.cancelled() or output.exception() for output in done):
            return


def _unheard(*_words: Any, **_more: Any) -> None:
    pass


def _given_only(resource: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """A container has some ninety outputs, each a task of its own to wait for; nobody asks for what was not given."""
    if resource.type_ != CONTAINER:
        return None
    given = {name: value for name, value in dict(resource.props).items() if value is not None}
    return pulumi.ResourceTransformationResult(given, resource.opts)

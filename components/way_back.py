"""The way back: what to type when an update fails, so that the declaration says again what serves. Pure."""

from __future__ import annotations

import re

from components.models import Settings
from components.targets import Declared
from switchback.observation import Observation, Seen
from switchback.specs import Target

_SET = "pulumi config set --path {}"


def way_back(settings: Settings, declared: Declared, seen: Observation) -> tuple[str, ...]:
    """What to type when the new release fails: declare again what serves, or try again."""
    pointed = {service: seen.containers.get(container) for service, container in seen.pointed().items()}
    coming = [t for t in declared.desired if t.container != getattr(pointed.get(t.service), "name", "")]
    # One activeSlot can take all back only to one slot.
    followers = [pointed.get(t.service) for t in declared.desired if not settings.services[t.service].active_slot]
    together = len({held.label("slot") for held in followers if held}) == 1
    back = [line for t in coming if (held := pointed.get(t.service)) for line in _declare(settings, t, held, together)]
    anew = [f"slots.{t.slot}.revision {settings.slots[t.slot].revision + 1}" for t in coming]  # type: ignore[index]
    return (
        *([_line([*back, "pulumi up"], "declare what serves")] if back else []),
        _line(["pulumi up"], "try again, when the cause is mended"),
        *([_line([*map(_SET.format, anew), "pulumi up"], "the same with changed settings")] if anew else []),
    )


def _line(commands: list[str], why: str) -> str:
    return f"{' && '.join(dict.fromkeys(commands))}   # {why}"


def _declare(settings: Settings, target: Target, held: Seen, together: bool) -> list[str]:
    """What makes the declaration of a service be what serves it."""
    slot, tag = held.label("slot"), held.label("tag")
    if not (slot and tag):
        return []  # no release: someone pointed the proxy at another container by hand
    commands = []
    if slot != target.slot and together and not settings.services[target.service].active_slot:
        commands.append(f"pulumi config set activeSlot {slot}")
    elif slot != target.slot:
        commands.append(_SET.format(f"services.{target.service}.activeSlot {slot}"))
    now = next((own for name, own in settings.slots.items() if name == slot), None)
    if now is None or now.image_tag != tag:
        commands.append(_SET.format(f"slots.{slot}.imageTag {tag}"))
    suffix = re.fullmatch(rf"{re.escape(tag)}-r([0-9]+)", held.label("release"))
    revision = int(suffix[1]) if suffix else 1
    if revision != (now.revision if now else 1):
        commands.append(_SET.format(f"slots.{slot}.revision {revision}"))
    return commands

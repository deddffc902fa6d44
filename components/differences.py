"""What a release runs with, against what the configuration says now. Pure.

A release is made once, from the settings of that hour, so the two may differ for a good reason: a rollback brings
back what was. They must only not differ unseen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from components.models import Settings
from components.targets import Declared, made_from, made_with, settings_digest
from switchback.observation import Observation, Seen
from switchback.specs import Target

_SHOWN = 10  # differences named in a sentence
_WIDTH = 60  # characters of a value


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One release that runs with other settings than the configuration says."""

    target: Target
    active: bool  # it has the traffic, or is declared to have it
    sentence: str


def secret_names(settings: Settings, declared: Declared, seen: Observation) -> dict[str, list[str]]:
    """Which secret variables are to be compared with what a container holds: container to names, without values."""
    wanted = {
        target.container: sorted(settings.services[target.service].secret_env)
        for target in (*declared.desired, *declared.standby)
        if target.container in seen.containers
    }
    return {container: names for container, names in wanted.items() if names}


def differences(
    settings: Settings, declared: Declared, seen: Observation, held: Mapping[str, Mapping[str, str]]
) -> list[Difference]:
    """Names the differences between releases that are there and the configuration.

    Args:
        settings: The configuration.
        declared: The releases that it declares.
        seen: The containers as they are.
        held: The values of secret variables, by container and name; they are compared, and never shown.
    """
    found = []
    for target in (*declared.desired, *declared.standby):
        container = seen.containers.get(target.container)
        if container and (what := _what_differs(settings, target, container, held.get(target.container, {}))):
            revision = settings.slots[target.slot].revision + 1  # type: ignore[index]
            how = f"pulumi config set --path slots.{target.slot}.revision {revision} && pulumi up"
            sentence = f"{target.label} {what}. To release that: {how}"
            found.append(Difference(target=target, active=target in declared.desired, sentence=sentence))
    return found


def _what_differs(settings: Settings, target: Target, container: Seen, held: Mapping[str, str]) -> str:
    now = made_from(settings, target.service, target.slot)  # type: ignore[arg-type]
    then = made_with(container)
    secrets = settings.services[target.service].secret_env
    if then is None:
        digest = container.label("settings")
        other = digest not in ("", settings_digest(settings, target.service, target.slot))  # type: ignore[arg-type]
        changed = sorted(name for name, value in held.items() if value != secrets[name].get_secret_value())
        which = f" (secretEnv: {', '.join(changed)})" if changed else ""
        return f"was made from other settings than the configuration says now{which}" if other or changed else ""
    before, after = dict(_flat(then)), dict(_flat(now))
    for name in sorted(secrets):
        key = f"secretEnv.{name}"
        if key in before and key in after and name in held and held[name] != secrets[name].get_secret_value():
            after[key] = "[another secret]"
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if not changed:
        return ""
    return f"runs with {_listed(before, changed)}; the configuration says {_listed(after, changed)}"


def _flat(made: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings by key path, from the service on; what is not set is left out."""
    for key, value in made.items():
        if key == "secretEnv":
            yield from ((f"secretEnv.{name}", "[secret]") for name in value)
        elif isinstance(value, dict):
            yield from ((f"{key}.{inner}", held) for inner, held in value.items())
        elif value not in (None, []):
            yield key, value


def _listed(values: Mapping[str, Any], keys: list[str]) -> str:
    named = [f"{key}={_shown(key, values[key])}" if key in values else f"no {key}" for key in keys[:_SHOWN]]
    more = len(keys) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def _shown(key: str, value: Any) -> str:
    if key == "resources.memory" and isinstance(value, int) and value % (1 << 20) == 0:
        return f"{value >> 20}m"
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"

"""The settings as releases: which release of which service is declared for which slot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from components.models import Settings
from components.names import container_name, part_name, release_name
from components.values import SlotName
from switchback.observation import Observation, Seen
from switchback.specs import Probe, Route, Target


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The releases of an environment: those that shall take the traffic, and those that wait."""

    desired: tuple[Target, ...]
    standby: tuple[Target, ...]


def declared(settings: Settings, environment: str) -> Declared:
    """All releases that the settings declare. A slot without a tag has none."""
    desired = [_target(settings, environment, name, settings.slot_of(name)) for name in settings.services]
    standby = [
        _target(settings, environment, name, settings.standby_of(name))
        for name in settings.services
        if settings.standby_of(name) in settings.slots
    ]
    return Declared(desired=tuple(desired), standby=tuple(standby))


def _target(settings: Settings, environment: str, service: str, slot: SlotName) -> Target:
    own, held = settings.services[service], settings.slots[slot]
    release = release_name(held.image_tag, held.revision)
    return Target(
        service=service,
        slot=slot,
        release=release,
        version=held.image_tag,
        container=container_name(environment, service, slot, release),
        port=own.port,
        routes=tuple(Route(host=route.host or "", path=route.path) for route in own.routes),
        probe=Probe(
            path=own.health.path,
            passes=own.health.passes,
            interval=own.health.interval,
            timeout=own.health.timeout,
            expect_version=own.health.expect_version,
            steady=own.health.steady,
        ),
        pids=own.resources.pids,
    )


def wanted_images(settings: Settings, environment: str, targets: Iterable[Target], seen: Observation) -> dict[str, str]:
    """The images that have to be had before containers can be made: where the key is, and the image.

    A release whose container exists needs none: the way back must not depend on a registry.
    """
    own = {
        "toolbox": ("toolbox/image", settings.toolbox.image),
        "proxy": ("proxy/image", settings.proxy.image_ref),
        "database": ("database/image", settings.database.image if settings.database.embedded else ""),
    }
    wanted = {
        key: image
        for part, (key, image) in own.items()
        if image and part_name(environment, part) not in seen.containers
    }
    for target in targets:
        if target.container not in seen.containers:
            wanted[image_key(target)] = image_of(settings, target)
    return wanted


def image_of(settings: Settings, target: Target) -> str:
    """The image that a release would be made from now, by name and tag."""
    return f"{settings.services[target.service].image}:{target.version}"


def image_key(target: Target) -> str:
    """The key path of a release's image: its name is the service's, its tag the slot's."""
    return f"slots/{target.slot}/imageTag of services/{target.service}/image"


# What of a service's settings its containers are made from; the rest counts outside of them.
_MADE_FROM = {"image", "port", "command", "user", "read_only", "capabilities", "mounts", "resources"}


def made_from(settings: Settings, service: str, slot: SlotName) -> dict[str, Any]:
    """What a release of this service would be made from now, by key; of secrets, the names alone."""
    own = settings.services[service]
    made: dict[str, Any] = own.model_dump(mode="json", by_alias=True, include=_MADE_FROM)
    made["env"] = {**own.env, **settings.slots[slot].env}
    secret = {*own.secret_env, *(["DATABASE_URL"] if settings.database.embedded or settings.database.url else [])}
    made["secretEnv"] = sorted(secret - made["env"].keys())
    return made


def made_with(container: Seen) -> dict[str, Any] | None:
    """What a release's container says that it was made from; None for one of an older version, which has a digest."""
    try:
        made = json.loads(container.label("settings"))
    except ValueError:
        return None
    return made if isinstance(made, dict) else None


def as_made(releases: Declared, seen: Observation) -> Declared:
    """The releases, with what belongs to one that is there already as it was when that was made."""

    def own(target: Target) -> Target:
        container = seen.containers.get(target.container)
        made = made_with(container) if container else None
        if made is None:
            return target
        pids = made.get("resources", {}).get("pids", target.pids)
        return msgspec.structs.replace(target, port=made.get("port", target.port), pids=pids)

    return Declared(desired=tuple(map(own, releases.desired)), standby=tuple(map(own, releases.standby)))


def settings_digest(settings: Settings, service: str, slot: SlotName) -> str:
    """What older versions wrote in place of the settings themselves."""
    other = {"secret_env", "active_slot", "routes", "health", "build"}
    own = settings.services[service].model_dump(mode="json", exclude=other)
    own["secretEnv"] = sorted(settings.services[service].secret_env)
    own["slotEnv"] = settings.slots[slot].env
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:12]

"""Drift: how what was seen differs from what is declared, each difference as a sentence. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from components.models import Settings
from switchback.observation import Observation, pointed_in
from switchback.proxies import DRIVERS
from switchback.specs import Target


def trouble(seen: Observation, container: str) -> str | None:
    """What is wrong with a container that has to run, or None."""
    held = seen.containers.get(container)
    if container in seen.strangers:
        return f"{container} was replaced by hand: {seen.strangers[container]}"
    if held is None:
        return f"{container} does not exist"
    if held.status != "running":
        return f"{container} is {held.status}"
    if seen.restarted(container):
        moment = datetime.fromtimestamp(held.restarted_at, UTC)
        return f"{container} was restarted at {moment:%Y-%m-%d %H:%M:%S} UTC, after the last verified switch"
    return None


def down(desired: tuple[Target, ...], seen: Observation) -> str | None:
    """What is wrong with the releases that shall have the traffic, or None."""
    return "; ".join(why for target in desired if (why := trouble(seen, target.container))) or None


def unsettled(seen: Observation) -> str | None:
    """Proxy and database: what was verified with them was so before they were stopped, or started again."""
    proxy, database = seen.part("proxy"), seen.part("database")
    parts = [proxy.name] if proxy and seen.restarted(proxy.name) else []
    parts += [database.name] if database else []
    return "; ".join(why for name in parts if (why := trouble(seen, name))) or None


def astray(kind: str, config: tuple[str, str], seen: Observation) -> str | None:
    """Why the proxy does not run the configuration that is declared, as far as could be seen."""
    (digest, text), links, proxy = config, seen.links, seen.part("proxy")
    if proxy is None and (taken := [name for name in seen.strangers if name.endswith("-proxy")]):
        return trouble(seen, taken[0])
    if proxy is None and links.config_verified:
        return "the proxy does not exist"
    if proxy and proxy.status != "running":
        return f"the proxy is {proxy.status}"
    if not links.has_config(digest):
        return f"configuration {digest} is declared, {links.config_verified or 'none'} runs"
    if links.edited(DRIVERS[kind].FILENAME, text):
        return f"the file of configuration {digest} was edited by hand"
    if links.running not in (None, digest):
        return f"configuration {digest} is declared, the proxy runs {links.running or 'one that is not ours'}"
    return None


def misdirected(pointer: dict[str, str], seen: Observation) -> str | None:
    """Where the traffic is, against where it should be; None when it is there, and that was verified."""
    if seen.links.points_to(pointer):
        return None
    wanted, pointed = pointed_in(pointer), seen.pointed()
    moves = [
        f"{service} is on {pointed.get(service) or 'nothing'}, declared on {container}"
        for service, container in sorted(wanted.items())
        if pointed.get(service) != container
    ]
    gone = [
        f"{service} is on {pointed[service]}, declared nowhere" for service in sorted(pointed.keys() - wanted.keys())
    ]
    taken_back = [
        f"{container} was taken back: {'; '.join(held.reasons)}"
        for container, held in seen.record.reverted.items()
        if container in wanted.values()
    ]
    edited = "the pointer was edited by hand" if seen.links.current != pointer else ""
    return "; ".join([*moves, *gone, *taken_back]) or edited or "the last switch was never verified"


def turned_away(settings: Settings, seen: Observation) -> str | None:
    """Why maintenance has to be turned on or off; where there is no proxy, there is nobody to do so."""
    on, declared_on = seen.links.maintenance, settings.maintenance.enabled
    if on == declared_on or settings.proxy.kind not in DRIVERS:
        return None
    return "maintenance is on, declared off" if on else "maintenance is off, declared on"

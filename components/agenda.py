"""What has to be done: the difference between what is declared and what was seen. Pure."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

import msgspec

from components.maintenance import feature
from components.models import Settings
from components.targets import Declared
from components.trial import shares, watched
from switchback.observation import LABEL, Observation, Seen, pointed_in
from switchback.proxies import DRIVERS, caddy
from switchback.specs import Features, Target

PASSAGE = 60.0  # seconds that a proxy gives what is in flight between a reload and the end of the switch


class Agenda(msgspec.Struct, frozen=True, kw_only=True):
    """What is due, each as the reason that the preview shows, or None when it is in order."""

    gate: str | None
    configure: str | None
    switch: str | None
    analysis: str | None
    trial: bool  # the switch, if it is due, begins one
    returning: bool  # the switch, if it is due, goes to releases that all have proved themselves
    warm: str | None
    maintenance: str | None
    pointer: dict[str, str]
    config: tuple[str, str]  # digest and text of the configuration that is declared; empty without a proxy
    bridge: tuple[str, str]  # the same, with room for what has the traffic now; equal to config where it has
    retiring: tuple[str, ...]  # containers that have traffic now and are declared no more
    lately: tuple[str, ...]  # containers that had it a moment ago and are declared no more
    lately_for: float  # seconds that these may still be busy
    way_back: tuple[str, ...]


def agenda(settings: Settings, declared: Declared, seen: Observation) -> Agenda:
    """Compares declaration and observation."""
    kind = settings.proxy.kind
    driver = DRIVERS.get(kind, caddy)
    pointer = driver.pointer(declared.desired)
    known = {target.container for target in (*declared.desired, *declared.standby)}
    leaving = [target for target in _pointed_targets(declared, seen) if target.container not in known]
    config = bridge = ("", "")
    if kind in DRIVERS:
        config = _config(settings, (*declared.desired, *declared.standby))
        bridge = _config(settings, (*declared.desired, *declared.standby, *leaving))

    down = _down(declared.desired, seen)
    turned = None if seen.links.points_to(pointer) else _turn(pointer, seen)
    gate = turned or down
    configure = _astray(kind, config, seen) if kind in DRIVERS else None
    overtime = [t.container for t in declared.standby if not t.routes and seen.running(t.container)]
    late = f"{', '.join(overtime)} still runs in the standby slot" if overtime else None
    left = settings.proxy.drain - (seen.now - seen.links.verified_at) if seen.now and seen.links.verified_at else 0.0
    lately = _lately(declared, seen, known | {target.container for target in leaving}) if left > 0 else []
    busy = f"{', '.join(lately)} had the traffic a moment ago and goes" if lately else None
    due = "; ".join(why for why in (gate, _unsettled(seen)) if why) or configure or late or busy
    fresh = _unproved(settings, declared, seen)
    # What was cut short is watched again; where the switch has to be made anew, that begins the trial.
    pending = (
        f"{', '.join(fresh)} has the traffic, and has not proved itself" if not due and seen.record.trial else None
    )
    cold = [
        target.label
        for target in declared.standby
        if target.container not in seen.containers and target.container not in seen.strangers
    ]
    asleep = [
        f"{target.container} is {held.status}"
        for target in declared.standby
        # One that Docker starts again and again is broken, and no news: it would be waited for with every update.
        if target.routes and (held := seen.containers.get(target.container)) and held.status in ("exited", "paused")
    ]
    taken = [why for t in declared.standby if t.container in seen.strangers and (why := trouble(seen, t.container))]
    new = [f"{', '.join(cold)} is new in the standby slot"] if cold else []
    return Agenda(
        gate=gate,
        configure=configure,
        switch=due,
        analysis=f"{', '.join(fresh)} has to prove itself" if due and fresh else pending,
        trial=bool(fresh),
        returning=all(target.container in seen.record.accepted for target in declared.desired),
        warm="; ".join([*new, *asleep, *taken]) or None,
        maintenance=_turned_away(settings, seen),
        pointer=pointer,
        config=config,
        bridge=bridge,
        retiring=tuple(target.container for target in leaving if target.routes),
        lately=tuple(lately),
        lately_for=left,
        way_back=_way_back(settings, declared, seen),
    )


def _turned_away(settings: Settings, seen: Observation) -> str | None:
    """Why maintenance has to be turned on or off; where there is no proxy, there is nobody to do so."""
    on, declared_on = seen.links.maintenance, settings.maintenance.enabled
    if on == declared_on or settings.proxy.kind not in DRIVERS:
        return None
    return "maintenance is on, declared off" if on else "maintenance is off, declared on"


def _config(settings: Settings, targets: tuple[Target, ...]) -> tuple[str, str]:
    """Digest and text of a proxy's configuration; the text names its own digest, so it is made in two steps."""
    driver = DRIVERS[settings.proxy.kind]
    # A proxy counts from its reload, which comes before the switch; a release is drained from its end on.
    drain = settings.proxy.drain + PASSAGE + settings.analysis.bake * len(settings.rollout.steps)
    features = Features(
        meter=watched(settings), shares=bool(shares(settings)), maintenance=feature(settings.maintenance)
    )
    digest = hashlib.sha256(driver.config(targets, "", drain, features).encode()).hexdigest()[:12]
    return digest, driver.config(targets, digest, drain, features)


def _pointed_targets(declared: Declared, seen: Observation) -> list[Target]:
    """What has the traffic now, as targets, so far as it exists and is of a service that is still declared.

    What had it before a trial that is not over may get it back, so it is with them.
    """
    by_service = {target.service: target for target in declared.desired}
    found = []
    before = pointed_in(seen.record.trial.before) if seen.record.trial else {}
    for service, container in dict.fromkeys([*seen.pointed().items(), *before.items()]):
        like, held = by_service.get(service), seen.containers.get(container)
        if like and held:
            slot, release = held.labels.get(f"{LABEL}slot", ""), held.labels.get(f"{LABEL}release", "")
            found.append(msgspec.structs.replace(like, container=container, slot=slot, release=release))
    return found


def _lately(declared: Declared, seen: Observation, known: set[str]) -> list[str]:
    """Releases of routed services that run, have no traffic, and are going to be removed."""
    routed = {target.service for target in declared.desired if target.routes}
    pointed = seen.pointed().values()
    return sorted(
        name
        for name, held in seen.containers.items()
        if held.labels.get(f"{LABEL}service") in routed
        and held.status == "running"
        and name not in known
        and name not in pointed
    )


def _unproved(settings: Settings, declared: Declared, seen: Observation) -> list[str]:
    """The routed releases that an analysis has to watch: they have not had all of the traffic and done well before.

    What has is a way back, and a way back is not delayed. Where nothing had the traffic before, there is nothing to
    compare with and nothing to go back to.
    """
    if not watched(settings):
        return []
    before = seen.record.trial.before if seen.record.trial else seen.links.current
    return [
        target.label
        for target in declared.desired
        if target.routes
        and target.container not in seen.record.accepted
        and pointed_in(before).get(target.service, target.container) != target.container
    ]


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


def _down(desired: tuple[Target, ...], seen: Observation) -> str | None:
    return "; ".join(why for target in desired if (why := trouble(seen, target.container))) or None


def _unsettled(seen: Observation) -> str | None:
    """Proxy and database: what was verified with them was so before they were stopped, or started again."""
    proxy, database = seen.part("proxy"), seen.part("database")
    parts = [proxy.name] if proxy and seen.restarted(proxy.name) else []
    parts += [database.name] if database else []
    return "; ".join(why for name in parts if (why := trouble(seen, name))) or None


def _astray(kind: str, config: tuple[str, str], seen: Observation) -> str | None:
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


def _turn(pointer: dict[str, str], seen: Observation) -> str:
    """Where the traffic is, against where it should be."""
    wanted = {file.partition("@")[0]: address.partition(":")[0] for file, address in pointer.items()}
    pointed = seen.pointed()
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
    return "; ".join([*moves, *gone, *taken_back]) or "the last switch was never verified"


def _way_back(settings: Settings, declared: Declared, seen: Observation) -> tuple[str, ...]:
    """What to type when the new release fails: declare again what serves, or try again."""
    pointed = {service: seen.containers.get(container) for service, container in seen.pointed().items()}
    coming = [t for t in declared.desired if t.container != getattr(pointed.get(t.service), "name", "")]
    # One activeSlot can take all back only to one slot.
    followers = [pointed.get(t.service) for t in declared.desired if not settings.services[t.service].active_slot]
    together = len({held.labels.get(f"{LABEL}slot") for held in followers if held}) == 1
    back = [line for t in coming if (held := pointed.get(t.service)) for line in _declare(settings, t, held, together)]
    anew = [f"slots.{t.slot}.revision {settings.slots[t.slot].revision + 1}" for t in coming]  # type: ignore[index]
    return (
        *([_line([*back, "pulumi up"], "declare what serves")] if back else []),
        _line(["pulumi up"], "try again, when the cause is mended"),
        *([_line([*map(_SET.format, anew), "pulumi up"], "the same with changed settings")] if anew else []),
    )


_SET = "pulumi config set --path {}"


def _line(commands: list[str], why: str) -> str:
    return f"{' && '.join(dict.fromkeys(commands))}   # {why}"


def _declare(settings: Settings, target: Target, held: Seen, together: bool) -> list[str]:
    """What makes the declaration of a service be what serves it."""
    label = {key: held.labels.get(f"{LABEL}{key}", "") for key in ("slot", "release", "tag")}
    slot, tag = label["slot"], label["tag"]
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
    suffix = re.fullmatch(rf"{re.escape(tag)}-r([0-9]+)", label["release"])
    revision = int(suffix[1]) if suffix else 1
    if revision != (now.revision if now else 1):
        commands.append(_SET.format(f"slots.{slot}.revision {revision}"))
    return commands

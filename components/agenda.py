"""What has to be done: the difference between what is declared and what was seen. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from components.drift import astray, down, misdirected, trouble, turned_away, unsettled
from components.maintenance import feature
from components.models import Settings
from components.targets import Declared
from components.trial import shares, watched
from components.way_back import way_back
from switchback.observation import Observation, pointed_in
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

    gate = misdirected(pointer, seen) or down(declared.desired, seen)
    configure = astray(kind, config, seen) if kind in DRIVERS else None
    overtime = [t.container for t in declared.standby if not t.routes and seen.running(t.container)]
    late = f"{', '.join(overtime)} still runs in the standby slot" if overtime else None
    left = settings.proxy.drain - (seen.now - seen.links.verified_at) if seen.now and seen.links.verified_at else 0.0
    lately = _lately(declared, seen, known | {target.container for target in leaving}) if left > 0 else []
    busy = f"{', '.join(lately)} had the traffic a moment ago and goes" if lately else None
    due = "; ".join(why for why in (gate, unsettled(seen)) if why) or configure or late or busy
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
        maintenance=turned_away(settings, seen),
        pointer=pointer,
        config=config,
        bridge=bridge,
        retiring=tuple(target.container for target in leaving if target.routes),
        lately=tuple(lately),
        lately_for=left,
        way_back=way_back(settings, declared, seen),
    )


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
            found.append(held.as_target(like))
    return found


def _lately(declared: Declared, seen: Observation, known: set[str]) -> list[str]:
    """Releases of routed services that run, have no traffic, and are going to be removed."""
    routed = {target.service for target in declared.desired if target.routes}
    pointed = seen.pointed().values()
    return sorted(
        name
        for name, held in seen.containers.items()
        if held.label("service") in routed and held.status == "running" and name not in known and name not in pointed
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

"""Deployment: the environment as a whole. The order of the graph is read here, top to bottom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_docker as docker

from components.agenda import Agenda, agenda
from components.analysis import Analysis, AnalysisArgs
from components.database import Database, DatabaseArgs
from components.drift import trouble
from components.functional_gate import FunctionalGate, FunctionalGateArgs, functional_test
from components.health_gate import HealthGate, HealthGateArgs
from components.maintenance import Maintenance, MaintenanceArgs
from components.models import Settings
from components.names import network_name, part_name
from components.process_limits import ProcessLimits, ProcessLimitsArgs
from components.proxy import Proxy, ProxyArgs
from components.service import Service, ServiceArgs
from components.targets import Declared
from components.toolbox import Toolbox, ToolboxArgs
from components.traffic_switch import TrafficSwitch, TrafficSwitchArgs
from components.trial import analyse, shares, watched
from switchback.observation import LABEL, Observation
from switchback.proxies import DRIVERS
from switchback.specs import Configure, Gate, Place, Retire, Switch, Target


@dataclass(frozen=True, kw_only=True)
class DeploymentArgs:
    """What is declared, and what was seen just now."""

    settings: Settings
    declared: Declared
    seen: Observation
    to_build: Mapping[str, str] = field(default_factory=dict)  # container to why its image has to be built
    images_missing: Collection[str] = ()  # images of releases to be made that the Docker host does not have


class Deployment(pulumi.ComponentResource):
    """Two slots behind a proxy.

    Whatever `activeSlot` says, that slot comes first, and everything of the other slot waits for the switch. So
    leaving a broken slot never waits for it, and a failing release never reaches what serves.
    """

    url: pulumi.Output[str]
    live: pulumi.Output[Any]  # service to slot and release, as the proxy was seen to hand out, or was just verified to
    releases: pulumi.Output[Any]
    services: pulumi.Output[Any]

    def __init__(self, name: str, args: DeploymentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:Deployment", name, {}, opts)
        settings, declared, seen = args.settings, args.declared, args.seen
        todo = agenda(settings, declared, seen)
        place = Place(
            environment=name,
            toolbox=part_name(name, "toolbox"),
            proxy=part_name(name, "proxy"),
            proxy_kind=settings.proxy.kind,
        )

        network = docker.Network(
            "network",
            name=network_name(name),
            labels=[docker.NetworkLabelArgs(label=f"{LABEL}environment", value=name)],
            opts=pulumi.ResourceOptions(parent=self),
        )
        toolbox = Toolbox(
            "toolbox",
            ToolboxArgs(
                environment=name,
                settings=settings.toolbox,
                image_id=seen.toolbox_image,
                network=network.name,
                place=place,
                due=trouble(seen, place.toolbox),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        ready: list[pulumi.Resource] = [toolbox.ready]
        parts = [(toolbox.container, settings.toolbox.resources)]
        database_url: pulumi.Output[str] | None = None
        if settings.database.url:
            database_url = pulumi.Output.secret(settings.database.url.get_secret_value())
        if settings.database.embedded:
            database = Database(
                "database",
                DatabaseArgs(
                    settings=settings.database,
                    place=place,
                    network=network.name,
                    due=trouble(seen, part_name(name, "database")),
                    after=[toolbox.ready],
                ),
                pulumi.ResourceOptions(parent=self),
            )
            database_url = database.url
            ready.append(database.ready)
            parts.append((database.container, settings.database.resources))
        services = {
            service: Service(
                service,
                ServiceArgs(
                    environment=name,
                    settings=settings,
                    network=network.name,
                    database_url=database_url,
                    place=place,
                    to_build=args.to_build,
                    images_missing=args.images_missing,
                    way_back=todo.way_back,
                ),
                pulumi.ResourceOptions(parent=self),
            )
            for service in settings.services
        }

        # 1. The desired slot: its containers, then its gate.
        desired = [services[t.service].release(t, started=True, after=ready) for t in declared.desired]
        gate = HealthGate(
            "gate",
            HealthGateArgs(
                gate=Gate(place=place, targets=declared.desired, way_back=todo.way_back),
                due=todo.gate,
                after=[toolbox.ready, *(slot.container for slot in desired)],
            ),
            pulumi.ResourceOptions(parent=self),
        )

        # A way back does not wait for the user's own tests: they tell afterwards whether it was good enough.
        tested = [] if todo.returning else self._tests(args, place, todo, after=[gate.command])

        # 2. The proxy: configured for what may come, then turned to it.
        before_turn: list[pulumi.Resource] = [gate.command, *tested]
        self.url = pulumi.Output.from_input("")
        if settings.proxy.kind in DRIVERS:
            proxy = Proxy(
                "proxy",
                ProxyArgs(
                    environment=name,
                    settings=settings.proxy,
                    network=network.name,
                    volume=toolbox.volume.name,
                    meter=toolbox.meter.name,
                    configure=_configure(place, todo.bridge),
                    due=todo.configure,
                    ready=[toolbox.ready],
                    after=[*before_turn],
                ),
                pulumi.ResourceOptions(parent=self),
            )
            before_turn.append(proxy.configuration)
            if settings.maintenance.enabled:
                seen_by_proxy = [proxy.configuration] if todo.configure else [toolbox.ready, proxy.container]
                before_turn += self._maintenance(args, place, todo, after=seen_by_proxy)
                pulumi.log.warn("maintenance.enabled is true: users get HTTP 503", self)
            self.url = proxy.url
            parts.append((proxy.container, settings.proxy.resources))
        else:
            pulumi.log.warn("proxy.kind is none: no traffic is switched; reach each slot by its address", self)
            if settings.analysis.bake:
                pulumi.log.warn("proxy.kind is none: without a proxy there is no analysis and no rollout", self)
            if settings.maintenance.enabled:
                pulumi.log.warn("proxy.kind is none: without a proxy nobody is turned away for maintenance", self)
        ProcessLimits("limits", ProcessLimitsArgs(parts=parts), pulumi.ResourceOptions(parent=self))
        retire = Retire(
            place=place,
            containers=todo.retiring,
            lately=todo.lately,
            lately_for=todo.lately_for,
            stop=tuple(t.container for t in declared.standby if not t.routes),
            drain=settings.proxy.drain,
            settled=_configure(place, todo.config) if todo.config != todo.bridge else None,
        )
        switch = TrafficSwitch(
            "switch",
            TrafficSwitchArgs(
                switch=Switch(
                    place=place,
                    pointer=todo.pointer,
                    targets=declared.desired,
                    trial=todo.trial,
                    shares=shares(settings),
                    retire=None if todo.trial else retire,
                    way_back=todo.way_back,
                ),
                due=todo.switch,
                after=before_turn,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        turned = switch.command
        let_in: list[pulumi.Resource] = []
        if settings.proxy.kind in DRIVERS and not settings.maintenance.enabled:
            let_in = self._maintenance(args, place, todo, after=[turned])
        if watched(settings):
            analysis = Analysis(
                "analysis",
                AnalysisArgs(
                    analyse=analyse(
                        settings,
                        place,
                        declared.desired,
                        todo,
                        retire,
                        tuple(functional_test(one, declared.desired) for one in settings.gates),
                    ),
                    secret=any(one.secret_env for one in settings.gates),
                    due=todo.analysis,
                    after=[turned, *let_in],
                ),
                pulumi.ResourceOptions(parent=self),
            )
            turned = analysis.command
        if todo.returning:
            self._tests(args, place, todo, after=[turned])

        # 3. Only now everything of the other slot.
        standby = [
            services[t.service].release(t, started=bool(t.routes), after=[*ready, turned]) for t in declared.standby
        ]
        warmed = tuple(t for t in declared.standby if t.routes)
        if warmed:
            HealthGate(
                "standby",
                HealthGateArgs(
                    gate=Gate(place=place, targets=warmed, advisory=True),
                    due=todo.warm,
                    after=[slot.container for slot in standby],
                ),
                pulumi.ResourceOptions(parent=self),
            )

        made = dict(zip(declared.desired + declared.standby, desired + standby, strict=True))
        self.releases = pulumi.Output.all(**{t.container: slot.image_id for t, slot in made.items()}).apply(
            lambda images: _releases(made, images)
        )
        # Known when the switch is: either it had nothing to do because this was seen, or it verified this.
        self.live = turned.id.apply(
            lambda _: {t.service: {"slot": t.slot, "release": t.release} for t in declared.desired}
        )
        self.services = pulumi.Output.all(
            **{t.service: slot.address for t, slot in zip(declared.desired, desired, strict=True)}
        ).apply(lambda addresses: {t.service: _detail(t, addresses[t.service]) for t in declared.desired})
        self.register_outputs({"url": self.url, "releases": self.releases})

    def _maintenance(
        self, args: DeploymentArgs, place: Place, todo: Agenda, *, after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Users are turned away before the traffic moves, and let in again after it has."""
        own = MaintenanceArgs(settings=args.settings.maintenance, place=place, due=todo.maintenance, after=after)
        return [Maintenance("maintenance", own, pulumi.ResourceOptions(parent=self)).command]

    def _tests(
        self, args: DeploymentArgs, place: Place, todo: Agenda, *, after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """The user's own tests, against what is to take the traffic, or has it back."""
        gate = FunctionalGateArgs(
            gates=args.settings.gates,
            place=place,
            targets=args.declared.desired,
            due=todo.gate,
            after=after,
            advisory=todo.returning,
            way_back=todo.way_back,
        )
        return [*FunctionalGate("functional", gate, pulumi.ResourceOptions(parent=self)).commands]


def _configure(place: Place, config: tuple[str, str]) -> Configure:
    digest, text = config
    return Configure(place=place, filename=DRIVERS[place.proxy_kind].FILENAME, text=text, digest=digest)


def _detail(target: Target, address: str) -> dict[str, Any]:
    routes = [f"{route.host or '*'}{route.path}" for route in target.routes]
    return {"slot": target.slot, "release": target.release, "address": address, "routes": routes}


def _releases(made: Any, images: dict[str, str]) -> dict[str, dict[str, dict[str, str]]]:
    """Slot to service to what it holds."""
    table: dict[str, dict[str, dict[str, str]]] = {}
    for target in sorted(made, key=lambda t: (t.slot, t.service)):
        table.setdefault(target.slot, {})[target.service] = {
            "release": target.release,
            "image": images[target.container],
            "container": target.container,
        }
    return table

"""FunctionalGate: the user's own tests pass against the releases that are to take traffic, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.models import Settings
from components.procedure import procedure
from components.release_models import FunctionalGateSettings
from switchback.observation import Observation
from switchback.specs import Functional, FunctionalTest, Place, Target, encode


@dataclass(frozen=True, kw_only=True)
class FunctionalGateArgs:
    """What is asked of which releases, and why now."""

    gates: Sequence[FunctionalGateSettings]
    place: Place
    targets: tuple[Target, ...]
    due: str | None
    after: Sequence[pulumi.Resource]
    advisory: bool = False  # after a rollback: it warns, and fails nothing
    way_back: tuple[str, ...] = ()


class FunctionalGate(pulumi.ComponentResource):
    """A command for each test, in the order of the configuration; the first that fails ends it."""

    commands: list[local.Command]

    def __init__(self, name: str, args: FunctionalGateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchback:index:FunctionalGate", name, {}, opts)
        self.commands = []
        for gate in args.gates:
            spec = Functional(
                place=args.place,
                targets=args.targets,
                test=functional_test(gate, args.targets),
                # A test that is new in the configuration has nothing to say about what serves already.
                idle=args.due is None,
                advisory=args.advisory,
                way_back=args.way_back,
            )
            self.commands.append(
                procedure(
                    f"{name}-{gate.name}",
                    "functional",
                    pulumi.Output.secret(encode(spec)) if gate.secret_env else encode(spec),
                    due=args.due,
                    parent=self,
                    depends_on=[*args.after, *self.commands],
                )
            )
        self.register_outputs({"gates": [gate.name for gate in args.gates]})


def gate_images(settings: Settings, desired: Sequence[Target], seen: Observation) -> dict[str, str]:
    """The images that the tests of a new release need: key path to image. What exists needs none, it may be tested."""
    if all(target.container in seen.containers for target in desired):
        return {}
    return {f"gates/{index}/image": gate.image for index, gate in enumerate(settings.gates) if gate.image}


def functional_test(gate: FunctionalGateSettings, targets: Sequence[Target]) -> FunctionalTest:
    """A configured test as it is run against these releases."""
    own = {target.service: target.container for target in targets}
    return FunctionalTest(
        name=gate.name,
        command=gate.command,
        image=gate.image or "",
        container=own[gate.service] if gate.service else "",
        env=gate.env,
        secret_env={name: held.get_secret_value() for name, held in gate.secret_env.items()},
        timeout=gate.timeout,
        memory=gate.resources.memory,
        cpus=gate.resources.cpus,
        pids=gate.resources.pids,
        read_only=gate.read_only,
    )

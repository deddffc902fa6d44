"""Runs the declared side against a monitor that only records what is registered, and in what dependence."""

from __future__ import annotations

from typing import Any

import msgspec
import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks

from components.deployment import Deployment, DeploymentArgs
from components.settings import parse_settings
from components.targets import declared
from switchback.observation import Links, Observation


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """One registration, as the engine would get it."""

    name: str
    type: str
    parent: str
    needs: tuple[str, ...]  # URNs
    inputs: dict[str, Any]
    ignored: tuple[str, ...]
    before_replace: bool


class _Mocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        computed = {"docker:index/remoteImage:RemoteImage": {"imageId": f"sha256:{args.name}"}}.get(args.typ, {})
        return f"{args.name}-id", {**args.inputs, **computed, "stdout": ""}

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program calls no function, but called {args.token}")


class Recorder(MockMonitor):
    """A monitor that keeps every registration by URN."""

    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.seen: dict[str, Registered] = {}

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = self.resources[response.urn].state if response.urn in self.resources else {}
        self.seen[response.urn] = Registered(
            name=request.name,
            type=request.type,
            parent=request.parent,
            needs=tuple(request.dependencies),
            inputs=inputs,
            ignored=tuple(request.ignoreChanges),
            before_replace=request.deleteBeforeReplace,
        )
        return response

    def named(self, name: str) -> Registered:
        """The one resource of that logical name."""
        [found] = [held for held in self.seen.values() if held.name == name]
        return found

    def urn(self, name: str) -> str:
        """Its URN."""
        [found] = [urn for urn, held in self.seen.items() if held.name == name]
        return found

    def waits_for(self, name: str) -> set[str]:
        """The names of everything that has to be done before this resource."""
        found: set[str] = set()
        ahead = list(self.named(name).needs)
        while ahead:
            held = self.seen.get(ahead.pop())
            if held and held.name not in found:
                found.add(held.name)
                ahead += held.needs
        return found


SERVICE = {"image": "acme/web", "port": 8080, "routes": [{"path": "/"}]}
BASE: dict[str, Any] = {
    "activeSlot": "blue",
    "slots": {"blue": {"imageTag": "1"}, "green": {"imageTag": "2"}},
    "services": {"web": SERVICE, "jobs": {"image": "acme/jobs"}},
    "database": {"embedded": True},
}


def nothing_seen() -> Observation:
    """A host on which there is nothing yet."""
    return Observation(containers={}, links=Links(), foreign_ports={})


def start(seen: Observation | None = None, *, secret_keys: set[str] | None = None, **changed: Any) -> Recorder:
    """Declares an environment called `test`; to be called inside `@pulumi.runtime.test`, which drains it."""
    recorder = Recorder()
    set_mocks(_Mocks(), project="switchback", stack="test", preview=False, monitor=recorder)
    settings = parse_settings({**BASE, **changed}, secret_keys=secret_keys or set(), environment="test")
    args = DeploymentArgs(settings=settings, declared=declared(settings, "test"), seen=seen or nothing_seen())
    Deployment("test", args, pulumi.ResourceOptions())
    return recorder

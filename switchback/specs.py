"""What a procedure is asked to do: the typed messages from the Pulumi program to the procedures.

They travel as JSON on standard input (program to procedure) or in one environment variable (procedure to
toolbox), so no value is ever part of a command line. This module is pure data; both sides import it.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from switchback.judgement import Limits
from switchback.record import Lease

Spec = TypeVar("Spec")


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """How to tell that a release is fit. Times in seconds."""

    path: str = "/health"
    passes: int = 3
    interval: float = 0.1
    timeout: float = 60.0
    expect_version: bool = True
    steady: float = 2.0


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One way into a service through the proxy; `host` is empty for any host."""

    host: str
    path: str


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One release of one service in one slot, as a procedure needs to know it."""

    service: str
    slot: str
    release: str
    version: str
    container: str
    port: int | None = None
    routes: tuple[Route, ...] = ()
    probe: Probe = Probe()
    pids: int = 512

    @property
    def address(self) -> str:
        """`container:port` on the environment's network; without a port, the container."""
        return f"{self.container}:{self.port}" if self.port else self.container

    @property
    def label(self) -> str:
        """What a person calls it: `web 1.5.0 (green)`."""
        return f"{self.service} {self.release} ({self.slot})"


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy says while maintenance is on, and whom it lets through all the same."""

    page: str  # HTML
    retry_after: int = 60  # seconds
    allow: tuple[str, ...] = ()  # networks, such as 10.0.0.0/8


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy's configuration can do beside routing and switching; each costs something for every request."""

    meter: bool = True  # a line for each request that a release was given
    shares: bool = False  # a release may be given a part of the traffic
    maintenance: Maintenance | None = None  # users may be turned away, while a file says so
    holder: str = ""  # address of who says when held requests go on; empty where none are ever held


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which environment a procedure works in, and the containers that do its work."""

    environment: str
    toolbox: str
    proxy: str
    proxy_kind: str


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Start these releases where they are stopped, and wait until all of them are fit, or say why not."""

    place: Place
    targets: tuple[Target, ...]
    advisory: bool = False  # a warmed standby: say it, but fail nothing
    way_back: tuple[str, ...] = ()  # what to type next, when it fails


class Configure(msgspec.Struct, frozen=True, kw_only=True):
    """Validate a proxy configuration, apply it gracefully, verify it, restore the former one on failure."""

    place: Place
    filename: str
    text: str
    digest: str


class Maintain(msgspec.Struct, frozen=True, kw_only=True):
    """Turn users away at the proxy, or let them in again."""

    place: Place
    on: bool
    told: bool = True  # the proxy's configuration knows of maintenance, so it can be asked whether it is on
    idle: bool = False  # as in Functional


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Let requests wait at the proxy."""

    seconds: float  # at most
    limit: int = 1000  # requests that wait at once; what comes beyond them is refused


class HoldReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests that came during a hold."""

    held: int = 0
    longest_wait: float = 0.0  # seconds
    refused: int = 0
    failed: int = 0  # the proxy, or the client behind it, went away while they waited


class Retire(msgspec.Struct, frozen=True, kw_only=True):
    """See what had the traffic off, once it is sure that it will not be needed again."""

    place: Place
    containers: tuple[str, ...] = ()  # had traffic, and are going to be removed: they are drained
    lately: tuple[str, ...] = ()  # so are these, which lost it with an earlier switch
    lately_for: float = 0.0  # seconds that are left of theirs
    stop: tuple[str, ...] = ()  # containers of unrouted services in the other slot
    drain: float = 30.0
    settled: Configure | None = None  # the configuration without what was only there for the passage


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Point the proxy at these releases, all in one rename, verify through the proxy, rename back on failure."""

    place: Place
    pointer: dict[str, str]  # file name -> content, as the proxy consults it
    targets: tuple[Target, ...]  # what must answer afterwards
    trial: bool = False  # they have to prove themselves, and an analysis follows
    shares: tuple[int, ...] = ()  # percent of the traffic, the last of them 100; the switch makes the first step
    retire: Retire | None = None  # what leaves with the switch; with a trial, the analysis sees it off
    way_back: tuple[str, ...] = ()


class Synthetic(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of our own through the proxy, where there are too few of the users'."""

    rate: float  # a second, for each routed service
    paths: tuple[str, ...] = ("/",)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to change the environment's traffic, and whose lease is worth nothing any more."""

    lease: Lease
    over: Lease | None = None


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Make containers run that are stopped or paused."""

    place: Place
    containers: tuple[str, ...]


class Provision(msgspec.Struct, frozen=True, kw_only=True):
    """Make the database answer, with the role and the database of the application."""

    place: Place
    container: str
    superuser_password: str
    role: str
    password: str
    database: str
    timeout: float = 60.0


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Bound the processes of containers: container id to how many."""

    pids: dict[str, int]


class FunctionalTest(msgspec.Struct, frozen=True, kw_only=True):
    """A user's own command, and where it runs: in a container of `image`, or in a second one of a release's."""

    name: str
    command: tuple[str, ...]
    image: str = ""
    container: str = ""  # of the release that brings the test along; empty with an image
    env: dict[str, str] = {}
    secret_env: dict[str, str] = {}
    timeout: float = 300.0  # seconds
    memory: int = 512 << 20  # bytes; this and what follows count with an image only
    cpus: float = 1.0
    pids: int = 512
    read_only: bool = True


class Functional(msgspec.Struct, frozen=True, kw_only=True):
    """Run one functional test against these releases, and say what it said."""

    place: Place
    targets: tuple[Target, ...]
    test: FunctionalTest
    idle: bool = False  # nothing is due: a resource that is only made runs nothing
    advisory: bool = False  # the traffic is where it has to be: say it, but fail nothing
    way_back: tuple[str, ...] = ()


class Analyse(msgspec.Struct, frozen=True, kw_only=True):
    """Watch releases that have taken traffic, give them more of it step by step, or take it all back."""

    place: Place
    targets: tuple[Target, ...]
    pointer: dict[str, str]
    bake: float  # seconds, of each step
    baseline: float  # seconds before the switch that the old release is judged by
    limits: Limits = Limits()
    shares: tuple[int, ...] = ()  # as in Switch
    synthetic: Synthetic | None = None
    revert_inconclusive: bool = False
    auto_rollback: bool = True
    retire: Retire | None = None
    tests: tuple[FunctionalTest, ...] = ()  # run against what serves when all traffic was taken back
    way_back: tuple[str, ...] = ()


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is built from a Git repository."""

    repository: str
    commit: str  # a tag or a commit, abbreviated or not
    context: str = "."
    dockerfile: str = "Dockerfile"  # from the context on
    args: dict[str, str] = {}
    timeout: float = 1800.0  # seconds, for clone and build together


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """Build the image of a release, unless it can be had by now."""

    place: Place
    target: Target
    image: str
    recipe: Recipe
    idle: bool = False  # as in Functional
    way_back: tuple[str, ...] = ()


def encode(spec: Any) -> str:
    """A specification as JSON text, with keys in the order of the fields: equal specifications, equal text."""
    return msgspec.json.encode(spec).decode()


def decode(text: str | bytes, kind: type[Spec]) -> Spec:
    """The specification in a JSON text.

    Raises:
        msgspec.ValidationError: when the text does not fit the type.
    """
    return msgspec.json.decode(text, type=kind)

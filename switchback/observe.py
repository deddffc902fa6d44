"""One fast, read-only look at what really runs, before the program declares what should.

It feeds the decisions that a declaration alone cannot make: whether gate and switch have work to do, whether
an image can be had, who holds a port. It changes nothing and costs about 0.1 s.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import msgspec
import psutil

from switchback.docker_host import Engine
from switchback.errors import EngineError
from switchback.observation import ENVIRONMENT, PARTS, SET_ASIDE, Links, Observation, Seen, read_links
from switchback.record import FILENAME, read_record

VOLUME = "/run/switchback"  # where toolbox and proxy mount the volume of pointer and proxy configuration
# By its path and without site-packages: Python's start is most of what it costs.
_LOOK = ("python3", "-S", "/opt/switchback/switchback/inside/look.py")
_AT_ONCE = 8  # calls to the Engine


def observe(engine: Engine, environment: str, toolbox_image: str = "") -> Observation:
    """Looks at the environment's containers, at what its proxy's pointer says, and at what the proxy says it runs.

    Raises:
        EngineError: when the Engine does not answer.
    """
    everything = engine.containers()
    labelled = {seen.name: seen for seen in everything if seen.labels.get(ENVIRONMENT) == environment}
    own = {name: seen for name, seen in labelled.items() if not seen.replaced}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looking = pool.submit(_look, engine, environment, own)
        image = pool.submit(engine.image_id, toolbox_image) if toolbox_image else None
        running = [seen for seen in own.values() if seen.status == "running"]
        moments = pool.map(lambda seen: _restarted(engine, seen), running)
        own |= {s.name: msgspec.structs.replace(s, restarted_at=at) for s, at in zip(running, moments, strict=True)}
        tree, asked, now = looking.result()
        links = msgspec.structs.replace(read_links(tree), running=asked)
        return Observation(
            containers=own,
            links=links,
            record=read_record(tree.get(FILENAME, b"")),
            foreign_ports={port: seen.name for seen in everything if seen.name not in own for port in seen.ports},
            toolbox_image=image.result() if image else "",
            strangers=_strangers(everything, environment, own, links),
            now=now,
        )


def _look(engine: Engine, environment: str, own: Mapping[str, Seen]) -> tuple[dict[str, bytes], str | None, float]:
    """The shared volume, what the proxy says that it runs, and the Engine's time; or the volume alone."""
    toolbox, proxy = f"{environment}-toolbox", f"{environment}-proxy"
    runs = {name for name in (toolbox, proxy) if name in own and own[name].status == "running"}
    if toolbox in runs:
        # An older toolbox can't tell; then the volume is read as it is where there is none.
        with contextlib.suppress(EngineError, ValueError, KeyError, TypeError):
            code, said = engine.exec(toolbox, (*_LOOK, proxy if proxy in runs else "-"))
            told: dict[str, Any] = json.loads(said) if code == 0 else {}
            tree = {path: text.encode(errors="surrogateescape") for path, text in told["tree"].items()}
            return tree, told["running"], float(told["now"])
    # The toolbox and the proxy mount the same volume; either can tell, running or stopped.
    for part in (toolbox, proxy):
        if part in own and (files := engine.read_tree(part, VOLUME)):
            return files, None, 0.0
    return {}, None, 0.0


def _restarted(engine: Engine, seen: Seen) -> float:
    """When a container was started that had been stopped before; 0 when it never was, or has gone meanwhile."""
    state = engine.inspect(seen.id)
    once = state is None or state.finished_at.startswith("0001-")
    return datetime.fromisoformat(state.started_at).timestamp() if state and not once else 0.0


def _strangers(everything: Iterable[Seen], environment: str, own: Mapping[str, Seen], links: Links) -> dict[str, str]:
    """What took the name of a container that was the environment's, so far as that can be told: name to why.

    What only happens to have a name that the program would like to use is none, and is left alone.
    """
    pointed = set(Observation(containers={}, links=links, foreign_ports={}).pointed().values())
    parts = {f"{environment}-{part}" for part in PARTS if part != "database"} if own else set()
    found = {}
    for seen in everything:
        if seen.labels.get(ENVIRONMENT) == environment:
            why = seen.replaced
        elif seen.name in pointed | parts or f"switchback-{environment}" in seen.networks:
            why = "it was not made by Switchback"
        else:
            why = ""
        if why and not SET_ASIDE.search(seen.name):
            found[seen.name] = why
    return found


def values_of(engine: Engine, wanted: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """What the containers of that name hold in these variables: container to name to value."""

    def held(container: str) -> dict[str, str]:
        state = engine.inspect(container)
        return {name: state.env[name] for name in wanted[container] if name in state.env} if state else {}

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(held, wanted), strict=True))


def port_holder(engine: Engine, observation: Observation, address: str, port: int) -> str:
    """Who else holds a port of the Docker host, by name; empty when it is free or cannot be told from here."""
    for (held, number), name in observation.foreign_ports.items():
        if number == port and _overlap(held, address):
            return f"container {name}"
    if not engine.is_local:
        return ""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except PermissionError:
            return ""  # a low port and an ordinary user: the Engine may bind it all the same
        except OSError:
            with contextlib.suppress(psutil.Error):  # who holds it is the system's to tell, or not
                return _process_on(port) or "another process"
            return "another process"
    return ""


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses of the host cannot listen on one port: they are the same, or one means all of its kind."""
    first, second = ipaddress.ip_address(one or "0.0.0.0"), ipaddress.ip_address(other)  # noqa: S104
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)


def _process_on(port: int) -> str:
    """The process that listens on a local port, as `nginx (process 4711)`."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
            return f"{psutil.Process(connection.pid).name()} (process {connection.pid})" if connection.pid else ""
    return ""

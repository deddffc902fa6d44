"""The door to the Docker Engine for a container that runs once, to its end, and goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from docker.utils import parse_repository_tag

from switchback.docker_host import Engine
from switchback.errors import EngineError

_PERIOD = 100_000  # microseconds, the kernel's default
_MEMORY = 512 << 20  # bytes
_PIDS = 512
_SETTLE = 20.0  # seconds in which the Engine has to say how a container ended
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """A container that runs one program and goes; hardened as every other (`components/hardening.py`)."""

    name: str
    image: str
    command: tuple[str, ...]  # in place of the image's entrypoint and command
    env: dict[str, str]
    labels: dict[str, str]
    network: str
    user: str = ""  # the image's own
    memory: int = _MEMORY  # bytes
    cpus: float = 1.0  # cores
    pids: int = _PIDS
    read_only: bool = True
    capabilities: tuple[str, ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()  # as the Engine writes them

    def body(self) -> dict[str, Any]:
        """What the Engine is sent."""
        return {
            "Image": self.image,
            "Entrypoint": [self.command[0]],
            "Cmd": list(self.command[1:]),
            "Env": [f"{key}={value}" for key, value in self.env.items()],
            "User": self.user,
            "Labels": self.labels,
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "NetworkMode": self.network,
                "Init": True,
                "SecurityOpt": ["no-new-privileges:true"],
                "CapDrop": ["ALL"],
                "CapAdd": list(self.capabilities),
                "ReadonlyRootfs": self.read_only,
                "Tmpfs": {"/tmp": "rw,nosuid,nodev,size=256m"},  # noqa: S108 - inside the container
                "Memory": self.memory,
                "MemorySwap": self.memory,
                "CpuPeriod": _PERIOD,
                "CpuQuota": round(self.cpus * _PERIOD),
                "PidsLimit": self.pids,
                "LogConfig": _LOG,
                "Mounts": list(self.mounts),
            },
        }


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a container ended; without an exit code it was ended at its deadline."""

    exit_code: int | None
    oom_killed: bool = False


class Runner(Engine):
    """A connection to the same Engine, on which programs run to their end."""

    def like(self, container: str, **own: Any) -> Once:
        """A container of the same image, user, variables, volumes and limits as another one.

        Args:
            container: The other one's name.
            own: The fields of `Once` that are not the same; `env` is added to the other one's.

        Raises:
            EngineError: it does not exist.
        """
        with self._readable(f"inspect {container}", must_exist=True):
            raw = self._api.inspect_container(container)
        host, config = raw["HostConfig"], raw["Config"]
        given = dict(pair.split("=", 1) for pair in config.get("Env") or [] if "=" in pair)
        return Once(
            **{
                "image": raw["Image"],
                "user": config.get("User") or "",
                "memory": host.get("Memory") or _MEMORY,
                "cpus": (host.get("CpuQuota") or _PERIOD) / (host.get("CpuPeriod") or _PERIOD),
                "pids": host.get("PidsLimit") or _PIDS,
                "read_only": bool(host.get("ReadonlyRootfs")),
                "capabilities": tuple(host.get("CapAdd") or ()),
                "mounts": tuple(host.get("Mounts") or ()),
                **own,
                "env": {**given, **own["env"]},
            }
        )

    def run_once(self, once: Once, within: float, on_output: Callable[[bytes], None]) -> Ended:
        """Runs a container to its end, and removes it whatever happens.

        Args:
            once: The container.
            within: Seconds; one that is not done by then is killed.
            on_output: Called with what it prints on either stream, as it comes, from another thread.

        Raises:
            EngineError: it cannot be made or started, or the Engine left.
        """
        broken: list[EngineError] = []
        with self._readable(f"make {once.name}", must_exist=True):
            made = str(self._api.create_container_from_config(once.body(), once.name)["Id"])

        def listen() -> None:
            try:
                with self._readable(f"read the output of {once.name}", must_exist=True):
                    for piece in listener.output(made):
                        on_output(piece)
            except EngineError as failed:
                broken.append(failed)

        try:
            listener = Runner()  # the output keeps a connection busy
            self.start(made)
            listening = threading.Thread(target=listen, daemon=True)
            listening.start()
            listening.join(within)
            if listening.is_alive():
                return Ended(exit_code=None)
            if broken:
                raise broken[0]
            return self._ended(made)
        finally:
            self.remove(made)

    def output(self, container: str) -> Any:
        """What a container prints, in pieces, from its start to its end."""
        return self._api.logs(container, stream=True, follow=True)

    def _ended(self, container: str) -> Ended:
        """How it ended; its output may end a moment before it does."""
        deadline = time.monotonic() + _SETTLE
        while (state := self.inspect(container)) and state.status == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        if state is None:
            raise EngineError(f"The container {container[:12]} was removed while it ran.")
        return Ended(exit_code=state.exit_code, oom_killed=state.oom_killed)

    def remove_labelled(self, labels: Mapping[str, str]) -> list[str]:
        """Removes all containers with these labels; returns their names."""
        found = [seen for seen in self.containers() if labels.items() <= seen.labels.items()]
        for seen in found:
            self.remove(seen.id)
        return [seen.name for seen in found]

    def pull(self, reference: str, within: float) -> None:
        """Gets an image from its registry.

        Raises:
            EngineError: the registry does not give it, or not in time.
        """
        ended = threading.Event()
        broken: list[EngineError] = []

        def get() -> None:
            name, tag = parse_repository_tag(reference)
            try:
                with self._readable(f"pull {reference}", must_exist=True):
                    for said in self._api.pull(name, tag=tag or "latest", stream=True, decode=True):
                        if "error" in said:
                            raise EngineError(f"Docker refused to pull {reference}: {said['error']}")
            except EngineError as failed:
                broken.append(failed)
            ended.set()

        threading.Thread(target=get, daemon=True).start()
        if not ended.wait(within):
            raise EngineError(f"{reference} did not come from its registry within {within:g} s.")
        if broken:
            raise broken[0]

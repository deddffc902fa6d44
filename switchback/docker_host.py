"""The one door to the Docker Engine: what runs there, exec, logs, start and stop.

Everything goes through the Engine's API, so `DOCKER_HOST` (a socket, `ssh://`, or TCP with TLS) is all that
an operator's machine needs; no `docker` program is called.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import docker
import msgspec
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from switchback.errors import EngineError
from switchback.observation import Seen

_TIMEOUT = 20.0  # seconds for one call; what takes longer has its own


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """A container as the Engine sees it now. Times are ISO 8601 texts of the Engine's clock."""

    name: str
    id: str
    image_id: str
    status: str  # created, running, restarting, exited, paused, dead
    exit_code: int
    oom_killed: bool
    restart_count: int
    started_at: str
    finished_at: str
    memory_limit: int  # bytes; 0 is unlimited
    addresses: dict[str, str]  # network name -> IP address
    env: dict[str, str]
    labels: dict[str, str]


class Engine:
    """A connection to the Docker Engine that `DOCKER_HOST` names, or the local one."""

    def __init__(self) -> None:
        self.host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        with self._readable():
            # `auto` asks for the version, so that an Engine out of reach is known here and not in mid-work.
            self._api: Any = docker.from_env(version="auto", timeout=int(_TIMEOUT)).api

    @contextmanager
    def _readable(self, doing: str = "", *, must_exist: bool = False) -> Iterator[None]:
        """Turns the library's errors into one sentence; NotFound is left to the caller, unless it must exist."""
        try:
            yield
        except APIError as failed:
            # The Engine says "not found" of a program in the container as well, when it cannot start one.
            if isinstance(failed, NotFound) and not must_exist:
                raise
            raise EngineError(f"Docker refused{doing and f' to {doing}'}: {failed.explanation or failed}") from failed
        except (DockerException, RequestException, OSError) as failed:
            raise EngineError(f"Docker does not answer at {self.host}: {_innermost(failed)}") from failed

    @property
    def is_local(self) -> bool:
        """Whether the Engine runs on this machine."""
        return self.host.startswith("unix://")

    def containers(self) -> list[Seen]:
        """All containers on the host, running or not."""
        with self._readable("list containers"):
            return [
                Seen(
                    name=entry["Names"][0].lstrip("/") if entry["Names"] else entry["Id"][:12],
                    id=entry["Id"],
                    status=entry["State"],
                    labels=entry["Labels"] or {},
                    ports=tuple((p.get("IP", ""), p["PublicPort"]) for p in entry["Ports"] if "PublicPort" in p),
                    image_id=entry["ImageID"],
                    networks=tuple((entry.get("NetworkSettings") or {}).get("Networks") or ()),
                )
                for entry in self._api.containers(all=True)
            ]

    def inspect(self, container: str) -> ContainerState | None:
        """The container of that name or id, or None when there is none."""
        try:
            with self._readable(f"inspect {container}"):
                raw = self._api.inspect_container(container)
        except NotFound:
            return None
        state, config = raw["State"], raw["Config"]
        return ContainerState(
            name=raw["Name"].lstrip("/"),
            id=raw["Id"],
            image_id=raw["Image"],
            status=state["Status"],
            exit_code=state["ExitCode"],
            oom_killed=state["OOMKilled"],
            restart_count=raw["RestartCount"],
            started_at=state["StartedAt"],
            finished_at=state["FinishedAt"],
            memory_limit=raw["HostConfig"].get("Memory") or 0,
            addresses={name: net["IPAddress"] for name, net in raw["NetworkSettings"]["Networks"].items()},
            env=dict(pair.split("=", 1) for pair in config.get("Env") or [] if "=" in pair),
            labels=config.get("Labels") or {},
        )

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> tuple[int, bytes]:
        """Runs a program in a container and waits for it.

        Args:
            container: Its name.
            argv: The program and its arguments, word by word; there is no shell.
            env: Variables for this program alone.
            on_output: Called with pieces of its standard output and standard error as they come.

        Returns:
            Exit code, and all of the output.

        Raises:
            EngineError: when the container is gone or not running.
        """
        output = io.BytesIO()
        try:
            with self._readable(f"run {argv[0]} in {container}"):
                created = self._api.exec_create(container, list(argv), environment=dict(env or {}))
                for piece in self._api.exec_start(created["Id"], stream=True):
                    output.write(piece)
                    if on_output:
                        on_output(piece)
                return int(self._api.exec_inspect(created["Id"])["ExitCode"] or 0), output.getvalue()
        except NotFound:
            raise EngineError(f"container {container} does not exist") from None

    def read_tree(self, container: str, path: str) -> dict[str, bytes]:
        """The files below a directory of a container, running or stopped: path within it to content.

        A symbolic link's content is `-> target`. Empty when the directory or the container is not there.
        """
        try:
            with self._readable(f"read {path} of {container}"):
                stream, _ = self._api.get_archive(container, path)
                packed = io.BytesIO(b"".join(stream))
        except NotFound:
            return {}
        tree: dict[str, bytes] = {}
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                inner = member.name.partition("/")[2]
                if member.issym():
                    tree[inner] = b"-> " + member.linkname.encode()
                elif member.isfile() and (content := archive.extractfile(member)):
                    tree[inner] = content.read()
        return tree

    def logs(self, container: str, tail: int = 20) -> list[str]:
        """The last lines that a container printed, on either stream."""
        try:
            with self._readable(f"read the log of {container}"):
                raw: bytes = self._api.logs(container, tail=tail)
        except NotFound:
            return []
        return raw.decode(errors="replace").splitlines()

    def start(self, container: str) -> None:
        """Starts a stopped container; one that runs is left alone."""
        with self._readable(f"start {container}", must_exist=True):
            self._api.start(container)

    def unpause(self, container: str) -> None:
        """Lets a paused container go on."""
        with self._readable(f"unpause {container}", must_exist=True):
            self._api.unpause(container)

    def set_aside(self, container: str, name: str, grace: float) -> None:
        """Renames a container, and stops it for good: neither Docker nor its restart starts it again."""
        with self._readable(f"rename {container} to {name}", must_exist=True):
            self._api.rename(container, name)
            self._api.update_container(name, restart_policy={"Name": "no"})
            self._api.stop(name, timeout=int(grace))

    def stop(self, container: str, grace: float) -> None:
        """Stops a container: SIGTERM, and SIGKILL after `grace` seconds. One that is gone or stopped is fine."""
        try:
            with self._readable(f"stop {container}"):
                self._api.stop(container, timeout=int(grace))
        except NotFound:
            return

    def restart(self, container: str, grace: float) -> None:
        """Stops a container as `stop` does, and starts it; the Engine then counts its restarts from zero."""
        with self._readable(f"restart {container}", must_exist=True):
            self._api.restart(container, timeout=int(grace))

    def last_exit_code(self, container_id: str, finished_at: str) -> int | None:
        """With which exit code a container ended at that time, though it runs again by now; None when not known."""
        second = int(datetime.fromisoformat(finished_at).timestamp())
        with self._readable(f"list events of {container_id[:12]}"):
            # The end lies in the past or at most two seconds ahead, so this returns.
            events = self._api.events(
                since=second, until=second + 2, filters={"container": container_id, "event": "die"}, decode=True
            )
            codes = [event["Actor"]["Attributes"].get("exitCode", "") for event in events]
        return int(codes[-1]) if codes and codes[-1].isdigit() else None

    def remove(self, container: str) -> None:
        """Removes a container, running or not, with its anonymous volumes; one that is gone is fine."""
        try:
            with self._readable(f"remove {container}"):
                self._api.remove_container(container, force=True, v=True)
        except NotFound:
            return

    def remove_network(self, name: str, labels: Mapping[str, str]) -> None:
        """Removes the networks of just this name that have these labels and no container."""
        with self._readable(f"remove network {name}"):
            for held in self._api.networks(filters={"name": name, "label": [f"{k}={v}" for k, v in labels.items()]}):
                if held["Name"] == name and not self._api.inspect_network(held["Id"])["Containers"]:
                    self._api.remove_network(held["Id"])

    def limit_pids(self, container: str, limit: int) -> None:
        """Bounds the processes and threads of a container, which the Docker provider has no field for."""
        with self._readable(f"limit the processes of {container}", must_exist=True):
            url = self._api._url("/containers/{0}/update", container)
            self._api._raise_for_status(self._api._post_json(url, data={"PidsLimit": limit}))

    def image_id(self, reference: str) -> str:
        """The id (`sha256:…`) of an image that the Engine holds; empty when it holds none of that name."""
        try:
            with self._readable(f"look for {reference}"):
                return str(self._api.inspect_image(reference)["Id"])
        except (NotFound, ImageNotFound):
            return ""

    def image_ids(self, references: Iterable[str]) -> dict[str, str]:
        """The ids of those of these images (name and tag) that the Engine holds, asked in one call."""
        # The Engine lists what comes from its default registry without that registry's name.
        plain = {reference: reference.removeprefix("docker.io/").removeprefix("library/") for reference in references}
        if not plain:
            return {}
        with self._readable("list images"):
            held = self._api.images(filters={"reference": sorted(set(plain.values()))})
        ids = {tag: str(entry["Id"]) for entry in held for tag in entry["RepoTags"] or ()}
        return {reference: ids[tag] for reference, tag in plain.items() if tag in ids}

    def image_labels(self, reference: str) -> dict[str, str] | None:
        """The labels of an image that the Engine holds; None when it holds none of that name."""
        try:
            with self._readable(f"look for {reference}"):
                return dict(self._api.inspect_image(reference)["Config"]["Labels"] or {})
        except (NotFound, ImageNotFound):
            return None

    def registry_refusal(self, reference: str) -> str:
        """Why the registry does not give this image; empty when it does."""
        try:
            self._api.inspect_distribution(reference)
        except (DockerException, RequestException) as failed:
            return str(getattr(failed, "explanation", None) or _innermost(failed))
        return ""


def _innermost(failed: BaseException) -> str:
    """The root of a chain of wrapped errors, which is the one that says something."""
    while failed.__cause__ or failed.__context__:
        failed = failed.__cause__ or failed.__context__  # type: ignore[assignment]
    return str(failed)

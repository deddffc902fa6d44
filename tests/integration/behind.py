"""A proxy with generated configuration and two real releases behind it, without the rest of an environment."""

from __future__ import annotations

import http.client
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import msgspec
from docker.models.containers import Container

from switchback.metering import Request, parse
from switchback.pointer import new_generation, relink, write_generation
from switchback.proxies import DRIVERS
from switchback.specs import Features, Route, Target
from tests.integration.breaking import until
from tests.integration.world import free_port

_USER = 10001


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    body: str
    headers: dict[str, str]

    @property
    def version(self) -> str:
        """Of the release that answered."""
        return str(json.loads(self.body)["version"])

    @property
    def cookie(self) -> str:
        """The cookie that was set, as it is sent back; empty when there is none."""
        return self.headers.get("Set-Cookie", "").partition(";")[0]


class Behind:
    """`with Behind(home, "caddy", Features()) as behind`: releases 1 (blue) and 2 (green) of `web`, blue pointed to."""

    def __init__(self, home: Path, kind: str, features: Features, *, meter: str = "there") -> None:
        """`meter`: whether the directory for access lines is `there`, `missing`, or a tmpfs that is `small`."""
        self.kind, self.driver, self.name = kind, DRIVERS[kind], f"t{secrets.token_hex(3)}"
        self._features, self._meter = features, meter
        self._state, self._lines = home / "state", home / "meter"
        self.port = free_port()
        self.blue, self.green = (
            Target(
                service="web",
                slot=slot,
                release=version,
                version=version,
                container=f"{self.name}-web-{slot}-{version}",
                port=8080,
                routes=(Route(host="", path="/"),),
            )
            for slot, version in (("blue", "1"), ("green", "2"))
        )
        self._docker = docker.from_env()
        self._labels = {"switchback.environment": self.name}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException as failed:
            self.__exit__(type(failed), failed, None)
            raise
        return self

    def _start(self) -> None:
        self._docker.networks.create(self.name, labels=self._labels)
        self.releases = {target.slot: self._release(target) for target in (self.blue, self.green)}
        self._state.mkdir()
        self._lines.mkdir()
        for folder in (self._state, self._lines):
            os.chown(folder, _USER, _USER)
        self.point(self.driver.pointer([self.blue]))
        text = self.driver.config([self.blue, self.green], "d", 5.0, self._features)
        self._put("config", "d", {self.driver.FILENAME: text}, "current")
        mounts = {str(self._state): {"bind": "/run/switchback", "mode": "rw"}}
        if self._meter == "there":
            mounts[str(self._lines)] = {"bind": "/run/meter", "mode": "rw"}
        small = {"/run/meter": f"size=64k,uid={_USER},mode=0750"} if self._meter == "small" else {}
        self.proxy = self._run(
            "proxy",
            f"switchback/{self.kind}:local",
            entrypoint=["/bin/sh", "-c", self.driver.RUN],
            user=f"{_USER}:{_USER}",
            read_only=True,
            environment=self.driver.ENV,
            tmpfs={"/tmp": "", **small},
            volumes=mounts,
            ports={f"{self.driver.PORT}/tcp": ("127.0.0.1", self.port)},
        )
        until("the proxy reaches both releases", lambda: self._reaches(self.blue) and self._reaches(self.green))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error:
            print(self.proxy.logs().decode(errors="replace")[-2000:] if hasattr(self, "proxy") else "no proxy")
        mine: dict[str, Any] = {"label": f"switchback.environment={self.name}"}
        for container in self._docker.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        for network in self._docker.networks.list(filters=mine):
            network.remove()
        self._docker.close()

    # What an operator does.

    def point(self, files: Mapping[str, str], link: str = "current") -> None:
        """Moves the pointer in one rename, as the toolbox does."""
        self._put("pointer", new_generation(), files, link)

    def share(self, percent: int) -> None:
        """Gives green a share of what blue has."""
        self.point(self.shared(percent))

    def shared(self, percent: int) -> dict[str, str]:
        """The pointer that does so."""
        return dict(self.driver.shared_pointer(self.driver.pointer([self.blue]), [self.green], percent))

    def prepare(self, files: Mapping[str, str]) -> Callable[[], None]:
        """Writes a pointer that nothing uses yet; what is returned moves to it, with nothing but the rename."""
        name = new_generation()
        self._put("pointer", name, files, "prepared")
        return lambda: relink(self._state / "pointer", "current", name)

    # What can be seen.

    @property
    def url(self) -> str:
        """Where users come in."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str = "/", cookie: str = "", method: str = "GET") -> Answer:
        """An answer on the public port, with its body read to the end."""
        return _asked("127.0.0.1", self.port, path, cookie, method)

    def ask_inside(self, path: str = "/", cookie: str = "") -> Answer:
        """An answer on the inner port."""
        self.proxy.reload()
        [network] = self.proxy.attrs["NetworkSettings"]["Networks"].values()
        return _asked(network["IPAddress"], self.driver.PROBE_PORT, path, cookie, "GET")

    def upstream(self, cookie: str = "", path: str = "/") -> str:
        """The container that answered on the inner port."""
        return self.ask_inside(path, cookie).headers.get("X-Switchback-Upstream", "").partition(":")[0]

    def lines(self) -> list[Request]:
        """What the access lines say; one that names a release can be read, whatever else is there."""
        log = self._lines / "access.log"
        lines = log.read_bytes().splitlines() if log.exists() else []
        said = {line: parse(line) for line in lines if self.name.encode() in line or parse(line)}
        assert None not in said.values(), lines
        return [request for line in lines if (request := said.get(line))]

    def forget_lines(self) -> None:
        """Truncates the access lines, as the meter does."""
        os.truncate(self._lines / "access.log", 0)

    def _put(self, kind: str, name: str, files: Mapping[str, str], link: str) -> None:
        folder = self._state / kind
        folder.mkdir(exist_ok=True)
        write_generation(folder, name, files)
        for path in (self._state, folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)  # the tests run as another user than the proxy, and perhaps with a strict umask
        relink(folder, link, name)

    def _reaches(self, target: Target) -> bool:
        self.proxy.reload()
        assert self.proxy.status == "running", "the proxy has ended"
        self.point(self.driver.pointer([target]), "next")
        try:
            answer = self.ask_inside("/.switchback/next/web")
        except OSError:
            return False
        return answer.status == 200 and answer.headers.get("X-Switchback-Upstream", "").startswith(target.container)

    def _release(self, target: Target) -> Container:
        return self._run(f"web-{target.slot}-{target.version}", f"switchback/demo:{target.version}")

    def _run(self, name: str, image: str, **more: Any) -> Container:
        return self._docker.containers.run(
            image, name=f"{self.name}-{name}", network=self.name, labels=self._labels, detach=True, **more
        )


def _asked(host: str, port: int, path: str, cookie: str, method: str) -> Answer:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        return Answer(status=answer.status, body=answer.read().decode(), headers=dict(answer.getheaders()))
    finally:
        connection.close()

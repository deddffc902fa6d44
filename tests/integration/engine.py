"""A Docker Engine of a test's own, to be stopped and started without a word to the one that all others use."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from tests.integration.breaking import until


class OwnEngine:
    """A second `dockerd`: own data, own network namespace and so own packet filter, own names in containerd."""

    def __init__(self) -> None:
        # Short, for the sockets in it; and not on a tmpfs, for the images.
        self.home = Path(tempfile.mkdtemp(prefix="engine-", dir="/var/tmp"))
        self.host = f"unix://{self.home}/sock"
        self._log = (self.home / "log").open("w")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        program = shutil.which("dockerd", path=path)
        assert program, "dockerd is not installed on this machine"
        # In the host's network namespace, --bridge=none would take away the bridge of the engine that is there.
        root = {name: f"{self.home}/{name}" for name in ("data", "exec", "pid")}
        self._process = subprocess.Popen(
            [
                *("unshare", "--net", program, "--host", self.host, "--bridge=none"),
                *("--data-root", root["data"], "--exec-root", root["exec"], "--pidfile", root["pid"]),
                *("--default-address-pool", "base=10.213.0.0/16,size=24"),
                *("--containerd-namespace", self.home.name, "--containerd-plugins-namespace", f"{self.home.name}-p"),
            ],
            env={**os.environ, "PATH": path},
            stdout=self._log,
            stderr=self._log,
        )
        until("the engine answers", self._answers)

    def _answers(self) -> bool:
        assert self._process, "start it first"
        assert self._process.poll() is None, (self.home / "log").read_text()[-2000:]
        try:
            client = docker.DockerClient(base_url=self.host)
        except DockerException:
            return False
        client.close()
        return True

    def stop(self) -> None:
        """Stops it as a restart of the service would: its containers are stopped, and come back with it."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def take(self, images: Iterable[str]) -> None:
        """Copies images from the engine that all others use."""
        giving, taking = docker.from_env(), docker.DockerClient(base_url=self.host)
        api: Any = giving.api  # the client can give one image at a time only; the engine several, with layers once
        with api._get(api._url("/images/get"), params={"names": [*images]}, stream=True) as answer:
            api._raise_for_status(answer)
            taking.images.load(answer.iter_content(1 << 20))
        giving.close()
        taking.close()

    def remove(self) -> None:
        """Ends it and removes all that it held."""
        self.stop()
        self._log.close()
        shutil.rmtree(self.home)

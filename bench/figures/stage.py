"""A stage for the throughput figures: proxies of the real images, and something fast behind them."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
import msgspec
from docker.models.containers import Container

from switchback.proxies import DRIVERS

PORT = 8080
_USER = 10001
_CLIENTS = 32
_BACKEND = f"""\
pid /tmp/nginx.pid; error_log stderr; worker_processes 1; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 10000000; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b;
  fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server {{ listen {PORT}; location / {{ return 200 "ok"; }} }} }}
"""
# Half a core, in short periods: it is the proxy that is saturated then, and neither wrk nor what is behind it.
_PROXY_LIMITS = {"mem_limit": "256m", "cpu_period": 10_000, "cpu_quota": 5_000}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk saw, and what the proxy used meanwhile."""

    rate: float  # requests a second
    p99: float  # milliseconds
    cpu: float  # microseconds of the proxy's CPU a request, by the kernel's accounting


class Stage:
    """Containers on a network of their own, on this machine's Engine; all gone at the end of the `with`."""

    def __init__(self, home: Path) -> None:
        self._home, self.name = home, f"bench-{secrets.token_hex(3)}"
        self._docker = docker.from_env()
        self._running: list[Container] = []

    def __enter__(self) -> Stage:
        self._network = self._docker.networks.create(self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for container in self._running:
            container.remove(force=True)
        self._network.remove()
        self._docker.close()

    def backend(self, name: str) -> str:
        """Starts an nginx that answers every request with `ok`; returns its container's name."""
        folder = self._folder(name, {"nginx.conf": _BACKEND})
        self._run(name, "nginx", folder, "exec nginx -c /run/switchback/nginx.conf -g 'daemon off;'")
        return f"{self.name}-{name}"

    def proxy(self, name: str, kind: str, config: str, pointer: Mapping[str, str]) -> Container:
        """Starts a proxy as an environment would, with its configuration and its pointer in place."""
        driver = DRIVERS[kind]
        files = {f"config/1/{driver.FILENAME}": config, **{f"pointer/1/{file}": to for file, to in pointer.items()}}
        folder = self._folder(name, files)
        for part in ("config", "pointer"):
            (folder / part).mkdir(exist_ok=True)
            (folder / part / "current").symlink_to("1")
        container = self._run(name, kind, folder, driver.RUN, environment=driver.ENV, **_PROXY_LIMITS)
        _until_it_answers(container)
        return container

    def wrk(self, proxy: Container, seconds: int) -> Run:
        """Loads a proxy with 32 keep-alive connections; an answer that is no 2xx is an error."""
        before = self._cpu_seconds(proxy)
        said = subprocess.run(
            ["wrk", "-t1", f"-c{_CLIENTS}", f"-d{seconds}s", "--latency", _url(proxy)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        used = self._cpu_seconds(proxy) - before
        rate = re.search(r"Requests/sec: +([\d.]+)", said)
        p99 = re.search(r"(?m)^ +99% +([\d.]+)(us|ms|s)", said)
        sent = re.search(r"(\d+) requests in", said)
        if not (rate and p99 and sent) or "Non-2xx" in said or "Socket errors" in said:
            raise AssertionError(said)
        milliseconds = float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
        return Run(rate=float(rate[1]), p99=milliseconds, cpu=used / int(sent[1]) * 1e6)

    def _cpu_seconds(self, container: Container) -> float:
        stats: Any = self._docker.api.stats(str(container.id), stream=False, one_shot=True)
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def _folder(self, name: str, files: Mapping[str, str]) -> Path:
        folder = self._home / name
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        os.chown(folder, _USER, _USER)
        return folder

    def _run(self, name: str, image: str, folder: Path, command: str, **more: Any) -> Container:
        container = self._docker.containers.run(
            f"switchback/{image}:local",
            name=f"{self.name}-{name}",
            network=self.name,
            entrypoint=["/bin/sh", "-c", command],
            detach=True,
            user=f"{_USER}:{_USER}",
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108 - the container's own
            volumes={str(folder): {"bind": "/run/switchback", "mode": "rw"}},
            **more,
        )
        self._running.append(container)
        container.reload()
        return container


def _url(container: Container) -> str:
    [network] = container.attrs["NetworkSettings"]["Networks"].values()
    return f"http://{network['IPAddress']}:{PORT}/"


def _until_it_answers(container: Container) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(_url(container), timeout=2) as answer:  # noqa: S310 - our own container
                if answer.read() == b"ok":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{container.name} does not answer:\n{container.logs().decode(errors='replace')}")

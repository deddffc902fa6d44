"""A world for one test: its own backend, program, stack, ports and names; everything in it is real."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import msgspec
import yaml
from docker.models.containers import Container
from pulumi import automation as auto

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "a passphrase of the test's"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a `pulumi` command came to."""

    ok: bool
    text: str  # all that it printed, both streams
    seconds: float
    summary: dict[str, int] = {}  # what happened to how many resources: create, same, replace, …


def free_port() -> int:
    """A port of loopback that is free now, and that the system gives to nobody who asks for just any."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)  # Linux deals out 32768–60999
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


class World:
    """A project directory with a stack, and hands to work on it as a user would."""

    def __init__(
        self,
        home: Path,
        *,
        kind: str = "caddy",
        name: str | None = None,
        backend: Path | None = None,
        docker_host: str = "",
    ) -> None:
        self.home, self.kind, self.name = home, kind, name or f"t{secrets.token_hex(3)}"
        self.port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        for file in ("__main__.py", "Pulumi.yaml"):
            shutil.copy(ROOT / file, home)
        self.backend = backend or home / "state"
        self.backend.mkdir(exist_ok=True)
        self.env = {
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_CONFIG_PASSPHRASE_FILE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            **({"DOCKER_HOST": docker_host} if docker_host else {}),
        }
        self.docker = docker.DockerClient(base_url=docker_host) if docker_host else docker.from_env()
        self.config: dict[str, Any] = {
            "activeSlot": "blue",
            "slots": {"blue": {"imageTag": "1"}},
            "services": {"web": web()},
            "proxy": {
                "kind": kind,
                "address": "127.0.0.1",
                "httpPort": self.port,
                "drain": 5,
                **({"image": f"switchback/{kind}:local"} if kind != "none" else {}),
            },
        }
        self.stack = auto.create_stack(
            self.name, work_dir=str(home), opts=auto.LocalWorkspaceOptions(env_vars=self.env)
        )

    # What a user types.

    @property
    def config_file(self) -> Path:
        """The stack's file."""
        return self.home / f"Pulumi.{self.name}.yaml"

    def write_config(self) -> None:
        """Writes `self.config` into the stack's file, as a user's editor would; what is encrypted in it stays."""
        held = yaml.safe_load(self.config_file.read_text()) if self.config_file.exists() else {}
        held["config"] = {
            f"switchback:{key}": _merged(value, (held.get("config") or {}).get(f"switchback:{key}"))
            for key, value in self.config.items()
        }
        self.config_file.write_text(yaml.safe_dump(held, sort_keys=False))

    def up(self) -> Outcome:
        """`pulumi up`."""
        self.write_config()
        return self._ran(lambda: self.stack.up())

    def preview(self) -> Outcome:
        """`pulumi preview`."""
        self.write_config()
        return self._ran(lambda: self.stack.preview())

    def must_up(self) -> Outcome:
        """`pulumi up`, which succeeds."""
        outcome = self.up()
        assert outcome.ok, outcome.text
        return outcome

    def pulumi(self, *words: str, check: bool = True, env: Mapping[str, str] | None = None) -> Outcome:
        """Any `pulumi` command, as typed."""
        began = time.monotonic()
        ran = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--stack", self.name],
            cwd=self.home,
            env={**os.environ, **self.env, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        text = ran.stdout + ran.stderr
        assert ran.returncode == 0 or not check, text
        return Outcome(ok=ran.returncode == 0, text=text, seconds=time.monotonic() - began)

    def popen(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A `pulumi` command in a process group of its own, to be interrupted."""
        self.write_config()
        return subprocess.Popen(
            ["pulumi", *words, "--non-interactive", "--stack", self.name],
            cwd=self.home,
            env={**os.environ, **self.env, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return {key: held.value for key, held in self.stack.outputs().items()}

    def _ran(self, act: Any) -> Outcome:
        began = time.monotonic()
        try:
            done = act()
        except auto.CommandError as failed:
            return Outcome(ok=False, text=str(failed), seconds=time.monotonic() - began)
        summary = done.change_summary if hasattr(done, "change_summary") else done.summary.resource_changes
        counts = {str(getattr(op, "value", op)): int(n) for op, n in (summary or {}).items()}
        return Outcome(ok=True, text=done.stdout + done.stderr, seconds=time.monotonic() - began, summary=counts)

    # What a user sees.

    @property
    def url(self) -> str:
        """The environment's address."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str = "/", host: str = "") -> tuple[int, dict[str, Any]]:
        """Status and JSON body (empty when it is none) of a GET through the proxy."""
        request = urllib.request.Request(self.url + path, headers={"Host": host} if host else {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, body = refused.code, refused.read()
        try:
            said = json.loads(body)
        except ValueError:
            said = {}
        return status, said if isinstance(said, dict) else {}

    def serving(self, path: str = "/", host: str = "") -> str:
        """The version that answers."""
        return str(self.get(path, host)[1].get("version"))

    def container(self, service: str, slot: str, release: str) -> Container:
        """The container of a release."""
        return self.docker.containers.get(f"{self.name}-{service}-{slot}-{release}")

    def part(self, part: str) -> Container:
        """The proxy, the toolbox or the database."""
        return self.docker.containers.get(f"{self.name}-{part}")

    def containers(self) -> dict[str, str]:
        """All containers of the environment, running or not: name to id."""
        mine: dict[str, str | list[str] | bool] = {"label": f"switchback.environment={self.name}"}
        found = self.docker.containers.list(all=True, filters=mine, ignore_removed=True)
        return {str(container.name): str(container.id) for container in found}

    def close(self) -> None:
        """Removes what the test made, also after it broke its world, and only that."""
        for container in self.docker.containers.list(
            all=True, filters={"label": f"switchback.environment={self.name}"}
        ):
            container.remove(force=True, v=True)
        for volume in self.docker.volumes.list(filters={"label": f"switchback.environment={self.name}"}):
            volume.remove(force=True)
        for network in self.docker.networks.list(filters={"label": f"switchback.environment={self.name}"}):
            network.remove()
        self.docker.close()


def web(**more: Any) -> dict[str, Any]:
    """A service of the sample image behind `/`."""
    return {
        "image": "switchback/demo",
        "port": 8080,
        "routes": [{"path": "/"}],
        "health": {"timeout": 20},
        **more,
    }


def worker(**more: Any) -> dict[str, Any]:
    """A service without port and routes."""
    return {
        "image": "switchback/demo",
        "command": ["python3", "-m", "service", "worker"],
        "health": {"steady": 1, "timeout": 20},
        **more,
    }


def python() -> str:
    """The interpreter of the tests."""
    return sys.executable


def _merged(value: Any, held: Any) -> Any:
    """A value, with what is encrypted at the same place in the file kept."""
    if not isinstance(held, dict) or not isinstance(value, dict):
        return value
    encrypted = {key: kept for key, old in held.items() if (kept := _encrypted(old))}
    return encrypted | {key: _merged(new, held.get(key)) for key, new in value.items()}


def _encrypted(held: Any) -> Any:
    """The encrypted leaves of a tree, with the branches that lead to them; None when there are none."""
    if not isinstance(held, dict):
        return None
    if "secure" in held:
        return held
    return {key: kept for key, old in held.items() if (kept := _encrypted(old))} or None

"""The demo's stack: an ordinary stack of this project, named `demo`."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
STACK = "demo"
CONFIG = ROOT / f"Pulumi.{STACK}.yaml"
RESULT = ROOT / ".switchback" / "demo.json"
_FIRST_PORT, _PORTS = 8080, 20


def pulumi(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs `pulumi` as a person would type it, but for the questions; standard error comes with the output."""
    return subprocess.run(  # noqa: S603 - words of the demo's own
        ["pulumi", *words, "--non-interactive", "--stack", STACK],  # noqa: S607 - activate.sh put it on PATH
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def exists() -> bool:
    """Whether the stack is in the backend."""
    return pulumi("stack", "export").returncode == 0


def prepare() -> str:
    """Makes the stack where there is none, writes its topology, selects it; returns its address."""
    if not exists():
        made = subprocess.run(  # noqa: S603
            ["pulumi", "stack", "init", STACK, "--non-interactive"],  # noqa: S607
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise SystemExit(f"The stack could not be made:\n{made.stdout}{made.stderr}")
    held = (yaml.safe_load(CONFIG.read_text()) or {}) if CONFIG.exists() else {}
    before = held.get("config") or {}
    config = yaml.safe_load((ROOT / "demo" / "stack.yaml").read_text())
    port = (before.get("switchback:proxy") or {}).get("httpPort") or _free_port()
    config["switchback:proxy"]["httpPort"] = port
    CONFIG.write_text(yaml.safe_dump({**held, "config": config}, sort_keys=False))
    pulumi("stack", "select", STACK)
    return f"http://127.0.0.1:{port}"


def _free_port() -> int:
    """The first free port from 8080 on; SWITCHBACK_DEMO_PORT decides otherwise."""
    if chosen := os.environ.get("SWITCHBACK_DEMO_PORT"):
        return int(chosen)
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SystemExit(f"Ports {_FIRST_PORT}–{_FIRST_PORT + _PORTS - 1} are all taken: set SWITCHBACK_DEMO_PORT.")

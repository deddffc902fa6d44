"""A secret is in its container's environment, and nowhere else that anybody looks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.world import PASSPHRASE, ROOT, World

pytestmark = pytest.mark.integration

CANARY = "canary-7f3b1c90d2e84a55"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[str]]]:
    """An environment with a secret, and all that was printed while it was deployed, previewed and made to fail."""
    world = World(tmp_path_factory.mktemp("secret") / "world")
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}
    world.write_config()
    printed = []
    try:
        world.pulumi("config", "set", "--secret", "--path", "switchback:services.web.secretEnv.API_KEY", CANARY)
        printed.append(world.preview().text)
        # Not `--logtostderr`: with it Pulumi itself writes every property into its own trace, in plain. In debug
        # messages it blots out what is secret in the configuration, which is what can be asked of it here.
        debugged = world.pulumi("up", "--yes", "--debug").text
        assert "debug:" in debugged
        assert CANARY not in debugged
        # A release that prints its secret as it starts, and fails.
        world.config["slots"]["green"] = {"imageTag": "2", "env": {"FAIL_HEALTH": "1"}}
        world.config["activeSlot"] = "green"
        world.config["services"]["web"]["health"]["timeout"] = 3
        world.config["services"]["web"]["command"] = [
            "sh", "-c", 'echo "my key is $API_KEY" >&2; exec python3 -m service',
        ]  # fmt: skip
        failed = world.up()
        assert not failed.ok
        assert "my key is [secret]" in failed.text
        printed.append(failed.text)
        yield world, printed
    finally:
        world.close()


def secrets_of(world: World) -> list[str]:
    """The canary, and the passwords that were made."""
    env = dict(pair.split("=", 1) for pair in world.container("web", "blue", "1").attrs["Config"]["Env"])
    assert env["API_KEY"] == CANARY
    password = env["DATABASE_URL"].partition("://app:")[2].partition("@")[0]
    database = dict(pair.split("=", 1) for pair in world.part("database").attrs["Config"]["Env"])
    return [CANARY, password, database["POSTGRES_PASSWORD"], PASSPHRASE]


def test_G2_security_01_a_secret_is_in_no_output_state_history_or_file(told: tuple[World, list[str]]) -> None:
    world, printed = told
    exported = world.pulumi("stack", "export").text
    history = world.pulumi("stack", "history", "--json").text
    outputs = world.pulumi("stack", "output", "--json").text
    labels = json.dumps([world.docker.containers.get(name).labels for name in world.containers()])
    files = [path for path in [*world.home.rglob("*"), *world.backend.rglob("*")] if path.is_file()]
    assert len(files) > 5
    for secret in secrets_of(world):
        for place, text in {"export": exported, "history": history, "outputs": outputs, "labels": labels}.items():
            assert secret not in text, place
        for text in printed:
            at = text.find(secret)
            assert at < 0, text[max(0, at - 400) : at].replace(secret, "***")
        for path in files:
            assert secret.encode() not in path.read_bytes(), path


def test_G2_security_07_a_procedure_does_not_get_the_passphrase(told: tuple[World, list[str]]) -> None:
    world, _ = told
    world.config["slots"]["green"] = {"imageTag": "2", "revision": 2, "env": {"HANG_HEALTH": "1"}}
    process = world.popen("up", "--yes", "--skip-preview")
    try:
        seen: list[dict[str, str]] = []
        deadline = time.monotonic() + 60
        while not seen and time.monotonic() < deadline:
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    if "switchback" in child.cmdline() and "gate" in child.cmdline():
                        seen.append(child.environ())
                except psutil.Error:
                    continue
            time.sleep(0.05)
        assert seen, "no gate was seen"
        for environment in seen:
            assert PASSPHRASE not in environment.values()
            assert environment.get("PULUMI_CONFIG_PASSPHRASE", "") == ""
    finally:
        process.communicate(timeout=120)


def test_G2_security_08_fault_45_nobody_else_can_read_the_state_whatever_the_umask(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(ROOT / ".venv/bin/python")
    (project / ".switchback").mkdir(mode=0o700)
    for file in ("activate.sh", "setup/venv.sh"):
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text((ROOT / file).read_text())
    (project / ".switchback/toolchain.env").write_text((ROOT / ".switchback/toolchain.env").read_text())
    (project / "Pulumi.yaml").write_text("name: trivial\nruntime: python\n")
    (project / "__main__.py").write_text("import pulumi\npulumi.export('a', pulumi.Output.secret('b'))\n")
    script = "umask 022; source ./activate.sh; pulumi stack init one; pulumi up --yes; pulumi up --yes"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=project, env=kept, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    held = [path for path in (project / ".switchback").rglob("*") if path.name != "toolchain.env"]
    assert any(path.suffix == ".json" for path in held)
    assert any(path.name == "passphrase" for path in held)
    for path in held:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

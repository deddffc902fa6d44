"""What the containers of a deployed environment may do, asked of Docker and tried from within."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docker.models.containers import Container

from tests.integration.sharing import BOTH, shared_world
from tests.integration.world import World, worker

pytestmark = pytest.mark.integration

_DIAL = (
    "import socket,sys\n"
    "s=socket.socket(); s.settimeout(3)\n"
    "try: s.connect((sys.argv[1], int(sys.argv[2])))\n"
    "except OSError as e: print('refused', e); sys.exit(7)\n"
    "print('connected')\n"
)


def declare(world: World) -> None:
    """An environment with everything in it."""
    world.config["services"]["jobs"] = worker()
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["database"] = {"embedded": True, "image": "switchback/postgres:local"}


full = shared_world(declare, proxies=BOTH)


def containers(world: World) -> list[Container]:
    """All of an environment's containers."""
    return [world.docker.containers.get(name) for name in world.containers()]


def test_G2_security_11_every_container_is_confined(full: World) -> None:
    assert len(containers(full)) == 7
    for container in containers(full):
        host: dict[str, Any] = container.attrs["HostConfig"]
        name = str(container.name)
        assert host["ReadonlyRootfs"] is True, name
        assert host["Privileged"] is False, name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["CapDrop"] == ["ALL"], name
        allowed = ["CAP_NET_BIND_SERVICE"] if name.endswith("-proxy") else None
        assert host["CapAdd"] == allowed, name
        assert host["Memory"] > 0, name
        assert host["CpuQuota"] > 0, name
        assert not any("docker.sock" in json.dumps(mount) for mount in container.attrs["Mounts"]), name


def test_G2_security_11_what_runs_has_a_bound_on_processes_and_is_not_root(full: World) -> None:
    running = [container for container in containers(full) if container.status == "running"]
    assert len(running) == 6
    for container in running:
        assert (container.attrs["HostConfig"]["PidsLimit"] or 0) > 0, container.name
        status = _output(container, ["cat", "/proc/self/status"])
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split()[0] != "0", container.name
        assert int(fields["CapPrm"], 16) == 0, container.name
        assert fields["NoNewPrivs"] == "1", container.name


def test_G2_security_12_what_runs_is_pinned_by_digest(full: World) -> None:
    for slot in full.outputs()["releases"].values():
        for release in slot.values():
            assert release["image"].startswith("sha256:")
            assert full.docker.containers.get(release["container"]).attrs["Config"]["Image"] == release["image"]


def test_G2_security_13_only_the_proxy_publishes_a_port(full: World) -> None:
    for container in containers(full):
        published = {port: to for port, to in (container.attrs["NetworkSettings"]["Ports"] or {}).items() if to}
        if str(container.name).endswith("-proxy"):
            assert published == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(full.port)}]}
        else:
            assert published == {}, container.name


def test_G2_security_13_the_proxys_admin_cannot_be_reached_from_a_service(full: World) -> None:
    service = full.container("web", "blue", "1")
    assert _dial(service, f"{full.name}-proxy", 8080).startswith("connected")
    assert _dial(service, f"{full.name}-proxy", 2019).startswith("refused")


def test_G2_security_14_the_database_is_closed_to_the_outside(full: World, tmp_path: Any) -> None:
    database = full.part("database")
    [network] = database.attrs["NetworkSettings"]["Networks"].values()
    assert _dial(full.container("web", "blue", "1"), f"{full.name}-database", 5432).startswith("connected")
    stranger = World(tmp_path / "stranger")
    try:
        stranger.must_up()
        assert _dial(stranger.container("web", "blue", "1"), network["IPAddress"], 5432).startswith("refused")
    finally:
        stranger.close()
    argv = ["psql", f"host={network['IPAddress']} user=postgres password=wrong dbname=app", "-c", "SELECT 1"]
    assert "password authentication failed" in _output(full.part("toolbox"), argv)


def test_G2_security_15_the_application_owns_its_database_and_nothing_else(full: World) -> None:
    env = dict(pair.split("=", 1) for pair in full.container("web", "blue", "1").attrs["Config"]["Env"])
    asked = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    argv = ["psql", env["DATABASE_URL"], "-At", "-c", asked]
    assert _output(full.part("toolbox"), argv).strip() == "f|f|f"


def _output(container: Container, argv: list[str]) -> str:
    ran = container.exec_run(argv).output
    assert isinstance(ran, bytes)
    return ran.decode()


def _dial(container: Container, host: str, port: int) -> str:
    return _output(container, ["python3", "-c", _DIAL, host, str(port)])

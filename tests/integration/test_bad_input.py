"""Bad input: refused before anything is changed, with one message that names the key and what to do."""

from __future__ import annotations

import copy
import http.server
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from switchback.docker_host import Engine
from switchback.observe import VOLUME
from tests.integration.conftest import MakeWorld
from tests.integration.world import World, free_port, web

pytestmark = pytest.mark.integration

Change = Callable[[dict[str, Any]], Any]


class Stage:
    """A deployed environment that is offered one bad configuration after another."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.must_up()
        self._base = copy.deepcopy(world.config)
        self._was = self._state()

    def config(self) -> dict[str, Any]:
        """The configuration that runs, to be changed."""
        self.world.config = copy.deepcopy(self._base)
        return self.world.config

    def refused(self, *, env: dict[str, str] | None = None) -> str:
        """What `pulumi preview` says, and then `pulumi up`. Nothing may have changed after either."""
        said = ""
        self.world.write_config()
        for words in (("preview",), ("up", "--yes", "--skip-preview")):
            outcome = self.world.pulumi(*words, check=False, env=env)
            assert not outcome.ok, outcome.text
            assert "Traceback" not in outcome.text
            assert "what served still serves" in outcome.text or "what serves still serves" in outcome.text
            self.check_unchanged()
            said += outcome.text
        return said

    def check_unchanged(self) -> None:
        """Containers, pointer and configuration are what they were, and the traffic is answered."""
        assert self.world.serving() == "1"
        assert self._state() == self._was

    def _state(self) -> Any:
        containers = {
            name: (found, self.world.docker.containers.get(name).attrs["State"]["StartedAt"])
            for name, found in self.world.containers().items()
        }
        tree = Engine().read_tree(f"{self.world.name}-toolbox", VOLUME)
        return containers, tree, [network.id for network in self.world.docker.networks.list(names=[self._network])]

    @property
    def _network(self) -> str:
        return f"switchback-{self.world.name}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One environment for the module, because no test here changes it."""
    world = World(tmp_path_factory.mktemp("input") / "world")
    try:
        yield Stage(world)
    finally:
        world.close()


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    """That environment, with the configuration that runs; it has to be unchanged afterwards."""
    shared.config()
    yield shared
    shared.check_unchanged()


def _two_services_with_one_route(config: dict[str, Any]) -> None:
    config["services"]["web"]["routes"] = [{"host": "app.example.com", "path": "/ui/"}]
    config["services"]["ui"] = web(routes=[{"path": "/"}, {"host": "app.example.com", "path": "/ui"}])


WRONG: dict[str, tuple[Change, str]] = {
    "a slot that is none": (
        lambda config: config.update(activeSlot="purple"),
        "activeSlot: 'purple' is not one of 'blue', 'green'",
    ),
    "a slot without a tag": (
        lambda config: config["slots"].update(green={"revision": 2}),
        "slots/green/imageTag: is missing (Tag of every service's image in this release",
    ),
    "the active slot without a release": (
        lambda config: config.update(activeSlot="green"),
        "slots/green/imageTag: is missing, but activeSlot is green",
    ),
    "an unknown key": (
        lambda config: config["proxy"].update(htpPort=80),
        "proxy/htpPort: unknown key (did you mean httpPort?)",
    ),
    "an unknown key at the top": (
        lambda config: config.update(activeslot="blue"),
        "activeslot: unknown key (did you mean activeSlot?)",
    ),
    "a port out of range": (
        lambda config: config["services"]["web"].update(port=70000),
        "services/web/port: 70000 is not a port (1–65535)",
    ),
    "a tag that Docker would refuse": (
        lambda config: config["slots"].update(green={"imageTag": "1.5 beta"}),
        "slots/green/imageTag: '1.5 beta' is not a tag that Docker takes",
    ),
    "two services with one route": (
        _two_services_with_one_route,
        "services/web/routes/0: app.example.com/ui is a route of ui already",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_G2_a_wrong_setting_is_refused_by_its_key(stage: Stage, case: str) -> None:
    change, message = WRONG[case]
    change(stage.world.config)
    said = stage.refused()
    assert (
        f"1 error in the configuration of this stack; nothing was changed, what served still serves:\n  {message}"
        in ("\n".join(line.removeprefix("    ") for line in said.splitlines()))
    )
    assert said.count(message) == 2  # once by each
    assert "Mend it with `pulumi config set --path switchback:KEY VALUE`" in said


def test_G2_several_errors_are_told_at_once(stage: Stage) -> None:
    # A slot cannot be missing and have a wrong tag as well.
    cases = [case for name, case in WRONG.items() if "without" not in name]
    for change, _ in cases:
        change(stage.world.config)
    said = stage.refused()
    assert f"{len(cases)} errors in the configuration of this stack" in said
    for _, message in cases:
        assert message in said


def test_03_shell_characters_are_refused_wherever_a_form_is_given(stage: Stage) -> None:
    pwn = Path(f"/tmp/pwn-{secrets.token_hex(6)}")
    evil = f"x;$(touch {pwn})`touch {pwn}`|touch {pwn}"
    stage.world.config = {
        "activeSlot": evil,
        "slots": {"blue": {"imageTag": evil, "revision": evil, "env": {evil: "x"}}, evil: {"imageTag": "1"}},
        "services": {
            evil: {"image": "a"},
            "web": {
                "image": evil,
                "port": evil,
                "routes": [{"host": evil, "path": evil}],
                "health": {"path": evil, "interval": evil, "timeout": evil, "steady": evil},
                "env": {evil: "x"},
                "secretEnv": {},
                "resources": {"memory": evil, "cpus": evil},
                "activeSlot": evil,
                "user": evil,
                "capabilities": [evil],
                "mounts": [{"source": evil, "target": evil}],
            },
        },
        "proxy": {"kind": evil, "image": evil, "address": evil, "httpPort": evil, "drain": evil},
        "database": {"embedded": evil, "image": evil},
        "toolbox": {"image": evil},
        evil: evil,
    }
    said = stage.refused()
    keys = """
        activeSlot slots/blue/imageTag slots/blue/revision services/web/image services/web/port
        services/web/routes/0/host services/web/routes/0/path services/web/health/path services/web/health/interval
        services/web/health/timeout services/web/health/steady services/web/resources/memory
        services/web/resources/cpus services/web/activeSlot services/web/user services/web/capabilities/0
        services/web/mounts/0/source services/web/mounts/0/target proxy/kind proxy/image proxy/address proxy/httpPort
        proxy/drain database/embedded database/image toolbox/image
    """
    told = [line.strip() for line in said.splitlines()]
    for key in keys.split():
        assert any(line.startswith(f"{key}: ") for line in told), key
    for named in (f"slots/{evil}: ", f"services/{evil}: ", f"slots/blue/env/{evil}: ", f"{evil}: unknown key"):
        assert any(line.startswith(named) for line in told), named
    assert not pwn.exists()


def test_03_shell_characters_where_any_text_goes_are_text(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world()
    name = f"pwn-{secrets.token_hex(6)}"
    evil = f"x;$(touch /tmp/{name})`touch /tmp/{name}`|touch /tmp/{name} & \"' \\ \n #{{}}%s touch /tmp/{name}"
    mounted = tmp_path / f";$(touch {name})"
    mounted.mkdir()
    mounted.chmod(0o755)  # whatever the umask: the service runs as a user of its own
    (mounted / "there").touch()
    starts_the_service = "import runpy, sys; sys.argv[1:] = []; runpy.run_module('service', run_name='__main__')"
    service = world.config["services"]["web"]
    service["env"] = {"PLAIN": evil}
    service["secretEnv"] = {}
    service["command"] = ["python3", "-c", starts_the_service, evil]
    service["mounts"] = [{"source": str(mounted), "target": f"/;$(touch {name})", "readOnly": True}]
    world.config["slots"]["blue"]["env"] = {"FOO": evil}
    world.write_config()
    world.pulumi("config", "set", "--secret", "--path", "services.web.secretEnv.TOKEN", evil)
    world.must_up()
    assert world.get("/")[1]["env"]["FOO"] == evil
    container = world.container("web", "blue", "1")
    given = dict(pair.split("=", 1) for pair in container.attrs["Config"]["Env"])
    assert {given[key] for key in ("PLAIN", "FOO", "TOKEN")} == {evil}
    assert container.attrs["Config"]["Cmd"][-1] == evil
    assert _ran(container, "ls", f"/;$(touch {name})").split() == ["there"]
    # A release that fails is told about, which is one more way for a text to go.
    world.config["slots"]["blue"] |= {"revision": 2, "env": {"FOO": evil, "FAIL_HEALTH": "1"}}
    service["health"] = {"timeout": 1}
    assert not world.up().ok
    assert not Path(f"/tmp/{name}").exists()
    for own in world.containers():
        listed = _ran(world.docker.containers.get(own), "ls", "-a", "/", "/tmp", "/run")
        assert name not in listed.replace(f";$(touch {name})", "")


def _ran(container: Container, *words: str) -> str:
    """What a program in a container printed."""
    code, output = container.exec_run(list(words))
    assert code == 0
    assert isinstance(output, bytes)
    return output.decode()


@contextmanager
def listening() -> Iterator[int]:
    """A port of loopback that this process holds."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield int(held.getsockname()[1])


def test_fault_07_a_port_that_a_process_holds_is_refused_with_its_name(stage: Stage) -> None:
    with listening() as port:
        stage.world.config["proxy"]["httpPort"] = port
        said = stage.refused()
    assert f"proxy/httpPort: port {port} of the Docker host is taken by " in said
    assert f"(process {os.getpid()})" in said


def test_fault_07_a_new_environment_is_not_begun_on_a_taken_port(make_world: MakeWorld) -> None:
    world = make_world()
    with listening() as port:
        world.config["proxy"]["httpPort"] = port
        outcome = world.up()
    assert not outcome.ok
    assert f"(process {os.getpid()})" in outcome.text
    assert world.containers() == {}
    assert world.docker.networks.list(names=[f"switchback-{world.name}"]) == []


def test_fault_07_a_port_that_a_container_holds_is_refused_with_its_name(stage: Stage) -> None:
    name, port = f"holder-{secrets.token_hex(4)}", free_port()
    holder = stage.world.docker.containers.create(
        "switchback/demo:1", name=name, ports={"8080/tcp": ("127.0.0.1", port)}, init=True
    )
    try:
        holder.start()
        stage.world.config["proxy"]["httpPort"] = port
        said = stage.refused()
        assert f"proxy/httpPort: port {port} of the Docker host is taken by container {name}; set another" in said
        # The same port of another address is another port.
        stage.world.config["proxy"]["address"] = "127.0.0.2"
        assert stage.world.preview().ok
    finally:
        holder.remove(force=True)


def test_fault_23_docker_out_of_reach_is_known_before_anything(stage: Stage) -> None:
    stage.world.config["activeSlot"] = "blue"
    said = stage.refused(env={"DOCKER_HOST": "unix:///nonexistent"})
    assert "Docker does not answer at unix:///nonexistent: " in said
    assert "Start Docker, or set DOCKER_HOST, and run it again." in said


@contextmanager
def empty_registry() -> Iterator[str]:
    """A registry that answers and has nothing: its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
            self.send_response(200 if self.path == "/v2/" else 404)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def offered(config: dict[str, Any], registry: str) -> None:
    """A release in green of an image from there, which shall take the traffic."""
    config["services"]["web"]["image"] = f"{registry}/acme/web"
    config["slots"]["green"] = {"imageTag": "9"}
    config["activeSlot"] = "green"


@pytest.mark.parametrize("answers", [True, False], ids=["has it not", "is down"])
def test_fault_05_an_image_that_is_nowhere_is_refused_and_left_again(stage: Stage, answers: bool) -> None:
    with empty_registry() as registry:
        if not answers:
            registry = f"127.0.0.1:{free_port()}"
        offered(stage.world.config, registry)
        said = stage.refused()
        image = f"image {registry}/acme/web:9 is neither on the Docker host nor in its registry ("
        assert f"slots/green/imageTag of services/web/image: {image}" in said
        # The way back waits for nothing, whatever is declared for the slot that is left.
        stage.world.config["activeSlot"] = "blue"
        back = stage.world.must_up()
    assert image in back.text
    assert "the standby slot goes without it, so a switch to it would be refused" in back.text
    assert back.summary.keys() == {"same"}


def test_fault_05_a_slot_whose_image_went_is_left_like_any_other(make_world: MakeWorld) -> None:
    world = make_world()
    image = f"switchback-{world.name}"
    for tag in ("1", "2"):
        world.docker.images.get(f"switchback/demo:{tag}").tag(image, tag)
    try:
        world.config["services"]["web"]["image"] = image
        world.config["slots"]["green"] = {"imageTag": "2"}
        world.config["activeSlot"] = "green"
        world.must_up()
        assert world.serving() == "2"
    finally:
        for tag in ("1", "2"):
            world.docker.images.remove(f"{image}:{tag}")
    before = world.containers()
    world.config["activeSlot"] = "blue"
    world.must_up()
    assert world.serving() == "1"
    assert world.containers() == before


def test_fault_05_and_so_is_one_whose_container_went_too(make_world: MakeWorld) -> None:
    world = make_world()
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    world.must_up()
    world.container("web", "green", "2").remove(force=True)
    assert world.get()[0] in (502, 503)
    world.config["services"]["web"]["image"] = f"127.0.0.1:{free_port()}/acme/web"
    world.config["activeSlot"] = "blue"
    done = world.must_up()
    assert world.serving() == "1"
    assert "the standby slot goes without it" in done.text
    assert set(world.must_up().summary) == {"same"}

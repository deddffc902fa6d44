"""What was seen: how the tree of the shared volume and the list of containers are understood."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.inside.look import changed, running, tree
from switchback.observation import Links, Observation, Seen, digest_of, read_links
from switchback.proxies import DRIVERS
from switchback.specs import Route, Target

CADDY = {
    "pointer/current": b"-> 2.000-bb",
    "pointer/verified": b"-> 1.000-aa",
    "pointer/next": b"-> 2.000-bb",
    "pointer/1.000-aa/web": b"t-web-blue-1:8080",
    "pointer/2.000-bb/web": b"t-web-green-2:8080",
    "config/current": b"-> 0123456789ab",
    "config/verified": b"-> 0123456789ab",
    "config/0123456789ab/caddy.json": b"{}",
}


def observed(links: Links, *containers: Seen) -> Observation:
    """An observation of these containers."""
    return Observation(containers={seen.name: seen for seen in containers}, links=links, foreign_ports={})


def test_links_are_followed() -> None:
    links = read_links(CADDY)
    assert links == Links(
        current={"web": "t-web-green-2:8080"},
        verified={"web": "t-web-blue-1:8080"},
        config_current="0123456789ab",
        config_verified="0123456789ab",
        config_contents={"caddy.json": digest_of(b"{}")},
        verified_at=1.0,
    )


def test_an_empty_volume_says_nothing() -> None:
    assert read_links({}) == Links()
    assert observed(Links()).pointed() == {}


def test_links_into_the_void_say_nothing() -> None:
    assert read_links({"pointer/current": b"-> gone", "config/current": b"-> gone"}) == Links()


def test_a_generation_is_not_taken_for_one_whose_name_begins_alike() -> None:
    tree = {"pointer/current": b"-> 1", "pointer/1/web": b"a:1", "pointer/10/web": b"b:1", "pointer/10/api": b"c:1"}
    assert read_links(tree).current == {"web": "a:1"}


@pytest.mark.parametrize("emptied", [{"config/0123456789ab/caddy.json": b""}, {"config/0123456789ab/other": b""}])
def test_fault_11_an_emptied_configuration_is_none(emptied: dict[str, bytes]) -> None:
    tree = {path: content for path, content in CADDY.items() if not path.startswith("config/0")}
    links = read_links({**tree, **emptied})
    assert (links.config_current, links.config_verified) == ("", "")
    assert not links.has_config("0123456789ab")


@pytest.mark.parametrize("content", [b"", b"somewhere:80", b"\xff"])
def test_fault_11_a_pointer_that_was_emptied_or_edited_is_not_what_is_declared(content: bytes) -> None:
    pointer = {"web": "t-web-green-2:8080"}
    tree = {**CADDY, "pointer/verified": b"-> 2.000-bb"}
    assert read_links(tree).points_to(pointer)
    assert not read_links({**tree, "pointer/2.000-bb/web": content}).points_to(pointer)
    assert not read_links({k: v for k, v in tree.items() if k != "pointer/2.000-bb/web"}).points_to(pointer)
    assert not read_links({**tree, "pointer/2.000-bb/api": b"other:1"}).points_to(pointer)


def test_what_was_never_verified_is_not_in_order() -> None:
    links = read_links(CADDY)
    assert links.current == {"web": "t-web-green-2:8080"}
    assert not links.points_to({"web": "t-web-green-2:8080"})
    assert read_links({**CADDY, "pointer/verified": b"-> 2.000-bb"}).points_to({"web": "t-web-green-2:8080"})
    assert not read_links({**CADDY, "config/verified": b"-> other"}).has_config("0123456789ab")


@pytest.mark.parametrize(
    ("status", "runs"),
    [("running", True), ("restarting", False), ("exited", False), ("created", False), ("paused", False)],
)
def test_only_what_runs_is_running(status: str, runs: bool) -> None:
    seen = Seen(name="t-web-blue-1", id="1", status=status, labels={}, ports=())
    assert observed(Links(), seen).running("t-web-blue-1") is runs
    assert not observed(Links(), seen).running("t-web-blue-2")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("web", "t-web-blue-1:8080"),
        ("web", " t-web-blue-1:8080\n"),  # as an editor leaves it
        ("web", "t-web-blue-1"),
        ("web@t-web-blue-1", "t-web-blue-1:8080"),  # nginx
        ("web@t-web-blue-1", "t-web-green-2:8080"),  # nginx, renamed by hand: it looks at the name alone
    ],
)
def test_the_pointer_names_a_container_whichever_proxy_reads_it(file: str, content: str) -> None:
    assert observed(Links(current={file: content})).pointed() == {"web": "t-web-blue-1"}


names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
containers = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)


@given(st.dictionaries(names, containers, max_size=5), st.sampled_from(["caddy", "nginx"]), st.integers(1, 65535))
def test_any_pointer_is_read_back(wanted: dict[str, str], kind: str, port: int) -> None:
    targets = [
        Target(
            service=service,
            slot="blue",
            release="1",
            version="1",
            container=container,
            port=port,
            routes=(Route(host="", path="/"),),
        )
        for service, container in wanted.items()
    ]
    pointer = DRIVERS[kind].pointer(targets)
    tree = {f"pointer/g/{name}": content.encode() for name, content in pointer.items()}
    links = read_links({**tree, "pointer/current": b"-> g", "pointer/verified": b"-> g"})
    assert links.points_to(pointer)
    assert observed(links).pointed() == wanted


paths = st.lists(st.sampled_from(["pointer", "config", "current", "verified", "a", "..", ""]), max_size=4).map("/".join)
contents = st.binary(max_size=12) | st.sampled_from([b"-> a", b"-> ../a", b"-> a/", b"-> /", b"->"])


@given(st.dictionaries(paths, contents, max_size=8))
def test_no_tree_is_too_odd_to_be_read(tree: dict[str, bytes]) -> None:
    links = read_links(tree)
    assert all(isinstance(service, str) for service in observed(links).pointed())
    assert not (links.config_current and not any(content for content in tree.values()))


@pytest.mark.parametrize(
    ("labels", "replaced"),
    [
        ({"part": "proxy", "made": "1"}, ""),  # of an older version
        ({"service": "web", "made": "1", "image": "sha256:aaaa"}, ""),
        ({"service": "web", "made": "1", "image": "sha256:bbbb"}, "it runs image aaaa, not bbbb as it was made"),
        ({"part": "functional-gate"}, ""),
        ({}, "it was not made by Switchback"),
    ],
)
def test_E3_a_container_is_told_from_one_that_took_its_name(labels: dict[str, str], replaced: str) -> None:
    named = {f"switchback.{name}": value for name, value in labels.items()}
    seen = Seen(name="t", id="1", status="running", labels=named, ports=(), image_id="sha256:aaaa")
    assert seen.replaced == replaced


def test_E3_an_edit_of_a_configuration_file_shows_only_where_it_was_looked_at() -> None:
    links = read_links(CADDY)
    assert not links.edited("caddy.json", "{}")
    assert links.edited("caddy.json", "{ }")
    assert links.edited("nginx.conf", "{}")
    assert not Links(config_current="0123456789ab").edited("caddy.json", "{}")


@pytest.mark.parametrize(("generation", "at"), [("1732137600.123-a1b2", 1732137600.123), ("by-hand", 0.0), ("", 0.0)])
def test_E3_a_generation_tells_when_it_was_made(generation: str, at: float) -> None:
    assert read_links({"pointer/verified": f"-> {generation}".encode()}).verified_at == at


def test_E3_the_toolbox_tells_what_the_links_lead_to_as_the_volume_itself_does(tmp_path: Path) -> None:
    for path, content in CADDY.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith(b"-> "):
            file.symlink_to(content[3:].decode())
        else:
            file.write_bytes(content)
    (tmp_path / "pointer/2.000-bb/odd").write_bytes(b"\xff\x00")
    (tmp_path / "record.json").write_text("{}")
    (tmp_path / "pointer/3.000-cc").mkdir()
    (tmp_path / "pointer/3.000-cc/web").write_text("of no concern")
    sent = json.loads(json.dumps(tree(str(tmp_path))))
    told = {path: text.encode(errors="surrogateescape") for path, text in sent.items()}
    known = {path: content for path, content in CADDY.items() if path != "pointer/next"}
    assert told == {**known, "pointer/2.000-bb/odd": b"\xff\x00", "record.json": b"{}"}
    assert tree(str(tmp_path / "nowhere")) == {}


def test_E3_a_proxy_that_does_not_answer_runs_nothing_of_ours() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert running("127.0.0.1", nobody.getsockname()[1]) == ""


@pytest.mark.parametrize(
    ("answer", "digest"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n0123456789ab", "0123456789ab"),
        (b"HTTP/1.1 404 Not Found\r\n\r\nNo such route.", ""),
        (b"nonsense", ""),
        (b"", ""),
    ],
)
def test_E3_the_proxys_answer_is_its_configuration(answer: bytes, digest: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        answering = threading.Thread(target=serve)
        answering.start()
        assert running("127.0.0.1", server.getsockname()[1]) == digest
        answering.join()


class _Admin(socketserver.StreamRequestHandler):
    """Answers as Caddy's admin endpoint does, with what is loaded."""

    loaded = b"{}"

    def handle(self) -> None:
        asked = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        status = b"200 OK" if asked.startswith(b"GET /config/ ") else b"404 Not Found"
        self.wfile.write(b"HTTP/1.0 %s\r\nContent-Type: application/json\r\n\r\n%s\n" % (status, self.loaded))


@pytest.mark.parametrize(
    ("loaded", "written", "by_hand"),
    [
        ('{"b": [1, 2], "a": {}}', '{\n  "a": {},\n  "b": [1, 2]\n}\n', False),  # order and white space say nothing
        ('{"a": {}, "b": [1, 3]}', '{"a": {}, "b": [1, 2]}', True),
        ("null", "{}", True),
        ("no JSON", "{}", False),
        ("{}", "no JSON", False),  # that the file was edited is seen by itself
    ],
)
def test_E3_what_caddy_has_loaded_is_held_against_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: str, written: str, by_hand: bool
) -> None:
    seen = {"config/current": "-> 0123456789ab", "config/0123456789ab/caddy.json": written}
    socket_file = str(tmp_path / "s")
    assert not changed(seen, socket_file)  # nobody to ask
    monkeypatch.setattr(_Admin, "loaded", loaded.encode())
    with socketserver.UnixStreamServer(socket_file, _Admin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert changed(seen, socket_file) is by_hand
        assert not changed({"config/current": "-> 0123456789ab", "config/0123456789ab/nginx.conf": ""}, socket_file)
        server.shutdown()
        thread.join()
    assert not changed(seen, socket_file)  # a socket that nobody listens at

"""The instruments: a load that repeats nothing, and results that keep their shape."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench import run as bench_run
from bench.figure import Figure, at_least, at_most
from bench.figures import throughput
from bench.load import KINDS, Load, run
from switchback.proxies import DRIVERS


class _Breaking(socketserver.StreamRequestHandler):
    """Answers every second request, and closes the connection in the face of the others."""

    asked = 0

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline().strip()) != b"":
                if header.lower().startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            self.rfile.read(length)
            assert line
            with _LOCK:
                _Breaking.asked += 1
                broken = _Breaking.asked % 2 == 0
            if broken:
                return
            body = b'{"version": "1"}'
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


_LOCK = threading.Lock()


@pytest.fixture
def breaking() -> Iterator[str]:
    """The address of a server that breaks every second request."""
    _Breaking.asked = 0
    with _Server(("127.0.0.1", 0), _Breaking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_every_broken_request_is_counted_and_none_is_repeated(breaking: str) -> None:
    with Load(breaking, clients=4, rate=200, minimum=25, seconds=30) as load:
        pass
    tally = load.tally
    assert set(tally.requests) == set(KINDS)
    assert min(tally.requests.values()) >= 25
    assert tally.total == _Breaking.asked  # the server saw each of them once
    assert tally.total_failed == tally.total // 2
    assert tally.served == {"1": tally.total - tally.total_failed}


@pytest.mark.parametrize("address", ["http://192.0.2.1/", "http://10.0.0.1:80/"])
def test_only_loopback_is_loaded(address: str) -> None:
    with pytest.raises(ValueError, match="not on loopback"):
        run(address, clients=1, rate=1, seconds=0.1)


def test_results_keep_their_shape_and_their_other_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, readme = tmp_path / "results.json", tmp_path / "README.md"
    readme.write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    monkeypatch.setattr(bench_run, "RESULTS", results)
    monkeypatch.setattr(bench_run, "README", readme)
    bench_run._write(at_most("rollback", "a rollback", 1.2345, "×", 1.5))
    bench_run._write(at_least("throughput-caddy", "its throughput", 0.8, "×", 0.85))
    bench_run._write(at_most("rollback", "a rollback", 1.6, "×", 1.5))
    held = json.loads(results.read_text())
    assert [list(entry) for entry in held] == [["id", "what", "value", "unit", "bar", "holds", "at"]] * 2
    assert {entry["id"]: (entry["value"], entry["holds"]) for entry in held} == {
        "throughput-caddy": (0.8, False),
        "rollback": (1.6, False),
    }
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a rollback | 1.6 × | ≤ 1.5 ×, missed |" in text


def test_a_bar_says_which_side_of_it_is_right() -> None:
    text = bench_run.table(
        [
            at_least("throughput-caddy", "throughput", 0.9, "×", 0.85),
            at_least("throughput-nginx", "throughput", 0.9, "×", 0.95),
            at_most("rollback", "a rollback", 1.2, "×", 1.5),
            at_most("noop-1", "nothing to do", 2.5, "s", None),
        ]
    )
    assert text.splitlines()[3:] == [
        "| throughput | 0.9 × | ≥ 0.85 ×, holds |",
        "| throughput | 0.9 × | ≥ 0.95 ×, missed |",
        "| a rollback | 1.2 × | ≤ 1.5 ×, holds |",
        "| nothing to do | 2.5 s | – |",
        "",
    ]


def test_a_group_that_fails_is_no_loss_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(ids: set[str]) -> list[Figure]:
        if "one" in ids:
            raise AssertionError("no machine is that slow")
        return [at_most("two", "it", 1, "s", 2)]

    results = tmp_path / "results.json"
    monkeypatch.setattr(bench_run, "RESULTS", results)
    monkeypatch.setattr(bench_run, "README", tmp_path / "README.md")  # there is none, and none is made
    monkeypatch.setattr(bench_run, "GROUPS", [(("one",), measured), (("two",), measured)])
    assert bench_run.main([]) == 1
    assert [entry["id"] for entry in json.loads(results.read_text())] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("kind", list(DRIVERS))
def test_the_fixed_proxy_is_the_generated_one_but_for_its_upstream(kind: str) -> None:
    blue, green = (throughput._target(slot, f"shop-web-{slot}-1") for slot in ("blue", "green"))
    text = DRIVERS[kind].config([blue, green], "d", 30.0)
    fixed = throughput.fix(kind, text, blue)
    assert blue.address in fixed
    changed = {line.strip() for line in set(fixed.splitlines()) - set(text.splitlines())}
    assert changed <= {f'"dial": "{blue.address}"', f"proxy_pass http://{blue.container};"}


def test_what_is_published_is_what_is_known() -> None:
    known = {one for group, _ in bench_run.GROUPS for one in group}
    published = msgspec.json.decode(bench_run.RESULTS.read_bytes(), type=list[Figure])
    assert {figure.id for figure in published} <= known


def test_an_unknown_figure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_run.main(["nonsense"]) == 2
    assert "rollback" in capsys.readouterr().err

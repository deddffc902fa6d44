"""A proxy that can hold requests, with two real releases behind it and the toolbox that holds them."""

from __future__ import annotations

import http.client
from pathlib import Path

from switchback.proxies import holding
from switchback.specs import Features, Maintenance, Place
from tests.integration.behind import Behind
from tests.integration.breaking import until

TOOLBOX = "switchback/toolbox:local"


class Holding(Behind):
    """A proxy that knows of a holder, beside all else that it can know of, and a toolbox for that."""

    def __init__(self, home: Path, kind: str) -> None:
        super().__init__(home, kind, Features())
        self.place = Place(
            environment=self.name, toolbox=f"{self.name}-toolbox", proxy=f"{self.name}-proxy", proxy_kind=kind
        )
        self._features = Features(
            shares=True, maintenance=Maintenance(page="closed"), holder=f"{self.place.toolbox}:{holding.PORT}"
        )

    def _start(self) -> None:
        super()._start()
        volumes = {str(self._state): {"bind": "/run/switchback", "mode": "rw"}}
        self.toolbox = self._run("toolbox", TOOLBOX, user="0:0", init=True, volumes=volumes)

    def exec(self, *argv: str) -> str:
        code, said = self.toolbox.exec_run(list(argv))
        assert isinstance(said, bytes)
        assert code == 0, said
        return said.decode()

    def kill_holder(self) -> None:
        """`kill -9`, for the one process that it is."""
        script = "import os, pathlib\nfor p in pathlib.Path('/proc').glob('[0-9]*'):\n"
        script += (
            "    if b'switchback.inside.holder' in (p / 'cmdline').read_bytes().split(b'\\0'): os.kill(int(p.name), 9)"
        )
        self.exec("python3", "-c", script)
        until("it is dead", lambda: "0A" not in self._sockets())

    def post(self, body: bytes) -> tuple[int, str, bytes]:
        """Status, `Retry-After`, and what `/echo` gives back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/echo", body=body)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Retry-After", ""), answer.read()
        finally:
            connection.close()

    def waiting(self) -> int:
        """Connections to the holder that are open."""
        return self._sockets().count("01")

    def _sockets(self) -> list[str]:
        """The states of what is on the holder's port."""
        rows = [line.split() for line in self.exec("cat", "/proc/net/tcp").splitlines()[1:]]
        return [row[3] for row in rows if row[1].endswith(f":{holding.PORT:04X}")]

"""Runs in the toolbox: tells all that one look at an environment needs, in one exec.

look.py PROXY     print, as one JSON object, what the links on the volume lead to, the configuration that the proxy
                  says it runs (`-` for no proxy), whether that was changed by hand, and the time

It is run by its path and without site-packages, and takes nothing from this package, because half of what it costs
is Python's own start.
"""

# ruff: noqa: PTH113, PTH115, PTH123
# (importing pathlib costs as much as all of the rest)

from __future__ import annotations

import json
import os
import socket
import sys
import time

if False:  # for the type checker alone
    from collections.abc import Iterable

VOLUME = "/run/switchback"
FILES = ("record.json", "maintenance/on")  # that lie beside the links
LINKS = ("pointer/current", "pointer/verified", "config/current", "config/verified")
CADDY_FILE, CADDY_SOCKET = "caddy.json", f"{VOLUME}/caddy-admin.sock"
BY_HAND = ", changed by hand"  # after the digest of a configuration that is not loaded as it was written
_LIMIT = 4 << 20  # bytes of one file; what is larger is nobody's configuration of ours
_ASK_WITHIN = 1.0  # seconds; a proxy that is well answers in one millisecond


def tree(volume: str) -> dict[str, str]:
    """Path to content, for what the links lead to; a link's content is `-> target`, bytes are kept by surrogates."""
    found: dict[str, str] = {}
    for link in LINKS:
        path = f"{volume}/{link}"
        try:
            target = os.readlink(path)
        except OSError:
            continue
        found[link] = f"-> {target}"
        generation = f"{link.partition('/')[0]}/{target.strip('/')}"
        for folder, _, files in os.walk(f"{volume}/{generation}"):
            _read(volume, (f"{folder}/{file}".removeprefix(f"{volume}/") for file in files), found)
    _read(volume, FILES, found)
    return found


def _read(volume: str, paths: Iterable[str], found: dict[str, str]) -> None:
    for path in paths:
        if os.path.isfile(f"{volume}/{path}"):
            with open(f"{volume}/{path}", "rb") as held:
                found[path] = held.read(_LIMIT).decode(errors="surrogateescape")


def running(proxy: str, port: int = 2020) -> str:
    """The digest that the proxy answers with on its inner port; empty for another answer, or none."""
    try:
        with socket.create_connection((proxy, port), timeout=_ASK_WITHIN) as connection:
            return _get(connection, proxy, "/.switchback/config").strip()[:64]
    except OSError:
        return ""


def changed(seen: dict[str, str], admin: str = CADDY_SOCKET) -> bool:
    """Whether what Caddy has loaded is something else than its file says; False where that can't be told.

    Its admin endpoint changes what is loaded and leaves the file. (nginx loads nothing but its file.)
    """
    written = seen.get(f"config/{_current(seen)}/{CADDY_FILE}")
    if written is None:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ASK_WITHIN)
            connection.connect(admin)
            loaded = _get(connection, "localhost", "/config/")
        return bool(loaded) and json.loads(loaded) != json.loads(written)
    except (OSError, ValueError):
        return False


def _current(seen: dict[str, str]) -> str:
    """The generation of the configuration that has to run."""
    return seen.get("config/current", "").removeprefix("-> ").strip("/")


def _get(connection: socket.socket, host: str, path: str) -> str:
    """The body of an answer that is 200; empty for another."""
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = b""
    while len(answer) < _LIMIT and (piece := connection.recv(65536)):
        answer += piece
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    return body if head.split(" ", 2)[1:2] == ["200"] else ""


def main(words: list[str]) -> int:
    """Prints what is seen."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    seen = tree(VOLUME)
    digest = None if words[0] == "-" else running(words[0])
    if digest and digest == _current(seen) and changed(seen):
        digest += BY_HAND
    print(json.dumps({"tree": seen, "running": digest, "now": time.time()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

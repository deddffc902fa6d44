"""Moves the pointer in one rename, and moves it back when it is not verified through the proxy.

First the rehearsal: the proxy is asked for each release under the pointer that is about to be. Only then the
rename, and the same question on the routes that users take.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from switchback.pointer import linked, new_generation, prune, relink, write_generation
from switchback.specs import Place, Target

POINTER = Path("/run/switchback/pointer")
FIRST_BUCKET = "switchback=00"  # the cookie of a client that goes to a new release from the smallest share on
_PUBLIC, _PROBE = 8080, 2020
_REHEARSE_WITHIN = 10.0  # seconds; nginx may have to learn a new release's address first
_VERIFY_WITHIN = 5.0  # seconds, for all services together; a good switch takes milliseconds
_FROM_PROXY = (502, 504)  # what a proxy says for a release; a 503 may be the release's own


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a turn: nothing is wrong, or the pointer is where it was."""

    wrong: tuple[str, ...] = ()
    rehearsed: bool = True  # whether it came as far as the rename
    at: float = 0.0  # Unix time of the rename
    seconds: float = 0.0  # from rename to verified


def turn(place: Place, files: Mapping[str, str], targets: tuple[Target, ...], *, keep: str = "") -> Turned:
    """Points the proxy at other files.

    Args:
        place: The environment.
        files: The pointer's, as the proxy consults them.
        targets: What must answer afterwards, or answer a client of the first bucket, where they only get a share.
        keep: A generation that has to stay on the volume.
    """
    POINTER.mkdir(parents=True, exist_ok=True)
    # Back goes to what is current, even if it was never verified: it is what has served until now.
    before = linked(POINTER, "current")
    generation = write_generation(POINTER, new_generation(), files)
    proxied = [target for target in targets if target.routes and place.proxy_kind != "none"]
    relink(POINTER, "next", generation)
    if wrong := _reachable(place, proxied, _REHEARSE_WITHIN):
        return Turned(wrong=wrong, rehearsed=False)
    at, began = time.time(), time.monotonic()
    relink(POINTER, "current", generation)
    if unlike := _within(_VERIFY_WITHIN, lambda: _each(proxied, place.proxy, _unlike)):
        if before:
            relink(POINTER, "current", before)
        return Turned(wrong=tuple(unlike), at=at, seconds=time.monotonic() - began)
    took = time.monotonic() - began
    relink(POINTER, "verified", generation)
    prune(POINTER, keep={before, keep})
    return Turned(at=at, seconds=took)


def rehearse(place: Place, files: Mapping[str, str], targets: list[Target], *, within: float) -> tuple[str, ...]:
    """Why the proxy would not reach these releases under other files of the pointer; nothing, when it would."""
    relink(POINTER, "next", write_generation(POINTER, new_generation(), files))
    return _reachable(place, targets, within)


def _reachable(place: Place, targets: list[Target], within: float) -> tuple[str, ...]:
    return tuple(_within(within, lambda: _each(targets, place.proxy, _unreachable)))


def pointed(link: str = "current") -> dict[str, str]:
    """The files that a link of the pointer leads to, those in directories by their path."""
    folder = POINTER / linked(POINTER, link) if linked(POINTER, link) else None
    if folder is None or not folder.is_dir():
        return {}
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def _within(seconds: float, ask: Callable[[], list[str]]) -> list[str]:
    """Asks until nothing is wrong any more, or the time is over; then what is."""
    deadline = time.monotonic() + seconds
    while True:
        wrong = ask()
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.02)


def _each(targets: list[Target], proxy: str, ask: Callable[[str, Target], list[str]]) -> list[str]:
    return [reason for target in targets for reason in ask(proxy, target)]


def _unreachable(proxy: str, target: Target) -> list[str]:
    """The rehearsal: why the proxy would not reach the release, asked before anything points to it."""
    try:
        status, upstream = _get(proxy, _PROBE, "switchback", f"/.switchback/next/{target.service}")
    except (OSError, http.client.HTTPException) as failed:
        return [f"{target.service}: the proxy {proxy} does not answer: {failed or type(failed).__name__}"]
    if upstream.partition(":")[0] != target.container or status in _FROM_PROXY:
        return [f"{target.service}: {proxy} does not reach {target.address} (HTTP {status})"]
    return []


def _unlike(proxy: str, target: Target) -> list[str]:
    """What is wrong with the first of a service's routes, asked on the proxy's inner and its public port."""
    route = target.routes[0]
    host = route.host.replace("*", "switchback") or "switchback"
    where = f"{target.service}: {route.host or 'any host'}{route.path}"
    try:
        status, upstream = _get(proxy, _PROBE, host, route.path)
        public, _ = _get(proxy, _PUBLIC, host, route.path)
    except (OSError, http.client.HTTPException) as failed:
        return [f"{where}: the proxy does not answer: {failed or type(failed).__name__}"]
    if upstream.partition(":")[0] != target.container:
        return [f"{where}: answered by {upstream or 'no release'} (HTTP {status}), not by {target.container}"]
    # While maintenance is on, a 503 is all that the public port says.
    failing = status in _FROM_PROXY and public in (*_FROM_PROXY, 503)
    return [f"{where}: HTTP {status} through the proxy"] if failing else []


def _get(proxy: str, port: int, host: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(proxy, port, timeout=2)
    headers = {"Host": host, "User-Agent": "switchback-switch", "Cookie": FIRST_BUCKET}
    try:
        connection.request("HEAD", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("X-Switchback-Upstream", "")
    finally:
        connection.close()

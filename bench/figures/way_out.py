"""Rollback out of a slot that serves and breaks: its gate would fail, it crash-loops, or its image is gone.

Each round: green takes the traffic, `pulumi up` with nothing to do is timed, green is broken for real, and the
`pulumi up` back to blue is timed; it has to exit with 0, and blue has to serve. The figure is the median of the
rounds' ratios. What is broken is mended between the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from docker.errors import NotFound

from bench.figure import Figure, at_most
from bench.worlds import world
from tests.integration.world import World, web

BAR = 1.5
_ROUNDS = 5
_WORDS = {"gate": "whose gate fails", "crash": "that crash-loops", "image": "whose image is gone"}
IDS = tuple(f"rollback-from-{what}" for what in _WORDS)


def measure(ids: set[str]) -> Iterator[Figure]:
    """The figures that are asked for, in an environment each."""
    yield from (_rollback_from(what) for what in _WORDS if f"rollback-from-{what}" in ids)


def _rollback_from(what: str) -> Figure:
    with world("caddy") as one:
        way = {"gate": _Hang, "crash": _CrashLoop, "image": _ImageGone}[what](one)
        one.config["slots"]["green"] = {"imageTag": "2"}
        ratios = []
        try:
            for _ in range(_ROUNDS):
                _up(one, "green", "2")
                nothing = _up(one, "green", "2")
                way.breaks()
                ratios.append(_up(one, "blue", "1") / nothing)
                way.mends()
        finally:
            way.ends()
    words = f"rollback out of a slot {_WORDS[what]} over `pulumi up` with nothing to do (median of {_ROUNDS} pairs)"
    return at_most(f"rollback-from-{what}", words, statistics.median(ratios), "×", BAR)


def _up(one: World, slot: str, release: str) -> float:
    """Seconds of a `pulumi up` to a slot, which exits with 0 and leaves its release serving."""
    one.config["activeSlot"] = slot
    one.write_config()
    seconds = one.pulumi("up", "--yes").seconds
    if one.serving() != release:
        raise AssertionError(f"{one.serving()} serves, not {release}")
    return seconds


class _Hang:
    """The service does not answer any more, so its gate would fail at its deadline; the container runs."""

    def __init__(self, one: World) -> None:
        self._world = one

    def breaks(self) -> None:
        self._signal("STOP")

    def mends(self) -> None:
        self._signal("CONT")

    def ends(self) -> None:
        """Nothing is left outside of the environment."""

    def _signal(self, name: str) -> None:
        self._world.container("web", "green", "2").exec_run(["sh", "-c", f"kill -{name} -1"])


class _CrashLoop(_Hang):
    """The service ends whenever it is started, and Docker starts it again and again."""

    def __init__(self, one: World) -> None:
        super().__init__(one)
        self._faults: Path = one.home / "faults"
        self._faults.mkdir(mode=0o755)
        self._faults.chmod(0o755)  # for the service's own user, whatever the umask is
        start = "[ ! -e /faults/$SWITCHBACK_SLOT ] || exit 3; exec python3 -m service"
        one.config["services"]["web"] = web(
            command=["sh", "-c", start],
            mounts=[{"source": str(self._faults), "target": "/faults", "readOnly": True}],
        )

    def breaks(self) -> None:
        (self._faults / "green").touch()
        self._signal("KILL")
        _until(lambda: self._world.container("web", "green", "2").attrs["RestartCount"] > 1)

    def mends(self) -> None:
        (self._faults / "green").unlink()
        self._world.container("web", "green", "2").restart(timeout=1)  # by hand, which starts Docker's count anew


class _ImageGone(_Hang):
    """The container was removed by hand, and its image is neither here nor in a registry."""

    def __init__(self, one: World) -> None:
        super().__init__(one)
        self._image = f"localhost:1/{one.name}"  # a registry that nobody runs
        one.config["services"]["web"] = web(image=self._image)
        for tag in ("1", "2"):
            one.docker.images.get(f"switchback/demo:{tag}").tag(self._image, tag)

    def breaks(self) -> None:
        self._world.container("web", "green", "2").remove(force=True)
        self._world.docker.images.remove(f"{self._image}:2")

    def mends(self) -> None:
        self._world.docker.images.get("switchback/demo:2").tag(self._image, "2")

    def ends(self) -> None:
        for tag in ("1", "2"):
            try:
                self._world.docker.images.remove(f"{self._image}:{tag}")
            except NotFound:
                continue


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError("it does not break")
        time.sleep(0.1)

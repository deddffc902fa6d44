"""Requests of our own through the proxy, where the users send too few to tell anything."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from switchback.specs import Analyse, Place, Target

_PUBLIC = 8080
_FIRST, _LAST = "switchback=00", "switchback=ff"  # a client of the new release, and one of the old, at any share


class Synthesist:
    """Asks each routed service `rate` times a second, while that is wanted: `with Synthesist(…) as s: s.wanted(…)`."""

    def __init__(self, spec: Analyse, *, shared: bool) -> None:
        self._synthetic, self._place = spec.synthetic, spec.place
        self._cookies = (_FIRST, _LAST) if shared else (_FIRST,)
        self._wanted: dict[str, bool] = {}
        self._ended = threading.Event()
        routed = [target for target in spec.targets if target.routes] if spec.synthetic else []
        self._threads = [threading.Thread(target=self._ask, args=(target,), daemon=True) for target in routed]

    def wanted(self, services: Mapping[str, bool]) -> None:
        """Says which services have too few requests now."""
        self._wanted = dict(services)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _ask(self, target: Target) -> None:
        if self._synthetic is None:
            return
        number, pause = 0, 1 / self._synthetic.rate
        while not self._ended.wait(pause):
            if not self._wanted.get(target.service):
                continue
            path = self._synthetic.paths[number // len(self._cookies) % len(self._synthetic.paths)]
            _get(self._place, target, path, self._cookies[number % len(self._cookies)], within=10)
            number += 1


def unanswered(place: Place, target: Target, *, times: int, within: float) -> str:
    """Asks a release that nothing is heard of, as its users do; why it does not answer, or empty when it does once."""
    with ThreadPoolExecutor(times) as pool:
        said = list(pool.map(lambda _: _get(place, target, "/", _FIRST, within=within), range(times)))
    return f"{times} of {times} requests of our own: {said[0]}" if all(said) else ""


def _get(place: Place, target: Target, path: str, cookie: str, *, within: float) -> str:
    """One request on the first route of a service; why there was no answer, or empty. Any answer is one: the proxy's
    own log says what came of it."""
    route = target.routes[0]
    headers = {
        "Host": route.host.replace("*", "switchback") or "switchback",
        "User-Agent": "switchback-synthetic",
        "Cookie": cookie,
    }
    connection = http.client.HTTPConnection(place.proxy, _PUBLIC, timeout=within)
    try:
        connection.request("GET", route.path.rstrip("/") + path, headers=headers)
        connection.getresponse().read()
        return ""
    except (OSError, http.client.HTTPException) as failed:
        return f"no answer within {within:g} s ({failed or type(failed).__name__})"
    finally:
        connection.close()

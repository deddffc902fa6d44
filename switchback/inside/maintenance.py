"""Runs in the toolbox: puts the file of maintenance there or takes it away, and asks the proxy what it sees."""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path

from switchback.events import Event, tell
from switchback.proxies.maintenance import FILE, FOLDER
from switchback.specs import Maintain, decode

ON = Path("/run/switchback") / FOLDER / FILE
_PROBE = 2020
_VERIFY_WITHIN = 5.0  # seconds; a proxy that is well sees it with the next request


def set_to(on: bool) -> bool:
    """Whether it was on before. A file is there or it is not: no request sees anything between."""
    ON.parent.mkdir(mode=0o755, exist_ok=True)
    before = ON.exists()
    if on:
        ON.touch(mode=0o644)
    else:
        ON.unlink(missing_ok=True)
    return before


def unlike(proxy: str, wanted: str) -> str:
    """What the proxy says instead of `on` or `off`; empty when it says that."""
    connection = http.client.HTTPConnection(proxy, _PROBE, timeout=2)
    try:
        connection.request("GET", "/.switchback/maintenance")
        answer = connection.getresponse()
        said = answer.read(64).decode(errors="replace")
    except (OSError, http.client.HTTPException) as failed:
        return f"the proxy {proxy} does not answer: {failed or type(failed).__name__}"
    finally:
        connection.close()
    return "" if (answer.status, said) == (200, wanted) else f"{proxy} says HTTP {answer.status}: {said.strip()[:40]}"


def main() -> int:
    """Does what `SWITCHBACK_SPEC` says. Exit code 0 when the proxy sees it, else 1, and it is as it was."""
    spec = decode(os.environ["SWITCHBACK_SPEC"], Maintain)
    before = set_to(spec.on)
    deadline = time.monotonic() + _VERIFY_WITHIN
    while spec.told and (wrong := unlike(spec.place.proxy, "on" if spec.on else "off")):
        if time.monotonic() > deadline:
            set_to(before)
            tell(Event(kind="failed", reasons=(wrong,)))
            return 1
        time.sleep(0.05)
    tell(Event(kind="done"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

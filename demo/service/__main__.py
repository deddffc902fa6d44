"""`python -m service` serves; `python -m service worker` does background work and serves only `/health`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time

from aiohttp import web

from . import faults
from .app import make_app
from .settings import Settings

log = logging.getLogger("demo")

_GRACE = 30.0  # seconds that requests in flight get after SIGTERM
_TICK = 5.0  # seconds


def main(words: list[str]) -> int:
    """Runs until SIGTERM. Exit code 0 after a graceful stop, 2 for a wrong call, 3 for a fault that was asked for."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout
    )
    if words not in ([], ["worker"]):
        print("usage: python -m service [worker]", file=sys.stderr)
        return 2
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as wrong:
        log.critical("%s", wrong)
        return 2
    worker = words == ["worker"]
    what = f"{settings.name} {settings.version}{f' in {settings.slot}' if settings.slot else ''}"
    log.info("%s: starting%s", what, " as a worker" if worker else "")
    if settings.faults.exit_at_start:
        log.critical("exiting at start, as EXIT_AT_START asks")
        return faults.EXIT_CODE
    # As a container's first process it would not hear SIGTERM before it listens.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    time.sleep(settings.faults.start_delay)
    web.run_app(
        _prepared(settings, what, worker=worker),
        port=settings.port,
        access_log=None,
        print=lambda _: None,
        shutdown_timeout=_GRACE,
        loop=_loop(),
    )
    log.info("%s: stopped", what)
    return 0


async def _prepared(settings: Settings, what: str, *, worker: bool) -> web.Application:
    app = make_app(settings, worker=worker)

    async def started(app: web.Application) -> None:
        log.info("%s: listening on port %d%s", what, settings.port, "; with database" * bool(settings.database_url))
        if settings.faults.crash_after is not None:
            asyncio.get_running_loop().call_later(settings.faults.crash_after, faults.crash)
        if settings.faults.eat_memory:
            faults.eat_memory()
        if worker:
            app[_TICKING] = asyncio.create_task(_tick(what))

    async def stopping(app: web.Application) -> None:
        log.info("%s: told to stop; finishing what is in flight", what)
        if _TICKING in app:
            app[_TICKING].cancel()

    app.on_startup.append(started)
    app.on_shutdown.append(stopping)
    return app


_TICKING = web.AppKey("TICKING", asyncio.Task[None])


async def _tick(what: str) -> None:
    """The worker's work."""
    number = 0
    while True:
        number += 1
        log.info("%s: tick %d", what, number)
        await asyncio.sleep(_TICK)


def _loop() -> asyncio.AbstractEventLoop:
    """uvloop where it is installed, as in the image; the standard loop does the same, slower."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""What had the traffic is seen off: its connections are drained, the passage is closed, its workers are stopped."""

from __future__ import annotations

import time

from switchback import configure
from switchback.docker_host import Engine
from switchback.errors import EngineError
from switchback.specs import Retire

_LOOK_EVERY = 0.2  # seconds
_CALM = 2  # looks in a row without a connection: one may be on its way between two
_WORKER_GRACE = 10.0  # seconds for a worker of the other slot to end


def retire(engine: Engine, spec: Retire) -> None:
    """Sees it off; to be called when the traffic is where it stays.

    Raises:
        ProcedureFailed: the proxy refused the configuration without what leaves; the former one stays.
        EngineError: when the Engine does not answer.
    """
    began = time.monotonic()
    if spec.place.proxy_kind != "none":
        for container in spec.lately:
            _drain(engine, spec, container, began + spec.lately_for)
        for container in spec.containers:
            _drain(engine, spec, container, began + spec.drain)
    if spec.settled:
        configure.run(spec.settled)
    for container in spec.stop:
        engine.stop(container, _WORKER_GRACE)
        print(f"{container}: stopped with its slot", flush=True)


def _drain(engine: Engine, spec: Retire, container: str, deadline: float) -> None:
    """Waits until the proxy has no connection left to a release that is going to be removed, or until the deadline.

    The traffic is where it belongs already, so nothing that goes wrong here is a reason to fail.
    """
    began, calm, left = time.monotonic(), 0, "its connections could not be counted"
    while calm < _CALM:
        try:
            state = engine.inspect(container)
            address = next(iter(state.addresses.values()), "") if state else ""
            if not address:
                return  # it does not run any more
            code, table = engine.exec(spec.place.proxy, ("cat", "/proc/net/tcp"))
            number = established(table.decode(errors="replace"), address) if code == 0 else None
        except EngineError:
            number = None
        if number is not None:
            calm = calm + 1 if number == 0 else 0
            left = f"{number} connections left"
        if calm < _CALM:
            if time.monotonic() > deadline:
                print(f"{container}: {left} after the drain time of {spec.drain:g} s", flush=True)
                return
            time.sleep(_LOOK_EVERY)
    print(f"{container}: drained after {time.monotonic() - began:.1f} s", flush=True)


def established(table: str, address: str) -> int:
    """How many established connections to an IPv4 address a `/proc/net/tcp` holds (bytes there are reversed)."""
    remote = "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(1 for row in rows if len(row) > 3 and row[2].startswith(f"{remote}:") and row[3] == "01")

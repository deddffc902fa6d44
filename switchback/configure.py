"""Proxy configuration proper: staged, validated by the proxy itself, applied gracefully, verified, or restored."""

from __future__ import annotations

import time

from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.proxies import DRIVERS
from switchback.revive import revive
from switchback.serving import still_serving
from switchback.specs import Configure, encode

_VERIFY_WITHIN = 15.0  # seconds, for the first start of a proxy too
_REFUSALS = 5  # of a proxy that answers meanwhile: it runs, and will not take it
_AGREEING = 3  # answers in a row: while nginx changes workers, old and new answer in turn


def run(spec: Configure) -> None:
    """Applies a configuration, or raises with the former one in place.

    Raises:
        ProcedureFailed: the proxy refused it, or does not run it; the former one is restored.
        EngineError: when the Engine does not answer.
    """
    engine, place = Engine(), spec.place
    driver = DRIVERS[place.proxy_kind]
    revive(engine, place.proxy)
    state = engine.inspect(place.proxy)
    if state is None or state.status != "running":
        raise ProcedureFailed(
            f"The proxy {place.proxy} is {state.status if state else 'gone'}, so no configuration was applied.\n"
            f"Read why with `docker logs {place.proxy}`; when that is mended, run `pulumi up` again."
        )
    before = engine.read_tree(place.toolbox, "/run/switchback/config").get("current", b"").decode()
    before = before.removeprefix("-> ")
    _stage(engine, spec, "stage")
    file = f"/run/switchback/config/{spec.digest}/{spec.filename}"
    code, said = engine.exec(place.proxy, [word.replace("{file}", file) for word in driver.VALIDATE])
    if code != 0:
        _fail(engine, spec, f"{place.proxy_kind} refuses the new configuration:", said)
    _stage(engine, spec, "current", spec.digest)
    problem = _apply(engine, spec)
    if problem is not None:
        if before and before != spec.digest:
            _stage(engine, spec, "current", before)
            engine.exec(place.proxy, driver.APPLY)
        remedy = f"If it takes none any more, `docker restart {place.proxy}` starts it with the former one."
        what = f"{place.proxy_kind} does not run the new configuration; the former one stays:"
        _fail(engine, spec, what, problem, remedy)
    _stage(engine, spec, "verified")
    print(f"{place.proxy_kind} runs configuration {spec.digest}", flush=True)


def _apply(engine: Engine, spec: Configure) -> bytes | None:
    """Applies what is current, and returns what was said against it, or None when it runs."""
    deadline = time.monotonic() + _VERIFY_WITHIN
    agreeing, refused, said = 0, 0, b""
    applied = False
    while agreeing < _AGREEING:
        if time.monotonic() > deadline:
            return said or b"it answers with another configuration"
        if not applied:
            # A proxy that waits for its first configuration has nothing to reload yet, and starts by itself.
            code, said = engine.exec(spec.place.proxy, DRIVERS[spec.place.proxy_kind].APPLY)
            applied, refused = code == 0, refused + (code != 0)
        code, digest = engine.exec(
            spec.place.toolbox, ("python3", "-m", "switchback.inside.stage", "probe", spec.place.proxy)
        )
        if code == 0 and digest.decode(errors="replace") == spec.digest:
            agreeing, applied = agreeing + 1, True
        elif code == 0 and refused >= _REFUSALS:
            return said
        else:
            agreeing = 0
            time.sleep(0.1)
    return None


def _stage(engine: Engine, spec: Configure, *words: str) -> None:
    env = {"SWITCHBACK_SPEC": encode(spec)} if words == ("stage",) else {}
    code, said = engine.exec(spec.place.toolbox, ("python3", "-m", "switchback.inside.stage", *words), env=env)
    if code != 0:
        _fail(engine, spec, f"{spec.place.toolbox} could not write the configuration ({words[0]}):", said)


def _fail(engine: Engine, spec: Configure, what: str, said: bytes, remedy: str = "") -> None:
    lines = [f"  {line}" for line in said.decode(errors="replace").strip().splitlines()[-12:]]
    raise ProcedureFailed("\n".join([what, *lines, still_serving(engine, spec.place), *([remedy] if remedy else [])]))

"""What is serving right now, in one sentence: the line that every failure report has to hold."""

from __future__ import annotations

from collections.abc import Sequence

from switchback.docker_host import Engine
from switchback.observe import observe
from switchback.specs import Place


def next_steps(way_back: Sequence[str]) -> list[str]:
    """The last lines of a failure's report; none where there is nothing to type."""
    return ["What to type next:", *(f"  {line}" for line in way_back)] if way_back else []


def still_serving(engine: Engine, place: Place) -> str:
    """`Still serving: web 1.4.0 (blue).`, from the pointer and the containers' labels as they are now."""
    observation = observe(engine, place.environment)
    pointed = observation.pointed()
    if not pointed:
        return "Still serving: nothing yet; no release has taken traffic in this environment."
    lines = []
    for service, name in sorted(pointed.items()):
        seen = observation.containers.get(name)
        if seen is None and name in observation.strangers:
            lines.append(f"{service} points to {name}, which was replaced by hand ({observation.strangers[name]})")
            continue
        if seen is None:
            lines.append(f"{service} points to {name}, which does not exist")
            continue
        release, slot = seen.label("release") or "?", seen.label("slot") or "?"
        trouble = "" if seen.status == "running" else f", but its container is {seen.status}"
        lines.append(f"{service} {release} ({slot}){trouble}")
    proxy = observation.containers.get(place.proxy)
    if place.proxy_kind != "none" and (proxy is None or proxy.status != "running"):
        lines.append(f"the proxy {place.proxy} is {proxy.status if proxy else 'gone'}")
    if observation.links.maintenance:
        lines.append("maintenance is on, so users get HTTP 503")
    return f"Still serving: {'; '.join(lines)}."

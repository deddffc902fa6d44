"""`make demo`: deploy, deploy again, offer a broken release, roll back; under load, each step with its figures."""

from __future__ import annotations

import json
import sys
import time
import urllib.request

import msgspec

from bench.load import Load
from demo.stack import RESULT, STACK, prepare, pulumi

_CLIENTS, _RATE = 16, 200.0  # clients of all four kinds, and requests a second altogether
_AFTER = 1.0  # seconds that the load goes on after a step, so that what a step leaves behind is seen too


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step, and what must come of it."""

    name: str
    title: str
    typed: tuple[tuple[str, ...], ...]
    refused: bool = False


class Figures(msgspec.Struct, kw_only=True):
    """What a step came to. `seconds` is `pulumi up` alone, preview included."""

    name: str
    seconds: float
    requests: int
    failed: int
    serving: str


STEPS = (
    Step(
        name="deploy-1",
        title="Release 1 goes to the blue slot",
        typed=(
            ("config", "set", "--path", "slots.blue.imageTag", "1"),
            ("config", "set", "activeSlot", "blue"),
            ("up", "--yes"),
        ),
    ),
    Step(
        name="deploy-2",
        title="Release 2 goes to the green slot, passes its gate, and takes the traffic",
        typed=(
            ("config", "set", "--path", "slots.green.imageTag", "2"),
            ("config", "set", "activeSlot", "green"),
            ("up", "--yes"),
        ),
    ),
    Step(
        name="refuse-broken",
        title="Release 3 is broken: its health check fails, so it never takes traffic",
        typed=(("config", "set", "--path", "slots.green.imageTag", "3"), ("up", "--yes")),
        refused=True,
    ),
    Step(
        name="rollback",
        title="Roll back to blue",
        typed=(("config", "set", "activeSlot", "blue"), ("up", "--yes")),
    ),
)


def main() -> int:
    """Runs the steps, writes `.switchback/demo.json`, and leaves the environment running."""
    url = prepare()
    done: list[Figures] = []
    for number, step in enumerate(STEPS, 1):
        print(f"\n── {number}/{len(STEPS)}  {step.title}", flush=True)
        figures = _do(step, url, under_load=_serving(url) != "")
        done.append(figures)
        print(
            f"   {figures.seconds:.1f} s · {figures.requests} requests sent, {figures.failed} failed"
            f" · release {figures.serving} serves",
            flush=True,
        )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"steps": [msgspec.to_builtins(f) for f in done], "url": url}, indent=2) + "\n")
    _farewell(url)
    dropped = sum(figures.failed for figures in done)
    if dropped:
        print(f"\n{dropped} requests failed, which must not be.", file=sys.stderr)
    return 1 if dropped else 0


def _do(step: Step, url: str, *, under_load: bool) -> Figures:
    """One step under load; before anything serves, the load can only start when it does."""
    if not under_load:
        seconds = _type(step)
        with Load(url, clients=_CLIENTS, rate=_RATE) as load:
            time.sleep(_AFTER)
    else:
        with Load(url, clients=_CLIENTS, rate=_RATE) as load:
            time.sleep(_AFTER / 2)
            seconds = _type(step)
            time.sleep(_AFTER)
    for reason in load.tally.reasons:
        print(f"   failed: {reason}")
    return Figures(
        name=step.name,
        seconds=round(seconds, 2),
        requests=load.tally.total,
        failed=load.tally.total_failed,
        serving=_serving(url),
    )


def _type(step: Step) -> float:
    """Types a step's commands; returns the seconds of the last one, the update."""
    seconds = 0.0
    for words in step.typed:
        print(f"   $ pulumi {' '.join(words)}", flush=True)
        began = time.monotonic()
        ran = pulumi(*words)
        seconds = time.monotonic() - began
        if words[0] != "up":
            if ran.returncode != 0:
                raise SystemExit(ran.stdout)
            continue
        for line in _told(ran.stdout):
            print(f"     {line}")
        if (ran.returncode != 0) is not step.refused:
            raise SystemExit(
                f"{ran.stdout}\n`pulumi up` exited with {ran.returncode}, which this step does not expect."
            )
        if step.refused:
            print(f"     (pulumi up: exit code {ran.returncode})")
    return seconds


def _told(output: str) -> list[str]:
    """What the procedures said, out of all that `pulumi` printed: its diagnostics, without its own framing."""
    block = output.rpartition("\nDiagnostics:\n")[2] if "\nDiagnostics:\n" in output else ""
    block = block.partition("\nOutputs:\n")[0].partition("\nResources:\n")[0]
    framing = ("error: exit status", "error: update failed", "error: resource ")
    lines = [line[4:] for line in block.splitlines() if line.startswith("    ") and line.strip()]
    return [line for line in lines if not line.startswith(framing)]


def _serving(url: str) -> str:
    """The version that answers; empty when nothing does."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return str(json.load(answer)["version"])
    except (OSError, ValueError, KeyError):
        return ""


def _farewell(url: str) -> None:
    print(f"""
The environment is running at {url} (stack {STACK}); figures are in {RESULT.relative_to(RESULT.parents[1])}.
Try next:
  source activate.sh
  pulumi config set activeSlot green && pulumi up    # release 3 is refused once more, and nothing is lost
  pulumi preview --diff                              # the dry run: what an update would do, and why
  pulumi stack history                               # the audit trail
`make down` removes it.""")


if __name__ == "__main__":
    raise SystemExit(main())

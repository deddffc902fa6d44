"""`make bench`: measures the published figures into bench/results.json and the table in README.

python -m bench.run            all of them (about 40 minutes on two cores)
python -m bench.run ID …       only these
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from bench.figure import Figure
from bench.figures import hold, loss, sockets, throughput, updates, verdicts, way_out

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results.json"
README = ROOT / "README.md"
_FROM, _TO = "<!-- figures -->", "<!-- /figures -->"

GROUPS: list[tuple[tuple[str, ...], Callable[[set[str]], Iterable[Figure]]]] = [
    ((*loss.IDS, *loss.SWITCH_IDS), loss.measure),
    (sockets.IDS, sockets.measure),
    (hold.IDS, hold.measure),
    (throughput.IDS, throughput.measure),
    (updates.IDS, updates.measure),
    (updates.FULL_IDS, updates.measure),
    (way_out.IDS, way_out.measure),
    (updates.NOOP_IDS, updates.measure),
    (verdicts.REVERT_IDS, verdicts.measure),
    (verdicts.IDS, verdicts.measure),
]


def main(ids: list[str]) -> int:
    """Measures, writes, and returns 1 when a figure does not hold its bar or could not be measured, 2 when unknown."""
    known = [one for group, _ in GROUPS for one in group]
    if unknown := [one for one in ids if one not in known]:
        print(f"unknown: {', '.join(unknown)}\nknown: {', '.join(known)}", file=sys.stderr)
        return 2
    wanted = set(ids or known)
    missed = []
    for group, measure in GROUPS:
        if not (asked := wanted & set(group)):
            continue
        try:
            for figure in measure(asked):
                if figure.id not in asked:
                    continue
                _write(figure)
                print(f"{'holds ' if figure.holds else 'MISSES'}  {figure.id}: {_shown(figure)}", flush=True)
                missed += [] if figure.holds else [figure.id]
        except Exception:  # what one group runs into is no reason to give up the others
            traceback.print_exc()
            missed += sorted(asked)
    return 1 if missed else 0


def _write(figure: Figure) -> None:
    """Replaces one figure in the results and the table; the others stay."""
    held = msgspec.json.decode(RESULTS.read_bytes(), type=list[Figure]) if RESULTS.exists() else []
    order = {one: place for place, one in enumerate(one for group, _ in GROUPS for one in group)}
    kept = {one.id: one for one in held if one.id in order} | {figure.id: figure}
    figures = sorted(kept.values(), key=lambda one: order[one.id])
    RESULTS.write_text(json.dumps([msgspec.to_builtins(one) for one in figures], indent=2, ensure_ascii=False) + "\n")
    if README.exists() and _FROM in (text := README.read_text()) and _TO in text:
        before, rest = text.split(_FROM, 1)
        README.write_text(f"{before}{_FROM}\n{table(figures)}{_TO}{rest.split(_TO, 1)[1]}")


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [f"| {one.what} | {_value(one)} | {_bar(one)} |" for one in figures]
    return "\n".join(["", "| what | measured | bar |", "|---|---|---|", *rows, "", ""])


def _shown(figure: Figure) -> str:
    return f"{_value(figure)} (bar {_bar(figure)}): {figure.what}"


def _value(figure: Figure) -> str:
    return f"{figure.value:g} {figure.unit}"


def _bar(figure: Figure) -> str:
    if figure.bar is None:
        return "–"
    # A value above its bar that holds, or below it and does not: the bar is the least that will do.
    sign = "≥" if figure.value != figure.bar and (figure.value > figure.bar) == figure.holds else "≤"
    return f"{sign} {figure.bar:g} {figure.unit}, {'holds' if figure.holds else 'missed'}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

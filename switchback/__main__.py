"""`python -m switchback PROCEDURE`: what the program's command resources run, with a specification on stdin.

Exit codes: 0 done; 1 it did not succeed, and the report is on standard error; 2 wrong usage; 3 Docker out of reach.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from switchback.errors import EngineError, ProcedureFailed
from switchback.specs import (
    Analyse,
    Build,
    Configure,
    Functional,
    Gate,
    Limit,
    Maintain,
    Provision,
    Start,
    Switch,
    decode,
)

PROCEDURES: dict[str, type] = {
    "build": Build,
    "gate": Gate,
    "functional": Functional,
    "switch": Switch,
    "analysis": Analyse,
    "configure": Configure,
    "maintenance": Maintain,
    "start": Start,
    "provision": Provision,
    "limit": Limit,
}


def main(words: list[str]) -> int:
    """Runs one procedure."""
    if len(words) != 1 or words[0] not in PROCEDURES:
        print(f"usage: python -m switchback {'|'.join(PROCEDURES)} < specification.json", file=sys.stderr)
        return 2
    [name] = words
    spec: Any = decode(sys.stdin.buffer.read(), PROCEDURES[name])
    try:
        import_module(f"switchback.{name}").run(spec)
    except ProcedureFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except EngineError as failed:
        print(f"{failed}\nNothing more was changed. When Docker answers again, run `pulumi up` again.", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

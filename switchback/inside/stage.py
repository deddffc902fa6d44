"""Runs in the toolbox: puts a proxy configuration on the volume, and moves the links to it.

stage          write the generation in SWITCHBACK_SPEC (complete, flushed); nothing looks at it yet
current NAME   what the proxy reads at its next reload or start
verified       what `current` is now is good: a restarted proxy comes back to it
probe PROXY    print the digest of the configuration that the proxy runs
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path

from switchback.pointer import linked, prune, relink, write_generation
from switchback.specs import Configure, decode

CONFIG = Path("/run/switchback/config")


def main(words: list[str]) -> int:
    """Does one step; exit code 0 when it is done."""
    match words:
        case ["stage"]:
            spec = decode(os.environ["SWITCHBACK_SPEC"], Configure)
            write_generation(CONFIG, spec.digest, {spec.filename: spec.text})
        case ["current", name]:
            relink(CONFIG, "current", name)
        case ["verified"]:
            relink(CONFIG, "verified", linked(CONFIG, "current"))
            prune(CONFIG)
        case ["probe", proxy]:
            connection = http.client.HTTPConnection(proxy, 2020, timeout=2)
            connection.request("GET", "/.switchback/config")
            print(connection.getresponse().read(256).decode(errors="replace"), end="")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

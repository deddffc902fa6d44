"""The pointer: the few small files that the running proxy consults for every request.

On the volume that proxy and toolbox share, `pointer/` and `config/` each hold generations, directories that are
complete before anyone looks, and two symbolic links:

    pointer/current   -> 1732137600.123-a1b2   what the proxy consults; a switch is one rename of this link
    pointer/verified  -> 1732137600.123-a1b2   the last that was verified; what a restarted proxy goes back to

so one rename moves all services at once, and nothing is ever half-written.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

_KEPT = 5  # generations left on the volume, for a person who wants to see what was before


def write_generation(folder: Path, name: str, files: Mapping[str, str]) -> str:
    """Writes a generation, flushed to disk, and returns its name; one that exists is written anew beside."""
    beside = folder / f".{name}.{secrets.token_hex(4)}"
    beside.mkdir(parents=True)
    for file, content in files.items():
        if file.count("/") == 1 and ".share/" in file:
            (beside / file).parent.mkdir(exist_ok=True)
        with (beside / file).open("w") as out:
            out.write(content)
            if content:  # what is empty says all that it says by being there
                out.flush()
                os.fsync(out.fileno())
    shutil.rmtree(folder / name, ignore_errors=True)
    beside.rename(folder / name)
    return name


def new_generation() -> str:
    """A name that sorts by time and is used once."""
    return f"{time.time():.3f}-{secrets.token_hex(2)}"


def relink(folder: Path, link: str, target: str) -> None:
    """Points a link at a generation, atomically: a reader sees the old one or the new one."""
    beside = folder / f".{link}.{secrets.token_hex(4)}"
    beside.symlink_to(target)
    beside.rename(folder / link)


def linked(folder: Path, link: str) -> str:
    """The generation that a link names; empty when there is none."""
    path = folder / link
    return str(path.readlink()) if path.is_symlink() else ""


def whole(files: Mapping[str, str]) -> dict[str, str]:
    """A pointer's files without what is there only while a release has a share of the traffic.

    A service's own file is `web`, or `web@container`; `web.next` and what is in `web.share/` belong to the share.
    """
    return {file: content for file, content in files.items() if "." not in file.partition("@")[0] and "/" not in file}


def prune(folder: Path, keep: Collection[str] = ()) -> None:
    """Removes generations that nothing points to, but for the last few and those to keep."""
    linked_now = {linked(folder, link) for link in ("current", "verified", "next")} | set(keep)
    old = sorted(
        (entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()),
        key=lambda entry: entry.stat().st_mtime,
    )
    for entry in old[:-_KEPT]:
        if entry.name not in linked_now:
            shutil.rmtree(entry, ignore_errors=True)

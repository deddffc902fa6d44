"""Shares of the traffic: which clients go to a release that is being rolled out. Pure.

A client draws one of 256 buckets once and keeps it in a cookie. The pointer holds a file for each bucket that goes to
the incoming release, so a step is one rename, as a switch is, and a wider share only ever moves clients to it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from switchback.pointer import whole

COOKIE = "switchback"
COOKIE_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"
BUCKET = "^[0-9a-f][0-9a-f]$"  # what a client's cookie has to say; anything else is drawn anew
NEXT = ".next"  # after a service's name: the incoming release
SHARE = ".share"  # after a service's name: the directory of its buckets


def buckets(percent: int) -> list[str]:
    """The buckets of a share, in order; each step's are among the next one's."""
    return [f"{number:02x}" for number in range(math.ceil(256 * percent / 100))]


def shared(
    before: Mapping[str, str], after: Mapping[str, str], routed: Collection[str], percent: int
) -> dict[str, str]:
    """The pointer's files when the releases of `after` have a share, and those of `before` the rest.

    Args:
        before: The files of the pointer that has the traffic, `name` or `name@container` for each service.
        after: The files of the one that shall have it.
        routed: The services in `after` that take requests; a worker changes over with the last step.
        percent: 0 is all as before, 100 all as after.
    """
    if percent >= 100:
        return dict(after)
    files = whole(before)
    if percent <= 0:
        return files
    held = {file.partition("@")[0]: file for file in files}
    for file, content in after.items():
        service = file.partition("@")[0]
        old = held.get(service)
        if old is None:
            files[file] = content
        elif service in routed and (old, files[old]) != (file, content):
            if ":" not in files[old]:  # it was a worker until now: it could answer nobody
                del files[old]
                files[file] = content
                continue
            files[f"{service}{NEXT}{file.removeprefix(service)}"] = content
            files |= {f"{service}{SHARE}/{bucket}": "" for bucket in buckets(percent)}
    return files

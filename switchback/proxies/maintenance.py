"""Maintenance: who is turned away, and with what, while a file on the shared volume says so. Pure.

The file is none of the pointer's: whatever the traffic does meanwhile, a switch, a share, a way back or a proxy that
starts anew, leaves it where it is.
"""

from __future__ import annotations

import re

from switchback.proxies.routing import Entry

FOLDER, FILE = "maintenance", "on"  # on the volume; looked at for every request

DEFAULT_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Maintenance</title>
<body style="font: 1.1rem/1.5 sans-serif; max-width: 32rem; margin: 20vh auto; padding: 0 1rem">
<h1>We will be back soon</h1>
<p>This site is being worked on. Please try again in a few minutes.</p>
</body>
</html>
"""
CONTENT_TYPE = "text/html; charset=utf-8"


def open_path(entry: Entry, health: str) -> str:
    """A pattern for a request's target that is answered all the same: the service's health path, if it leads there."""
    below = entry.path.rstrip("/")
    if not (health == entry.path or health.startswith(f"{below}/")):
        return ""
    return f"{re.sub(r'[.]', '[.]', health)}(?:[?]|$)"

"""What a report must not hold: the values of a container's secret variables, blotted out of foreign texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import unquote, urlsplit

_SHORTEST_PART = 6  # characters; a shorter part of a value would blot half of an innocent text

BLOT = "[secret]"


def secrets_in(env: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """What to blot: each secret value, each line of a long one, and the password in an address; the longest first.

    Args:
        env: A container's variables.
        names: Which of them are secret; names that are not there are fine.
    """
    found: set[str] = set()
    for name in names:
        value = env.get(name, "")
        # A program may log an address's password alone, and a log shows a key of many lines line by line.
        parts = {*map(str.strip, value.splitlines()), *_passwords(value)}
        found |= {value.strip()} | {part for part in parts if len(part) >= _SHORTEST_PART}
    return tuple(sorted(found - {""}, key=lambda text: (-len(text), text)))


def blotted(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets."""
    # In one pass, the longest first: what is in the blot itself is nobody's secret.
    pattern = "|".join(re.escape(secret) for secret in secrets)
    return re.sub(pattern, BLOT, text) if pattern else text


def _passwords(value: str) -> set[str]:
    with suppress(ValueError):  # no address after all
        password = urlsplit(value).password or ""
        return {password, unquote(password)}
    return set()

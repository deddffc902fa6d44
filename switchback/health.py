"""The health contract: what an answer of a service says about it. Pure; asking is `inside/probe.py`.

    {"status": "ok", "version": "1.5.0", "checks": [{"name": "database", "status": "ok", "message": "2 ms"}]}

Any 2xx answer passes, whatever its body; the body adds the version and the reasons.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_GOOD = frozenset({"ok", "pass", "passed", "healthy", "up", "success", "green"})
_TOLERABLE = frozenset({"warn", "warning", "degraded", "skipped", "unknown"})
_LONGEST = 300  # characters of a foreign text in a message


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one answer passes, which version answered (empty when it does not say), and why it fails."""

    fit: bool
    version: str = ""
    reasons: tuple[str, ...] = ()


def judge(status: int, body: bytes, *, version: str, expect_version: bool) -> Verdict:
    """Judges one answer.

    Args:
        status: HTTP status.
        body: The body, JSON of the contract or anything else.
        version: The release that should be answering.
        expect_version: Whether a version in the body has to be that one.
    """
    said = _contract(body)
    answered = said.get("version")
    answered = str(answered) if isinstance(answered, str | int | float) else ""
    reasons = [*_failing_checks(said)]
    if not 200 <= status <= 299:
        reasons.insert(0, f"answered HTTP {status}{_status_text(said)}")
        if not said and body.strip():
            reasons.append(f"body: {_short(body.decode(errors='replace'))}")
        return Verdict(fit=False, version=_short(answered), reasons=tuple(reasons))
    if expect_version and answered and not same_version(answered, version):
        mismatch = f"says version {_short(answered)}, expected {version} (health.expectVersion: false accepts any)"
        return Verdict(fit=False, version=_short(answered), reasons=(mismatch,))
    return Verdict(fit=True, version=_short(answered))


def same_version(one: str, other: str) -> bool:
    """Whether two version texts mean the same: `v1.5.0` is `1.5.0`."""
    return one.removeprefix("v") == other.removeprefix("v")


def _contract(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # no JSON, or a heap of brackets
        return {}
    return said if isinstance(said, dict) else {}


def _failing_checks(said: dict[str, Any]) -> list[str]:
    checks = said.get("checks")
    if isinstance(checks, dict):  # some frameworks write an object, name to check
        checks = [{"name": name, **(c if isinstance(c, dict) else {"status": c})} for name, c in checks.items()]
    failing = []
    for check in checks if isinstance(checks, list) else []:
        if not isinstance(check, dict):
            continue
        status = str(check.get("status", "")).lower()
        if status in _GOOD or status in _TOLERABLE:
            continue
        message = check.get("message") or check.get("error") or "no message"
        failing.append(f"check {_short(str(check.get('name', '?')))}: {_short(status) or '?'}: {_short(str(message))}")
    return failing


def _status_text(said: dict[str, Any]) -> str:
    return f", status {_short(str(said['status']))}" if "status" in said else ""


def _short(text: str) -> str:
    # A foreign text must not move the operator's cursor or colour the screen.
    plain = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"

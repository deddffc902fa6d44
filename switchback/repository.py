"""Addresses of Git repositories: which are taken, and how one is shown without what is secret in it. Pure."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
# Git takes far more, and some of it is a program to run (`ext::`), or goes over the wire for anyone to change.
_PATH = r"/[A-Za-z0-9._~/+@%-]+"
_WEB = re.compile(rf"https://(?:[A-Za-z0-9._~%+:!*-]+@)?{_HOST}(?::[0-9]{{1,5}})?{_PATH}")
_SSH = re.compile(rf"ssh://(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?{_HOST}(?::[0-9]{{1,5}})?{_PATH}")
_SCP = re.compile(rf"[A-Za-z0-9._][A-Za-z0-9._-]*@{_HOST}:(?!-){_PATH.replace('/[', '[')}")
_FILE = re.compile(rf"(?:file://)?{_PATH}")


def unfit_repository(address: str) -> str:
    """Why an address is not taken, in words that do not repeat it; empty when it is."""
    if any(form.fullmatch(address) for form in (_WEB, _SSH, _SCP, _FILE)):
        return ""
    return (
        "is not a Git repository's address that is taken: https://host/path, ssh://user@host/path, user@host:path,"
        " file:///path or /path (not shown: it may hold a token)"
    )


def shown(address: str) -> str:
    """The address for people: without user and password, so far as it is https."""
    parts = _split(address)
    return address if parts is None else urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def credentials(address: str) -> tuple[str, str]:
    """User and password (or token) in an https address; both empty where it holds none."""
    parts = _split(address)
    return ("", "") if parts is None else (unquote(parts.username or ""), unquote(parts.password or ""))


def _split(address: str) -> SplitResult | None:
    return urlsplit(address) if _WEB.fullmatch(address) else None

"""The files of one commit of a Git repository, in a directory of their own for as long as they are needed.

Git gets what it needs as words of an argument list and as variables: there is no shell, nothing that asks a person,
no hook, no submodule, and no password in a command line, where every process of the machine could read it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from switchback.blot import blotted
from switchback.repository import credentials, shown, unfit_repository

_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_ASKPASS", "GIT_TRACE")
# Constant, and run by Git's own shell; what it prints comes from the variables.
_HELPER = (
    "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n'"
    ' "$SWITCHBACK_GIT_USER" "$SWITCHBACK_GIT_PASSWORD"; }; f'
)
_EVERYTHING = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")


class CheckoutFailed(Exception):
    """The files could not be had; the text says why, in Git's own last words where it has some."""


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a commit, and its full name."""

    path: Path
    commit: str


@contextlib.contextmanager
def checked_out(repository: str, commit: str, within: float) -> Iterator[Checkout]:
    """The files of a tag or a commit (abbreviated or not); they are gone afterwards.

    Args:
        repository: Its address, as `repository.py` takes it.
        commit: The tag, or the commit. Not a branch: it would be other files tomorrow.
        within: Seconds.

    Raises:
        CheckoutFailed: it cannot be had.
    """
    program = shutil.which("git")
    if program is None:
        raise CheckoutFailed("there is no git on this machine")
    if complaint := unfit_repository(repository):
        raise CheckoutFailed(f"the address {complaint}")
    with tempfile.TemporaryDirectory(prefix="switchback-build-") as home:
        git = _Git(program, Path(home), repository, time.monotonic() + within)
        (Path(home) / "tree").mkdir()
        git("init", "--quiet", "--bare", "--template=", git.directory)
        full = git.find(commit)
        git("--work-tree", str(Path(home) / "tree"), "checkout", "--quiet", "--force", "--detach", full)
        yield Checkout(path=Path(home) / "tree", commit=full)


class _Git:
    """Git in one repository, until one deadline."""

    def __init__(self, program: str, home: Path, repository: str, deadline: float) -> None:
        self.directory = str(home / "git")
        user, password = credentials(repository)
        self._program, self._address, self._deadline = program, shown(repository), deadline
        self._secrets = tuple(sorted({user, password, repository} - {"", self._address}, key=len, reverse=True))
        settings = {
            "core.hooksPath": os.devnull,
            "fetch.recurseSubmodules": "false",
            "submodule.recurse": "false",
            "gc.auto": "0",
            "maintenance.auto": "false",
        }
        if user or password:
            parts = urlsplit(self._address)
            settings[f"credential.{parts.scheme}://{parts.netloc}.helper"] = _HELPER
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(_KEPT)}
        self._env = {
            **kept,
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
            "SWITCHBACK_GIT_USER": user,
            "SWITCHBACK_GIT_PASSWORD": password,
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (key, value) in enumerate(settings.items()):
            self._env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}

    def find(self, commit: str) -> str:
        """Fetches a tag or a commit, and returns the commit's full name; all of the repository if it has to be."""
        is_commit = re.fullmatch(r"[0-9a-f]{7,64}", commit)
        wanted = f"refs/tags/{commit}"
        try:
            self._fetch("--depth=1", wanted)
            return self("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}")
        except CheckoutFailed as failed:
            if "find remote ref" not in str(failed):
                raise  # the repository is out of reach, and will be at the next try
        if is_commit and len(commit) in (40, 64):
            with contextlib.suppress(CheckoutFailed):  # a server may refuse to give a commit by its name
                self._fetch("--depth=1", commit)
                return self("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}")
        self._fetch(*_EVERYTHING)
        with contextlib.suppress(CheckoutFailed):
            if is_commit:
                return self("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        raise CheckoutFailed(f"the repository has no tag {commit}{' and no such commit' if is_commit else ''}")

    def _fetch(self, *words: str) -> None:
        options = [word for word in words if word.startswith("--")]
        wanted = [word for word in words if not word.startswith("--")]
        self("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *options, "--", self._address, *wanted)

    def __call__(self, *words: str) -> str:
        """Runs Git; returns what it printed, stripped."""
        # In a session of its own it has no terminal that it, or ssh, could ask for a password on.
        with subprocess.Popen(  # noqa: S603 - an argument list, with options apart from values
            [self._program, "--git-dir", self.directory, *words],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                said, complaint = process.communicate(timeout=max(0.0, self._deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise CheckoutFailed("git was not done in time") from None
            finally:
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)  # git, and what it started to reach the repository
        if process.returncode != 0:
            raise CheckoutFailed(f"git: {blotted(_last_words(complaint, process.returncode), self._secrets)}")
        return said.decode(errors="replace").strip()


def _last_words(complaint: bytes, code: int) -> str:
    """Git's complaint, with what ssh said before it and without the advice that comes after."""
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    fatal = next((at for at in reversed(range(len(lines))) if lines[at].startswith("fatal:")), len(lines) - 1)
    return "; ".join(lines[max(0, fatal - 1) : fatal + 1]) or f"exit code {code}"

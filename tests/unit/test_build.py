"""Images that are built again: addresses, commits and files by a real Git, the texts, and what is declared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.image import recipe_of
from components.settings import SettingsError, parse_settings
from components.targets import declared
from switchback import build
from switchback.checkout import CheckoutFailed, _Git, checked_out
from switchback.docker_host import Engine
from switchback.errors import ProcedureFailed
from switchback.preflight import look_for_images
from switchback.repository import credentials, shown, unfit_repository
from switchback.specs import Build, Place, Recipe, Target
from tests.unit.recording import BASE, SERVICE
from tests.unit.test_components import graph

PLACE = Place(environment="t", toolbox="t-toolbox", proxy="t-proxy", proxy_kind="caddy")
WEB = Target(service="web", slot="green", release="9", version="9", container="t-web-green-9", port=8080)
IMAGE = "localhost:1/acme/web:9"


# Addresses.


@pytest.mark.parametrize(
    "address",
    [
        "https://git.example.com/acme/web.git",
        "https://token@git.example.com:8443/acme/web",
        "https://user:p%40ss@git.example.com/acme/web",
        "ssh://git@git.example.com:22/acme/web.git",
        "git@git.example.com:acme/web.git",
        "file:///srv/git/web.git",
        "/srv/git/web.git",
    ],
)
def test_A5_these_addresses_are_taken(address: str) -> None:
    assert unfit_repository(address) == ""


@pytest.mark.parametrize(
    "address",
    [
        "",
        "--upload-pack=touch /tmp/pwn",
        "-u",
        "ext::sh -c touch% /tmp/pwn",
        "fd::17",
        "http://git.example.com/web",  # anyone on the way could change it
        "git://git.example.com/web",
        "ssh://-oProxyCommand=touch/x",
        "ssh://git:secret@git.example.com/web",
        "git@-oProxyCommand=x:web",
        "git@git.example.com:--upload-pack=x",
        "https://git.example.com/a b",
        "https://git.example.com/a\nb",
        "https://-x/a",
        "file://host/srv/git",
        "../web",
        "web",
        "/srv/git\0",
        "/srv/git;$(touch /tmp/pwn)",
        "/srv/git\n--upload-pack=x",
    ],
)
def test_03_these_addresses_are_refused_and_not_shown(address: str) -> None:
    complaint = unfit_repository(address)
    assert "is not a Git repository's address" in complaint
    assert not address or address == "web" or address not in complaint


def test_G2_an_address_is_shown_without_user_and_password() -> None:
    address = "https://user:p%40ss@git.example.com:8443/acme/web"
    assert shown(address) == "https://git.example.com:8443/acme/web"
    assert credentials(address) == ("user", "p@ss")
    for plain in ("git@git.example.com:acme/web.git", "/srv/x@y:z/w", "ssh://git@h/x"):
        assert shown(plain) == plain
        assert credentials(plain) == ("", "")


@given(st.text(), st.text("abc@:/-%?#", min_size=1))
def test_G2_what_is_taken_as_https_shows_no_user(before: str, user: str) -> None:
    address = f"https://{user}@git.example.com/{before}"
    if not unfit_repository(address):
        told = urlsplit(shown(address))
        assert (told.hostname, told.username, told.password) == (urlsplit(address).hostname, None, None)


# A real Git.


def git(where: Path, *words: str) -> str:
    """Runs Git as a person would, with no configuration but its own."""
    env = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    ran = subprocess.run(["git", *words], cwd=where, env=env, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> tuple[Path, list[str]]:
    """A bare repository with three commits, `v1` and `v2` on the first two; and the commits' names."""
    work, bare = tmp_path / "work", tmp_path / "bare.git"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    commits = []
    for number in (1, 2, 3):
        (work / "file").write_text(f"{number}\n")
        (work / "deploy").mkdir(exist_ok=True)
        (work / "deploy/Dockerfile").write_text("FROM scratch\n")
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", str(number))
        commits.append(git(work, "rev-parse", "HEAD"))
    git(work, "tag", "v1", commits[0])
    git(work, "tag", "-a", "-m", "two", "v2", commits[1])
    git(tmp_path, "clone", "--quiet", "--bare", str(work), str(bare))
    return bare, commits


@pytest.mark.parametrize(("wanted", "number"), [("v1", 1), ("v2", 2), ("full", 2), ("short", 2)])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_A5_a_tag_or_a_commit_is_checked_out(
    origin: tuple[Path, list[str]], wanted: str, number: int, form: str
) -> None:
    bare, commits = origin
    name = {"full": commits[1], "short": commits[1][:7]}.get(wanted, wanted)
    with checked_out(form.format(bare), name, 30) as files:
        assert files.commit == commits[number - 1]
        assert (files.path / "file").read_text() == f"{number}\n"
        assert not (files.path / ".git").exists()
        kept = files.path
    assert not kept.exists()


@pytest.mark.parametrize("name", ["main", "v3", "0123456", "0" * 40, "HEAD", "--upload-pack=touch pwn", "v1..v2"])
def test_A5_what_is_neither_tag_nor_commit_is_not_built(origin: tuple[Path, list[str]], name: str) -> None:
    with pytest.raises(CheckoutFailed) as failed, checked_out(str(origin[0]), name, 30):
        pass
    assert f"no tag {name}" in str(failed.value) or str(failed.value).startswith("git: fatal: ")


def test_A5_git_says_why_the_repository_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(CheckoutFailed, match=r"git: .*does not appear to be a git repository"):
        checked_out(str(tmp_path / "nowhere"), "v1", 30).__enter__()
    with pytest.raises(CheckoutFailed, match="git: fatal: unable to access 'https://localhost:1/x/': "):
        checked_out("https://user:correct-horse@localhost:1/x", "v1", 30).__enter__()


def test_A5_the_deadline_ends_git(origin: tuple[Path, list[str]]) -> None:
    with pytest.raises(CheckoutFailed, match="not done in time"), checked_out(str(origin[0]), "v1", 0):
        pass


def test_03_a_repository_runs_nothing_here(origin: tuple[Path, list[str]], tmp_path: Path) -> None:
    bare, _ = origin
    pwn = tmp_path / "pwned"
    home = tmp_path / "home"
    template = home / "template/hooks"
    template.mkdir(parents=True)
    (template / "post-checkout").write_text(f"#!/bin/sh\ntouch {pwn}\n")
    (template / "post-checkout").chmod(0o755)
    config = home / "config"
    config.write_text(f"[init]\n templateDir = {home / 'template'}\n[core]\n hooksPath = {template}\n")
    before = {"GIT_CONFIG_GLOBAL": str(config), "GIT_DIR": str(tmp_path / "elsewhere")}
    with pytest.MonkeyPatch.context() as patched:
        for key, value in before.items():
            patched.setenv(key, value)
        with checked_out(str(bare), "v1", 30) as files:
            assert (files.path / "file").exists()
    assert not pwn.exists()
    assert not (tmp_path / "elsewhere").exists()


def test_G2_a_password_goes_to_its_host_alone_and_into_no_command_line(tmp_path: Path) -> None:
    asking = _Git(
        "/usr/bin/git", tmp_path, "https://user:correct%2Dhorse@git.example.com/acme/web", time.monotonic() + 30
    )
    assert "correct" not in asking._address

    def asked(host: str) -> str:
        ran = subprocess.run(
            ["git", "credential", "fill"],
            env={**asking._env, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ASKPASS": "true"},
            input=f"protocol=https\nhost={host}\n\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.stdout

    assert "username=user\npassword=correct-horse\n" in asked("git.example.com")
    assert "horse" not in asked("evil.example.com")


# The procedure.


class FakeEngine:
    """An Engine that has these images, and builds as it is told to."""

    def __init__(self, *, held: bool = False, refusal: str = "connection refused", failure: str = "") -> None:
        self.held, self.refusal, self.failure = held, refusal, failure
        self.built: dict[str, Any] = {}

    def image_id(self, _reference: str) -> str:
        return "sha256:1" if self.held else ""

    def registry_refusal(self, _reference: str) -> str:
        return self.refusal

    def build(self, context: Path, *, on_output: Callable[[bytes], None], **given: Any) -> str:
        self.built = {"file": (context / "file").exists(), **given}
        for number in range(30):
            on_output(f"Step {number}\n".encode())
        return self.failure


def ran(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, recipe: Recipe, **more: Any) -> None:
    """Runs the procedure against an Engine."""
    monkeypatch.setattr(build, "Workshop", lambda: engine)
    monkeypatch.setattr(build, "still_serving", lambda *_: "Still serving: web 1 (blue).")
    build.run(Build(place=PLACE, target=WEB, image=IMAGE, recipe=recipe, **more))


def test_A5_the_commit_is_told_to_the_build(
    origin: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, (bare, commits) = FakeEngine(), origin
    ran(engine, monkeypatch, Recipe(repository=str(bare), commit="v2", dockerfile="deploy/Dockerfile", args={"A": "b"}))
    assert engine.built["args"] == {"A": "b", "GIT_COMMIT": commits[1], "GIT_SHORT_COMMIT": commits[1][:7]}
    assert engine.built["labels"] == {"switchback.commit": commits[1]}
    assert (engine.built["tag"], engine.built["file"]) == (IMAGE, True)
    assert f"building it from {bare} at v2" in capsys.readouterr().out


@pytest.mark.parametrize("there", [{"held": True}, {"refusal": ""}])
def test_A5_what_can_be_had_by_now_is_not_built(monkeypatch: pytest.MonkeyPatch, there: dict[str, Any]) -> None:
    engine = FakeEngine(**there)
    ran(engine, monkeypatch, Recipe(repository="/nowhere", commit="v1"))
    assert engine.built == {}


def test_A5_what_is_not_due_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    ran(FakeEngine(), monkeypatch, Recipe(repository="/nowhere", commit="v1"), idle=True)


def test_A5_the_report_lists_what_was_tried_in_order(
    origin: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(repository=str(origin[0]), commit="v1", context="deploy")
    engine = FakeEngine(failure="The command '/bin/sh -c false' returned a non-zero code: 1")
    monkeypatch.setattr(build, "_outside", lambda *_: "")
    with pytest.raises(ProcedureFailed) as failed:
        ran(engine, monkeypatch, recipe, way_back=("pulumi up",))
    assert str(failed.value) == (
        f"Image {IMAGE} cannot be had, so web 9 (green) was not made. Tried, in this order:\n"
        "  the Docker host: has no image of that name\n"
        "  its registry: connection refused\n"
        f"  building it from {origin[0]} at v1: the build failed: The command '/bin/sh -c false' returned a non-zero"
        " code: 1\n"
        "  Last 20 lines of the build:\n"
        + "".join(f"    | Step {number}\n" for number in range(10, 30))
        + "Still serving: web 1 (blue).\nWhat to type next:\n  pulumi up"
    )


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        ({"context": "nowhere"}, "there is no directory nowhere in that commit"),
        ({"context": "file"}, "there is no directory file in that commit"),
        ({"context": "out"}, "there is no directory out in that commit"),
        ({"dockerfile": "Dockerfile"}, "there is no file Dockerfile in . of that commit"),
        ({"dockerfile": "passwd"}, "there is no file passwd in . of that commit"),
        ({"dockerfile": "deploy"}, "there is no file deploy in . of that commit"),
    ],
)
def test_03_a_link_in_the_repository_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: dict[str, Any], complaint: str
) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").touch()
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/Dockerfile").touch()
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "x")
    git(tmp_path, "tag", "v1")
    engine = FakeEngine()
    with pytest.raises(ProcedureFailed, match=re.escape(complaint)):
        ran(engine, monkeypatch, Recipe(repository=str(tmp_path), commit="v1", **paths))
    assert engine.built == {}


# What is declared.


def with_build(**build_settings: Any) -> dict[str, Any]:
    """The base, whose web can be built."""
    recipe = {"repository": "https://git.example.com/web", **build_settings}
    return {"services": {"web": {**SERVICE, "build": recipe}, "jobs": {"image": "acme/jobs"}}}


def test_A5_a_release_waits_for_its_build_and_the_other_slot_for_nothing_of_it() -> None:
    made = graph(**with_build())
    assert "web-blue-image-build" in made.waits_for("web-blue-1-image")
    assert "web-blue-image-build" in made.waits_for("web-blue-1")
    assert "switch-turn" in made.waits_for("web-green-image-build")
    assert not [held.name for held in made.seen.values() if held.name.startswith("jobs") and "build" in held.name]
    spec = json.loads(made.named("web-blue-image-build").inputs["stdin"])
    assert spec["idle"] is True  # nothing says that the image is nowhere
    assert made.named("web-blue-image-build").inputs["create"] == "exec python -m switchback build"


@pytest.mark.parametrize(
    ("template", "commit"),
    [({}, "2"), ({"commit": "v{tag}"}, "v2"), ({"commit": "release/{tag}.{tag}"}, "release/2.2")],
)
def test_A5_the_commit_follows_the_tag(template: dict[str, str], commit: str) -> None:
    settings = parse_settings({**BASE, **with_build(**template)}, secret_keys=set(), environment="test")
    [target] = [t for t in declared(settings, "test").standby if t.service == "web"]
    recipe = recipe_of(settings, target)
    assert recipe
    assert recipe.commit == commit


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"repository": "--upload-pack=x"}, "services/web/build/repository: is not a Git repository's address"),
        ({"repo": "x"}, "services/web/build/repo: unknown key (did you mean repository?)"),
        ({"repository": "ext::sh"}, "services/web/build/repository: is not a Git repository's address"),
        ({"commit": "-x"}, "services/web/build/commit: '-x' is neither a Git tag nor a commit"),
        ({"commit": "a..b"}, "services/web/build/commit: 'a..b' is neither"),
        ({"commit": "a b"}, "services/web/build/commit: 'a b' is neither"),
        ({"commit": "{other}"}, "services/web/build/commit: '{other}' is neither"),
        ({"commit": 1.5}, "services/web/build/commit: 1.5 is a number"),
        ({"context": "../.."}, "services/web/build/context: '../..' is not a path inside of the repository"),
        ({"dockerfile": "/etc/passwd"}, "services/web/build/dockerfile: '/etc/passwd' is not a path inside"),
        ({"args": {"A-B": "x"}}, "services/web/build/args/A-B: 'A-B' is not the name of an environment variable"),
        ({"timeout": "5 h"}, "services/web/build/timeout: '5 h' is not a duration"),
    ],
)
def test_03_wrong_builds_are_named_by_their_path(given: dict[str, Any], complaint: str) -> None:
    raw = {**BASE, **with_build(**given)}
    with pytest.raises(SettingsError) as refused:
        parse_settings(raw, secret_keys=set(), environment="test")
    assert any(error.startswith(complaint) for error in refused.value.errors), refused.value.errors


class Nowhere(Engine):
    """An Engine that has nothing, and whose registries are out of reach."""

    def __init__(self) -> None: ...

    def image_id(self, reference: str) -> str:
        return "sha256:0" if reference == "here:1" else ""

    def registry_refusal(self, reference: str) -> str:
        return "" if reference == "there:1" else "no such host"


def test_A5_preflight_tells_what_can_be_pulled_built_or_not_had() -> None:
    wanted = {
        "slots/blue/imageTag of services/a/image": "here:1",
        "slots/blue/imageTag of services/b/image": "there:1",
        "slots/blue/imageTag of services/c/image": "built:1",
        "slots/blue/imageTag of services/d/image": "gone:1",
        "proxy/image": "gone:2",
    }
    found = look_for_images(
        Nowhere(), wanted, {"built:1": Recipe(repository="https://token@git.example.com/c", commit="v1")}
    )
    assert found.missing == {"there:1", "built:1", "gone:1", "gone:2"}
    nowhere = "is neither on the Docker host nor in its registry (no such host)"
    assert list(found.to_build.values()) == [
        f"image built:1 {nowhere}, and would be built from https://git.example.com/c at v1"
    ]
    assert list(found.problems.values()) == [
        f"slots/blue/imageTag of services/d/image: image gone:1 {nowhere}, and services/d/build does not say how to"
        " build it",
        f"proxy/image: image gone:2 {nowhere}",
    ]

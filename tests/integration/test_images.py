"""Images that are nowhere: built again from a real repository at their commit, or told what was tried."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from tests.integration.breaking import load
from tests.integration.world import World

pytestmark = pytest.mark.integration

# The sample service, which says by its environment what it was built from.
DOCKERFILE = """\
FROM switchback/demo:{base}
ARG GIT_COMMIT
ARG GIT_SHORT_COMMIT
ARG FLAVOUR
COPY . /built
RUN ls -A /built > /tmp/there; echo "building $GIT_SHORT_COMMIT with $(tr '\\n' ' ' < /tmp/there)"
ENV GIT_COMMIT=$GIT_COMMIT GIT_SHORT_COMMIT=$GIT_SHORT_COMMIT FLAVOUR=$FLAVOUR VERSION={version}
"""


def git(where: Path, *words: str) -> str:
    """Runs Git as a person would."""
    who = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **who}
    ran = subprocess.run(["git", *words], cwd=where, env=env, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


class Origin:
    """A bare repository that a team pushes to, and a registry that refuses."""

    def __init__(self, home: Path) -> None:
        self.work, self.bare = home / "work", home / "origin.git"
        self.work.mkdir()
        git(self.work, "init", "--quiet")
        self.image = f"localhost:1/t{secrets.token_hex(4)}/web"

    def push(self, tag: str, dockerfile: str, **files: str) -> str:
        """Commits these files under a tag; returns the commit."""
        for name, text in {"deploy/Dockerfile": dockerfile, **files}.items():
            (self.work / name).parent.mkdir(exist_ok=True)
            (self.work / name).write_text(text)
        git(self.work, "add", "--force", ".")
        git(self.work, "commit", "--quiet", "--allow-empty", "-m", tag)
        git(self.work, "tag", tag)
        if not self.bare.exists():
            git(self.work.parent, "clone", "--quiet", "--bare", str(self.work), str(self.bare))
        else:
            git(self.work, "push", "--quiet", "--tags", str(self.bare))
        return git(self.work, "rev-parse", "HEAD")

    def recipe(self, **more: Any) -> dict[str, Any]:
        """`services.web.build`."""
        return {
            "repository": f"file://{self.bare}",
            "commit": "v{tag}",
            "dockerfile": "deploy/Dockerfile",
            "args": {"FLAVOUR": "a b;$(touch /tmp/pwn)"},
            **more,
        }


@pytest.fixture
def origin(tmp_path: Path, caddy_world: World) -> Iterator[Origin]:
    """A repository whose version 1 is on the host and serves; what is built is removed afterwards."""
    made = Origin(tmp_path)
    images = caddy_world.docker.images
    images.get("switchback/demo:1").tag(made.image, "1")
    caddy_world.config["services"]["web"]["image"] = made.image
    try:
        caddy_world.must_up()
        yield made
    finally:
        caddy_world.close()
        for image in images.list(name=made.image):
            for tag in image.tags:
                if tag.startswith(f"{made.image}:"):  # version 1 is the sample service's as well
                    images.remove(tag, force=True)


def offer(world: World, origin: Origin, **more: Any) -> None:
    """Declares release 2 of an image that is nowhere, and how it is built."""
    world.config["services"]["web"]["build"] = origin.recipe(**more)
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"


def held(world: World, reference: str) -> bool:
    """Whether the Docker host has that image."""
    try:
        return bool(world.docker.images.get(reference))
    except ImageNotFound:
        return False


def test_A5_an_image_that_is_nowhere_is_built_from_its_commit(caddy_world: World, origin: Origin) -> None:
    world = caddy_world
    origin.push("v1", DOCKERFILE.format(base="1", version="1"))
    commit = origin.push(
        "v2", DOCKERFILE.format(base="2", version="2"), **{"kept": "x", "left-out": "x", ".dockerignore": "left-out\n"}
    )
    origin.push("v3", "FROM nothing-of-the-kind\n")
    offer(world, origin)
    planned = world.preview()
    assert planned.ok, planned.text
    assert "is neither on the Docker host nor in its registry (" in planned.text
    assert f"would be built from file://{origin.bare} at v2" in planned.text
    assert not held(world, f"{origin.image}:2")

    with load(world) as during:
        done = world.must_up()
    assert during.tally.total_failed == 0, during.tally.reasons
    assert world.serving() == "2"
    assert f"| building {commit[:7]} with .dockerignore deploy kept" in done.text
    assert f"{origin.image}:2: built in" in done.text
    image = world.docker.images.get(f"{origin.image}:2")
    assert image.labels["switchback.commit"] == commit
    env = dict(pair.split("=", 1) for pair in world.container("web", "green", "2").attrs["Config"]["Env"])
    assert (env["GIT_COMMIT"], env["GIT_SHORT_COMMIT"]) == (commit, commit[:7])
    assert env["FLAVOUR"] == "a b;$(touch /tmp/pwn)"
    assert not Path("/tmp/pwn").exists()
    # What serves is pinned by what the image is, not by what it is called.
    assert world.outputs()["releases"]["green"]["web"]["image"] == image.id
    assert set(world.must_up().summary) == {"same"}
    # And it is built once: the way back and forth builds nothing.
    for slot, version in (("blue", "1"), ("green", "2")):
        world.config["activeSlot"] = slot
        assert "building it from" not in world.must_up().text
        assert world.serving() == version


def broken(_origin: Origin) -> dict[str, Any]:
    """The Dockerfile's own command fails."""
    return {"commit": "broken"}


def unknown(_origin: Origin) -> dict[str, Any]:
    """A commit that nobody has pushed."""
    return {"commit": "c0ffee6789012345678901234567890123456789"}


def moved_away(origin: Origin) -> dict[str, Any]:
    """A repository that is not there any more."""
    return {"repository": f"{origin.bare}-gone"}


def no_dockerfile(_origin: Origin) -> dict[str, Any]:
    """A path that the commit does not have."""
    return {"dockerfile": "Dockerfile"}


def secretive(_origin: Origin) -> dict[str, Any]:
    """A server that is out of reach, and an address with a token in it."""
    return {"repository": "https://user:correct-horse@localhost:1/acme/web.git"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (broken, "the build failed: The command '/bin/sh -c echo going wrong; exit 7' returned a non-zero code: 7"),
        (unknown, "its commit cannot be had: the repository has no tag c0ffee6789012345678901234567890123456789"),
        (moved_away, "does not appear to be a git repository"),
        (no_dockerfile, "there is no file Dockerfile in . of that commit"),
        (secretive, "its commit cannot be had: git: fatal: unable to access 'https://localhost:1/acme/web.git/'"),
    ],
)
def test_A5_what_cannot_be_built_is_told_with_all_that_was_tried(
    caddy_world: World, origin: Origin, change: Callable[[Origin], dict[str, Any]], why: str
) -> None:
    world = caddy_world
    origin.push("v2", DOCKERFILE.format(base="2", version="2"))
    origin.push("broken", "FROM switchback/demo:1\nRUN echo going wrong; exit 7\n")
    offer(world, origin, **change(origin))
    with load(world) as during:
        failed = world.up()
    assert during.tally.total_failed == 0, during.tally.reasons
    assert set(during.tally.served) <= {"1", "?"}
    assert not failed.ok
    _, begins, tried = failed.text.partition(f"Image {origin.image}:2 cannot be had, so web 2 (green) was not made")
    assert begins, failed.text
    order = ("the Docker host: has no image of that name", "its registry: ", "building it from ", why)
    places = [tried.index(line) for line in order]
    assert places == sorted(places)
    if change is broken:
        assert "    | going wrong" in tried
    assert "Still serving: web 1 (blue)." in tried
    assert "pulumi config set activeSlot blue && pulumi up" in tried
    assert not held(world, f"{origin.image}:2")
    assert f"{world.name}-web-green-2" not in world.containers()
    for text in (failed.text, world.pulumi("stack", "export").text):
        assert "correct-horse" not in text
    # The way back does not depend on what cannot be built.
    world.config["activeSlot"] = "blue"
    back = world.must_up()
    assert "until then the standby slot goes without it" in back.text
    assert world.serving() == "1"


def test_A5_without_a_recipe_the_error_says_what_is_missing(caddy_world: World, origin: Origin) -> None:
    world = caddy_world
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    before = world.containers()
    for refused in (world.preview(), world.up()):
        assert not refused.ok
        assert f"image {origin.image}:2 is neither on the Docker host nor in its registry (" in refused.text
        assert "), and services/web/build does not say how to build it" in refused.text
    assert world.containers() == before
    assert world.serving() == "1"


def test_A5_a_release_whose_image_and_container_are_gone_is_built_again(caddy_world: World, origin: Origin) -> None:
    world = caddy_world
    commit = origin.push("v2", DOCKERFILE.format(base="2", version="2"))
    offer(world, origin, commit=commit[:10])  # as a team whose image tags are abbreviated commits would
    world.must_up()
    world.container("web", "green", "2").remove(force=True)
    world.docker.images.remove(f"{origin.image}:2", force=True)
    done = world.must_up()
    assert f"{origin.image}:2: built in" in done.text
    assert world.serving() == "2"
    assert world.docker.images.get(f"{origin.image}:2").labels["switchback.commit"] == commit
    assert set(world.must_up().summary) == {"same"}


def test_A5_a_moved_tag_is_said_and_the_release_stays(caddy_world: World, origin: Origin) -> None:
    world = caddy_world
    pinned = world.outputs()["releases"]["blue"]["web"]["image"]
    assert pinned == world.docker.images.get("switchback/demo:1").id
    world.docker.images.get("switchback/demo:2").tag(origin.image, "1")
    planned = world.preview()
    assert f"tag {origin.image}:1 moved: web 1 (blue) was made from image {pinned[7:19]} and stays so" in planned.text
    assert set(world.must_up().summary) == {"same"}
    assert world.serving() == "1"
    assert world.outputs()["releases"]["blue"]["web"]["image"] == pinned

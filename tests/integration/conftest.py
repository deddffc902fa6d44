"""Fixtures for tests against real Docker: a world per test, removed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.world import World

MakeWorld = Callable[..., World]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out nginx's variant of what says nothing about the proxy."""
    left_out = [item for item in items if item.get_closest_marker("one_proxy") and "[nginx" in item.name]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes worlds, as many as a test needs; each is removed at its end."""
    made: list[World] = []

    def make(kind: str = "caddy", *, backend: Path | None = None, name: str | None = None) -> World:
        made.append(World(tmp_path / f"world{len(made)}", kind=kind, backend=backend, name=name))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture(params=["caddy", "nginx"])
def world(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    """A world behind each of the proxies in turn."""
    return make_world(str(request.param))


@pytest.fixture
def caddy_world(make_world: MakeWorld) -> World:
    """A world behind Caddy, for what does not depend on the proxy."""
    return make_world("caddy")

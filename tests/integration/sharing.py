"""Worlds that all tests of a module share, since a deployment takes longer than most of what is done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.integration.world import World

BOTH = ("caddy", "nginx")


def shared_world(declare: Callable[[World], None], *, proxies: Sequence[str] = ("caddy",)) -> Any:
    """A fixture for a module: a world behind each of the proxies in turn, deployed as declared, removed at the end.

    Args:
        declare: Completes the configuration of a world in which blue serves release 1 of a service `web`.
        proxies: Which; with more than one, each test runs once behind each.
    """

    def fixture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        kind = str(request.param) if len(proxies) > 1 else proxies[0]
        world = World(tmp_path_factory.mktemp("shared") / "world", kind=kind)
        try:
            declare(world)
            world.must_up()
            yield world
        finally:
            world.close()

    return pytest.fixture(fixture, scope="module", params=proxies if len(proxies) > 1 else None)

"""Environments to measure: made like those of the integration tests, removed afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.world import World


@contextmanager
def world(kind: str) -> Iterator[World]:
    """An environment behind a proxy of that kind, not yet deployed."""
    with tempfile.TemporaryDirectory(prefix="switchback-bench-") as home:
        made = World(Path(home) / "world", kind=kind)
        try:
            yield made
        finally:
            made.close()

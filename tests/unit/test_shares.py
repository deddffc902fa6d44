"""Shares of the traffic: which files of the pointer say who gets how much."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchback.pointer import whole
from switchback.proxies import DRIVERS
from switchback.proxies.shares import buckets
from switchback.specs import Route, Target

KINDS = pytest.mark.parametrize("kind", list(DRIVERS))


def release(service: str, slot: str, *, routed: bool = True) -> Target:
    """A release of a service."""
    routes = (Route(host="", path=f"/{service}"),) if routed else ()
    container = f"shop-{service}-{slot}"
    port = 8080 if routed else None
    return Target(service=service, slot=slot, release="1", version="1", container=container, port=port, routes=routes)


BLUE = (release("api", "blue"), release("web", "blue"), release("jobs", "blue", routed=False))
GREEN = (release("api", "blue"), release("web", "green"), release("jobs", "green", routed=False))


def share_of(files: Mapping[str, str], service: str) -> list[str]:
    """The buckets that go to the incoming release of a service."""
    return sorted(file.partition("/")[2] for file in files if file.startswith(f"{service}.share/"))


@given(st.integers(0, 100), st.integers(0, 100))
def test_E4_a_wider_share_has_all_buckets_of_a_narrower_one(one: int, other: int) -> None:
    narrow, wide = sorted((one, other))
    assert set(buckets(narrow)) <= set(buckets(wide))
    assert len(buckets(narrow)) - 1 < 256 * narrow / 100 <= len(buckets(narrow))
    assert all(len(bucket) == 2 and int(bucket, 16) < 256 for bucket in buckets(wide))


@KINDS
@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_E4_only_what_differs_has_a_share_and_the_worker_waits(kind: str, percent: int) -> None:
    driver = DRIVERS[kind]
    before = driver.pointer(BLUE)
    files = driver.shared_pointer(before, GREEN, percent)
    assert whole(files) == before
    incoming = {"caddy": "web.next", "nginx": "web.next@shop-web-green"}[kind]
    assert {file for file in files if file not in before and "/" not in file} == {incoming}
    assert files[incoming] == "shop-web-green:8080"
    assert share_of(files, "web") == buckets(percent)
    assert not share_of(files, "api")
    assert not share_of(files, "jobs")


@KINDS
def test_E4_the_last_step_is_the_pointer_of_a_switch_and_no_share_the_one_before(kind: str) -> None:
    driver = DRIVERS[kind]
    before, after = driver.pointer(BLUE), driver.pointer(GREEN)
    assert driver.shared_pointer(before, GREEN, 100) == after
    assert driver.shared_pointer(before, GREEN, 0) == before
    # A rollout that goes on, or is taken back, from a step of its own.
    step = driver.shared_pointer(before, GREEN, 10)
    assert driver.shared_pointer(step, GREEN, 50) == driver.shared_pointer(before, GREEN, 50)
    assert driver.shared_pointer(step, GREEN, 0) == before


@KINDS
def test_E4_a_new_service_has_all_at_once_and_one_that_leaves_stays_to_the_end(kind: str) -> None:
    driver = DRIVERS[kind]
    before = driver.pointer(BLUE[:1])
    files = driver.shared_pointer(before, GREEN[1:], 10)
    assert files == before | driver.pointer(GREEN[1:])
    assert driver.shared_pointer(before, GREEN[1:], 100) == driver.pointer(GREEN[1:])


@KINDS
def test_E4_what_was_a_worker_has_no_share_to_keep(kind: str) -> None:
    driver = DRIVERS[kind]
    before = driver.pointer([release("web", "blue", routed=False), BLUE[0]])
    assert driver.shared_pointer(before, GREEN[:2], 10) == driver.pointer(GREEN[:2])

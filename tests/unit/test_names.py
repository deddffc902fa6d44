"""Names of containers and networks: legal for Docker and DNS, and never the same for two releases."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from components.names import NAME, container_name, network_name, part_name, release_name

# A host name: labels of letters, digits and hyphens, with no hyphen at their ends, 63 characters each.
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

UNHURRIED = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
slots = st.sampled_from(["blue", "green"])
tags = st.from_regex(re.compile(r"\w[\w.-]{0,127}", re.ASCII), fullmatch=True)
revisions = st.integers(1, 12)


@pytest.mark.parametrize(
    ("tag", "revision", "name"),
    [
        ("1.5.0", 1, "1.5.0"),
        ("1.5.0", 2, "1.5.0-r2"),
        ("1.5.0-r2", 1, "1.5.0-r2-r1"),  # not revision 2 of 1.5.0
        ("1.5.0-rc2", 1, "1.5.0-rc2"),
    ],
)
def test_a_release_is_named_by_tag_and_revision(tag: str, revision: int, name: str) -> None:
    assert release_name(tag, revision) == name


@UNHURRIED
@given(tags, revisions, tags, revisions)
@example("1", 2, "1-r2", 1)
@example("1-r2", 2, "1-r2-r2", 1)
def test_two_releases_never_share_a_name(tag: str, revision: int, other: str, others: int) -> None:
    assume((tag, revision) != (other, others))
    assert release_name(tag, revision) != release_name(other, others)


def test_usual_names_are_readable() -> None:
    assert container_name("production", "web", "green", "1.5.0") == "production-web-green-1.5.0"
    assert container_name("production", "web", "green", "1.5.0-r2") == "production-web-green-1.5.0-r2"
    assert network_name("production") == "switchback-production"
    assert part_name("production", "proxy") == "production-proxy"


def test_a_name_that_dns_refuses_is_near_to_what_it_stands_for() -> None:
    assert re.fullmatch(
        r"production-web-green-v2-0-rc1-[0-9a-f]{8}", container_name("production", "web", "green", "v2_0-RC1")
    )


@UNHURRIED
@given(names, names, slots, tags, revisions)
@example("a", "b", "blue", "1.", 1)
@example("a", "b", "blue", "1.-2", 1)
@example("a", "b", "blue", "1..2", 1)
@example("a", "b", "blue", "_._", 1)
@example("a" * 63, "b" * 63, "green", "c" * 128, 9)
@example("a" * 53 + "_", "b", "blue", ".", 1)
def test_security_4_container_names_are_host_names(
    environment: str, service: str, slot: str, tag: str, revision: int
) -> None:
    name = container_name(environment, service, slot, release_name(tag, revision))
    assert len(name) <= 63
    assert HOST_NAME.fullmatch(name)
    assert DOCKER_NAME.fullmatch(name)
    assert name == container_name(environment, service, slot, release_name(tag, revision))


def _variants(tag: str) -> list[str]:
    """Tags that are easily taken for this one: other case, other punctuation, other ends, other tails."""
    made = [
        tag.upper(),
        tag.lower(),
        tag.swapcase(),
        *(tag.replace(old, new) for old in "._-" for new in "._-"),
        *(f"{tag}{end}" for end in ("-", "_", ".", "..", "-.", "0", "a" * 60, "a" * 61)),
        f"{tag[:1]}{'a' * 60}{tag}",
        f"{tag[:1]}{'a' * 60}{tag.swapcase()}",
    ]
    return [one for one in dict.fromkeys([tag, *made]) if re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}", one)]


@UNHURRIED
@given(names, names, slots, tags)
@example("production", "web", "green", "1.0_a-B")
def test_tags_that_differ_never_share_a_container_name(environment: str, service: str, slot: str, tag: str) -> None:
    releases = {release_name(one, revision) for one in _variants(tag) for revision in (1, 2)}
    found = {container_name(environment, service, slot, release) for release in releases}
    assert len(found) == len(releases)


@UNHURRIED
@given(names, names, tags)
def test_slots_never_share_a_container_name(environment: str, service: str, tag: str) -> None:
    assert container_name(environment, service, "blue", tag) != container_name(environment, service, "green", tag)


@pytest.mark.parametrize("name", ["a", "0", "web", "web-1", "web_1", "a" * 63])
def test_security_4_names(name: str) -> None:
    assert NAME.match(name)


@pytest.mark.parametrize(
    "name", ["", "-a", "_a", "A", "a" * 64, "a b", "a.b", "a/b", "a\n", "é", "١", ";$(touch /tmp/pwn)"]
)
def test_security_4_no_names(name: str) -> None:
    assert not NAME.match(name)

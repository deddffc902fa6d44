"""The health contract: what passes, what fails and for which reasons, whatever a service may answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from switchback.health import Verdict, judge, same_version

GOOD = {"status": "ok", "version": "1.5.0", "checks": [{"name": "database", "status": "ok", "message": "2 ms"}]}


def judged(status: int, body: Any, *, version: str = "1.5.0", expect_version: bool = True) -> Verdict:
    """The verdict on an answer whose body is JSON, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(status, raw, version=version, expect_version=expect_version)


def test_B1_an_answer_of_the_contract_passes() -> None:
    assert judged(200, GOOD) == Verdict(fit=True, version="1.5.0")


@pytest.mark.parametrize("status", [200, 201, 204, 299])
@pytest.mark.parametrize("body", [b"", b"ok", b"<html>", b"\xff\xfe", b"null", b"[]", b'"ok"', b"{}"])
def test_B1_any_plain_2xx_passes(status: int, body: bytes) -> None:
    assert judged(status, body) == Verdict(fit=True)


@pytest.mark.parametrize("status", [100, 199, 300, 302, 404, 500, 503])
def test_B1_nothing_else_passes(status: int) -> None:
    verdict = judged(status, GOOD)
    assert not verdict.fit
    assert verdict.reasons[0] == f"answered HTTP {status}, status ok"


def test_B2_the_failing_checks_are_named_with_status_and_message() -> None:
    body = {
        "status": "error",
        "version": "1.5.0",
        "checks": [
            {"name": "database", "status": "error", "message": "connection refused"},
            {"name": "cache", "status": "OK", "message": "1 ms"},
            {"name": "queue", "status": "degraded", "message": "slow"},
            {"name": "search", "status": "down", "error": "no route"},
            {"name": "backend"},
        ],
    }
    assert judged(503, body).reasons == (
        "answered HTTP 503, status error",
        "check database: error: connection refused",
        "check search: down: no route",
        "check backend: ?: no message",
    )


def test_B1_checks_may_be_an_object_too() -> None:
    body = {"status": "error", "checks": {"database": {"status": "error", "message": "gone"}, "disk": "fail"}}
    assert judged(503, body).reasons[1:] == ("check database: error: gone", "check disk: fail: no message")


def test_B2_a_plain_failure_shows_its_body() -> None:
    assert judged(502, b"upstream gone\n").reasons == ("answered HTTP 502", "body: upstream gone")
    assert judged(502, b"  \n").reasons == ("answered HTTP 502",)


def test_B2_another_version_does_not_pass() -> None:
    verdict = judged(200, {**GOOD, "version": "1.4.0"})
    assert not verdict.fit
    assert verdict.version == "1.4.0"
    assert verdict.reasons == ("says version 1.4.0, expected 1.5.0 (health.expectVersion: false accepts any)",)
    assert judged(200, {**GOOD, "version": "1.4.0"}, expect_version=False) == Verdict(fit=True, version="1.4.0")


@pytest.mark.parametrize(
    ("said", "expected", "same"),
    [
        ("1.5.0", "1.5.0", True),
        ("v1.5.0", "1.5.0", True),
        ("1.5.0", "v1.5.0", True),
        ("1.5", "1.5.0", False),
        ("", "1.5.0", False),
        ("vv1", "1", False),
    ],
)
def test_B2_versions_are_the_same_but_for_a_leading_v(said: str, expected: str, same: bool) -> None:
    assert same_version(said, expected) is same


def test_B2_a_version_may_be_a_number() -> None:
    assert judged(200, {"version": 7}, version="7") == Verdict(fit=True, version="7")
    assert judged(200, {"version": 7}, version="8").fit is False


def test_B2_a_body_without_a_version_is_not_held_to_one() -> None:
    assert judged(200, {"status": "ok"}).fit
    assert judged(200, {"status": "ok", "version": None}).fit
    assert judged(200, {"status": "ok", "version": ["1"]}).fit


def test_B2_a_foreign_text_cannot_move_the_cursor_and_is_cut() -> None:
    nasty = "\x1b[2J\r\nall is well\x07" + "x" * 1000
    [_, check] = judged(503, {"checks": [{"name": nasty, "status": "bad", "message": nasty}]}).reasons
    assert check.isprintable()
    assert len(check) < 700
    assert check.endswith("…")
    assert judged(200, {"version": nasty}, expect_version=False).version.isprintable()


def test_a_heap_of_brackets_is_a_body_like_any_other() -> None:
    assert judged(200, b"[" * 200_000).fit
    assert not judged(500, b'{"checks":' * 50_000).fit


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
contracts = st.fixed_dictionaries(
    {},
    optional={
        "status": json_values,
        "version": json_values,
        "checks": json_values
        | st.lists(
            st.fixed_dictionaries({}, optional={"name": json_values, "status": json_values, "message": json_values}),
            max_size=4,
        ),
    },
)


@given(
    st.integers(100, 599),
    st.binary(max_size=200) | (json_values | contracts).map(lambda body: json.dumps(body).encode()),
    st.booleans(),
)
@example(200, b"9" * 5000, True)
def test_any_answer_gets_a_verdict_that_can_be_printed(status: int, body: bytes, expect_version: bool) -> None:
    verdict = judge(status, body, version="1", expect_version=expect_version)
    assert all(reason.isprintable() for reason in verdict.reasons)
    assert verdict.version.isprintable()
    if verdict.fit:
        assert 200 <= status <= 299
        assert not verdict.reasons
    else:
        assert verdict.reasons

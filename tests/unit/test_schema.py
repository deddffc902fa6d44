"""The schema contract: what a release can run on, and what an update does about it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.schema_contract import Judged, judge_contracts, schema_query
from components.settings import parse_settings
from components.targets import declared
from switchback.inside import schema as reader
from switchback.observation import LABEL, Links, Observation, Seen
from switchback.proxies import DRIVERS
from switchback.record import Record
from switchback.schema import MAX, MIN, VERSIONS, Contract, Schema, SchemaQuery, complaint, labelled, order_of


@pytest.mark.parametrize(
    ("least", "greatest"),
    [
        ("9", "10"),
        ("1.9", "1.10"),
        ("1", "1.0.1"),
        ("0009_orders", "0010_add_email"),
        ("0012_z", "0013_a"),
        ("20251231235959", "20260101000000"),
        ("V2", "V2_1"),
    ],
)
def test_D5_versions_are_ordered_by_the_number_that_they_begin_with(least: str, greatest: str) -> None:
    one, other = order_of(least), order_of(greatest)
    assert one is not None
    assert other is not None
    assert one < other


def test_D5_what_begins_with_no_number_has_no_order_and_zeros_at_the_end_say_nothing() -> None:
    assert order_of("ae1027a6acf") is None
    assert order_of("") is None
    assert order_of("1.0") == order_of("1") == order_of("V1.0.0") == (1,)
    assert order_of("0") == (0,)


@pytest.mark.parametrize(
    ("contract", "version", "said"),
    [
        (Contract(), "8", ""),
        (Contract(min="3", max="7"), "", ""),  # nothing has migrated it yet
        (Contract(min="3", max="7"), "3", ""),
        (Contract(min="3", max="7"), "7", ""),
        (Contract(min="3", max="7"), "8", "runs on versions 3 to 7 of the schema, the database is at 8"),
        (Contract(min="3", max="7"), "2", "runs on versions 3 to 7 of the schema, the database is at 2"),
        (Contract(min="3"), "2", "runs on version 3 or newer of the schema, the database is at 2"),
        (Contract(max="7"), "10", "runs on version 7 or older of the schema, the database is at 10"),
        (Contract(min="7", max="7"), "8", "runs on version 7 of the schema, the database is at 8"),
        (Contract(versions=("ae1", "bf2")), "bf2", ""),
        (Contract(versions=("ae1", "bf2")), "c03", "runs on version ae1 or bf2 of the schema, the database is at c03"),
        (Contract(versions=("ae1",)), "ae1,bf2", "runs on version ae1 of the schema, the database is at ae1,bf2"),
        (Contract(max="ae1"), "ae1", ""),
        (
            Contract(max="ae1"),
            "bf2",
            "runs on version ae1 or older of the schema, the database is at bf2, and these have no order",
        ),
    ],
)
def test_D5_a_contract_is_held_against_the_schema(contract: Contract, version: str, said: str) -> None:
    assert complaint(contract, Schema(version=version)) == said


@given(st.integers(0, 10**14), st.integers(0, 10**14), st.integers(0, 10**14))
def test_D5_a_contract_is_kept_exactly_between_its_bounds(least: int, greatest: int, now: int) -> None:
    contract = Contract(min=str(least), max=str(greatest))
    assert (complaint(contract, Schema(version=str(now))) == "") == (least <= now <= greatest)


def test_D5_an_image_says_it_by_its_labels() -> None:
    assert labelled({MIN: " 3", MAX: "7 ", "other": "x"}) == Contract(min="3", max="7")
    assert labelled({VERSIONS: "ae1, bf2,"}) == Contract(versions=("ae1", "bf2"))
    assert labelled({}) == Contract()


def test_D5_every_tool_has_a_reader() -> None:
    kinds = {"golang-migrate", "alembic", "django", "flyway"}
    assert kinds == reader._TABLES.keys() == reader._READERS.keys()


# ---- what an update does about it ----

OLD, NEW = "t-web-blue-1", "t-web-green-2"


def judged(
    schema: Schema,
    *,
    active: str = "green",
    serving: str = OLD,
    there: tuple[str, ...] = (OLD,),
    accepted: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    image: dict[str, str] | None = None,
    unknown: str = "",
    **slots: Any,
) -> Judged:
    """What is said of an environment where blue holds release 1 and green release 2."""
    raw = {
        "activeSlot": active,
        "slots": {
            "blue": {"imageTag": "1", **slots.get("blue", {})},
            "green": {"imageTag": "2", **slots.get("green", {})},
        },
        "services": {"web": {"image": "acme/web", "port": 8080, "routes": [{"path": "/"}]}},
        "database": {"embedded": True, "schema": {"kind": "golang-migrate"}},
    }
    settings = parse_settings(raw, secret_keys=set(), environment="t")
    releases = declared(settings, "t")
    own = {f"{LABEL}environment": "t", f"{LABEL}service": "web", **(labels or {})}
    containers = {name: Seen(name=name, id=name, status="running", labels=own, ports=()) for name in there}
    pointed = {target.container: target for target in (*releases.desired, *releases.standby)}.get(serving)
    seen = Observation(
        containers=containers,
        links=Links(current=DRIVERS["caddy"].pointer([pointed]) if pointed else {}),
        foreign_ports={},
        record=Record(accepted=accepted),
    )
    images = {} if image is None else {"acme/web:2": image}
    return judge_contracts(settings, releases, seen, schema, unknown, images)


def test_D5_a_release_that_cannot_run_on_the_schema_is_refused_before_anything_is_changed() -> None:
    found = judged(Schema(version="8"), image={MIN: "9"})
    assert found.refused == (
        "slots/green/schema: web 2 (green) runs on version 9 or newer of the schema, the database is at 8. Migrate the"
        " database to one of these, or restore a backup that has one; if you know that the release runs on it all the"
        " same, say so in slots.green.schema",
    )
    assert judged(Schema(version="9"), image={MIN: "9"}) == Judged()


def test_D5_a_rollback_is_held_against_the_labels_of_the_container_that_is_there() -> None:
    both = (OLD, NEW)
    back = judged(Schema(version="8"), active="blue", serving=NEW, there=both, accepted=both, labels={MAX: "7"})
    assert back.refused[0].startswith("slots/blue/schema: web 1 (blue) runs on version 7 or older of the schema")
    # Whoever knows better says so, and it counts more than the image.
    own: Any = {"blue": {"schema": {"max": "8"}}, "green": {"schema": {"min": "8"}}}
    better = judged(Schema(version="8"), active="blue", serving=NEW, there=both, labels={MAX: "7"}, **own)
    assert better == Judged()


def test_D5_what_has_the_traffic_already_is_no_reason_to_refuse_an_update() -> None:
    found = judged(Schema(version="8"), active="blue", serving=OLD, labels={MAX: "7"}, image={})
    assert found.refused == ()
    wrong = "web 1 (blue) runs on version 7 or older of the schema, the database is at 8"
    assert found.said == (f"{wrong}, and has the traffic",)


def test_D5_a_standby_that_would_be_refused_is_said() -> None:
    found = judged(Schema(version="8"), active="blue", serving=OLD, image={MIN: "9"})
    assert found.refused == ()
    [said] = found.said
    assert said.startswith("web 2 (green) runs on version 9 or newer of the schema, the database is at 8: a switch")


def test_D5_a_dirty_schema_blocks_a_deploy_and_not_the_way_back() -> None:
    dirty = Schema(version="8", dirty=True)
    found = judged(dirty, image={})
    assert len(found.refused) == 1
    assert "version 8 is dirty" in found.refused[0]
    assert "no new release takes traffic" in found.refused[0]
    back = judged(dirty, active="blue", serving=NEW, there=(OLD, NEW), accepted=(OLD, NEW))
    assert back.refused == ()
    assert "version 8 is dirty" in back.said[0]


def test_D5_what_is_not_known_is_said_and_refuses_nothing() -> None:
    found = judged(Schema(), unknown="connection refused", image={MIN: "9"})
    assert found.refused == ()
    assert found.said == (
        "the version of the database's schema is not known, so no release is held against it: connection refused",
    )
    pulled = judged(Schema(version="8"))
    assert pulled.refused == ()
    assert "its image is not on the Docker host yet" in pulled.said[0]


def test_D5_nobody_asks_where_it_is_not_configured_or_there_is_no_database_yet() -> None:
    raw: dict[str, Any] = {
        "activeSlot": "blue",
        "slots": {"blue": {"imageTag": "1"}},
        "services": {"web": {"image": "acme/web"}},
        "database": {"embedded": True},
    }
    plain = parse_settings(raw, secret_keys=set(), environment="t")
    assert schema_query(plain, lambda: "postgresql://x") is None
    raw["database"]["schema"] = {"kind": "django", "app": "shop"}
    asked = parse_settings(raw, secret_keys=set(), environment="t")
    assert schema_query(asked, lambda: "") is None
    assert schema_query(asked, lambda: "postgresql://x") == SchemaQuery(url="postgresql://x", kind="django", app="shop")
    own = {**raw, "database": {"url": "postgresql://own", "schema": {"kind": "flyway", "table": "a.b"}}}
    external = parse_settings(own, secret_keys={"database"}, environment="t")
    assert schema_query(external, lambda: "postgresql://x") == SchemaQuery(
        url="postgresql://own", kind="flyway", table="a.b"
    )
    assert msgspec.json.decode(msgspec.json.encode(Schema(version="8")), type=Schema) == Schema(version="8")

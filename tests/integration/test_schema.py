"""The schema contract with a real PostgreSQL: no release takes traffic that can't run on what the database holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from docker.errors import NotFound

from switchback.schema import Schema, SchemaQuery
from switchback.specs import encode
from tests.integration.conftest import MakeWorld
from tests.integration.sharing import shared_world
from tests.integration.world import World

pytestmark = pytest.mark.integration

POSTGRES = "switchback/postgres:local"
OWN_PASSWORD = "correct horse/battery"


def declare(world: World) -> None:
    """A database whose schema golang-migrate looks after; images are the test's own, for their labels."""
    world.config["database"] = {"embedded": True, "image": POSTGRES, "schema": {"kind": "golang-migrate"}}
    world.config["services"]["web"]["image"] = image(world)
    for tag, labels in (("1", {"max": "7"}), ("2", {"min": "7"}), ("3", {})):
        label(world, tag, **labels)


def image(world: World) -> str:
    """A name in a registry that nobody runs."""
    return f"localhost:1/{world.name}"


def label(world: World, tag: str, **bounds: str) -> None:
    """Makes the image of a release that runs on these versions of the schema."""
    made = world.docker.containers.create(f"switchback/demo:{'2' if tag == '2' else '1'}")
    changes = [f"LABEL switchback.schema.{bound}={version}" for bound, version in bounds.items()]
    made.commit(image(world), tag, changes="\n".join([*changes, f"ENV VERSION={tag}"]))
    made.remove()


@pytest.fixture(scope="module", autouse=True)
def _images(shared: World) -> Iterator[None]:
    yield
    for container in shared.docker.containers.list(
        all=True, filters={"label": f"switchback.environment={shared.name}"}
    ):
        container.remove(force=True, v=True)
    for tag in ("1", "2", "3"):
        try:
            shared.docker.images.remove(f"{image(shared)}:{tag}", force=True)
        except NotFound:
            continue


shared = shared_world(declare)


def database_url(world: World) -> str:
    """What the application was given."""
    env = dict(pair.split("=", 1) for pair in world.container("web", "blue", "1").attrs["Config"]["Env"])
    return str(env["DATABASE_URL"])


def run_sql(world: World, script: str, **values: str) -> None:
    """Runs SQL as the application; `:name` stands for a value."""
    given = [word for name, value in values.items() for word in ("-v", f"{name}={value}")]
    # psql puts values into what it reads, and not into what it is given with -c.
    argv = ["sh", "-c", 'echo "$0" | psql "$@"', script, database_url(world), "-v", "ON_ERROR_STOP=1", "-qAt", *given]
    code, said = world.part("toolbox").exec_run(argv)
    assert code == 0, said


def migrated(world: World, version: int, *, dirty: bool = False) -> None:
    """What golang-migrate leaves behind."""
    run_sql(
        world,
        "CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
        " TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES (:version, :dirty)",
        version=str(version),
        dirty=str(dirty),
    )


def told(world: World, **asked: Any) -> Schema:
    """What the reader in the toolbox says."""
    query = encode(SchemaQuery(url=asked.pop("url", None) or database_url(world), **asked))
    code, said = world.part("toolbox").exec_run(
        ["python3", "-m", "switchback.inside.schema"], environment={"SWITCHBACK_SPEC": query}
    )
    assert code == 0, said
    assert isinstance(said, bytes)
    return Schema(**json.loads(said))


def test_D5_no_release_takes_traffic_that_cannot_run_on_the_schema(shared: World) -> None:
    world = shared
    assert world.outputs()["schema"] == {"version": "", "dirty": False}
    before = world.containers()
    # The database is older than what release 2 needs.
    migrated(world, 6)
    world.config["slots"]["green"] = {"imageTag": "2"}
    world.config["activeSlot"] = "green"
    refused = world.preview()
    assert not refused.ok
    assert (
        "slots/green/schema: web 2 (green) runs on version 7 or newer of the schema, the database is at 6"
        in refused.text
    )
    assert "what served still serves" in refused.text
    assert not world.up().ok
    assert world.containers() == before
    assert world.serving() == "1"
    # A migration that broke off.
    migrated(world, 7, dirty=True)
    dirty = world.up()
    assert not dirty.ok
    assert "version 7 is dirty" in dirty.text
    assert "no new release takes traffic" in dirty.text
    assert world.containers() == before
    # One that both can run on.
    migrated(world, 7)
    world.must_up()
    assert world.serving() == "2"
    assert world.outputs()["schema"] == {"version": "7", "dirty": False}
    # The next migration takes the way back away, and the preview says so before anyone needs it.
    migrated(world, 8)
    warned = world.preview()
    assert warned.ok
    assert "web 1 (blue) runs on version 7 or older of the schema, the database is at 8: a switch to it" in warned.text
    world.config["activeSlot"] = "blue"
    back = world.preview()
    assert not back.ok
    assert "slots/blue/schema: web 1 (blue) runs on version 7 or older of the schema, the database is at 8" in back.text
    assert world.serving() == "2"
    # Whoever knows better says so.
    world.config["slots"]["blue"]["schema"] = {"max": "8"}
    world.must_up()
    assert world.serving() == "1"
    assert set(world.up().summary) == {"same"}


def test_D5_a_database_that_does_not_answer_is_said_and_blocks_no_way_back(shared: World) -> None:
    database = shared.part("database")
    database.pause()
    try:
        previewed = shared.preview()
        assert previewed.ok, previewed.text
        assert "the version of the database's schema is not known, so no release is held against it" in previewed.text
    finally:
        database.unpause()


@pytest.mark.parametrize(
    ("asked", "script", "known"),
    [
        ({"kind": "alembic"}, "", Schema()),
        (
            {"kind": "alembic"},
            "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('ae1')",
            Schema(version="ae1"),
        ),
        ({"kind": "alembic"}, "INSERT INTO alembic_version VALUES ('b02')", Schema(version="ae1,b02")),
        (
            {"kind": "django", "app": "shop"},
            "CREATE TABLE django_migrations (app text, name text);"
            " INSERT INTO django_migrations VALUES ('shop', '0009_a'), ('shop', '0010_b'), ('auth', '0012_c')",
            Schema(version="0010_b"),
        ),
        (
            {"kind": "flyway"},
            "CREATE TABLE flyway_schema_history (installed_rank int, version text, type text, success boolean);"
            " INSERT INTO flyway_schema_history VALUES (1, '1', 'SQL', true), (2, '1.10', 'SQL', true),"
            " (3, NULL, 'SQL', true)",
            Schema(version="1.10"),
        ),
        (
            {"kind": "flyway"},
            "INSERT INTO flyway_schema_history VALUES (4, '2', 'SQL', false)",
            Schema(version="1.10", dirty=True),
        ),
        (
            {"kind": "flyway"},
            "INSERT INTO flyway_schema_history VALUES (5, '2', 'SQL', true), (6, '2', 'UNDO_SQL', true)",
            Schema(version="1.10"),
        ),
        ({"kind": "query", "query": "SELECT 42, true"}, "", Schema(version="42", dirty=True)),
        ({"kind": "query", "query": "SELECT 42 WHERE false"}, "", Schema()),
        (
            {"kind": "golang-migrate", "table": "shop.migrated"},
            "CREATE SCHEMA shop; CREATE TABLE shop.migrated (version bigint, dirty boolean);"
            " INSERT INTO shop.migrated VALUES (20260102030405, false)",
            Schema(version="20260102030405"),
        ),
    ],
)
def test_D5_every_tools_table_is_understood(shared: World, asked: dict[str, Any], script: str, known: Schema) -> None:
    if script:
        run_sql(shared, script)
    assert told(shared, **asked) == known


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "query", "query": "DROP TABLE schema_migrations"}, "read-only transaction"),
        ({"kind": "query", "query": "SELECT pg_sleep(30)", "timeout": 1.0}, "statement timeout"),
        ({"kind": "flyway", "table": "shop.migrated"}, "does not exist"),
    ],
)
def test_D5_asking_changes_nothing_and_does_not_wait(shared: World, asked: dict[str, Any], said: str) -> None:
    query = encode(SchemaQuery(url=database_url(shared), **asked))
    code, output = shared.part("toolbox").exec_run(
        ["python3", "-m", "switchback.inside.schema"], environment={"SWITCHBACK_SPEC": query}
    )
    assert code == 1
    assert isinstance(output, bytes)
    assert said in output.decode()


def test_D5_a_database_of_ones_own_is_asked_as_well(make_world: MakeWorld) -> None:
    world = make_world("caddy")
    world.must_up()
    own = world.docker.containers.run(
        POSTGRES,
        name=f"{world.name}-own",
        network=f"switchback-{world.name}",
        environment={"POSTGRES_PASSWORD": OWN_PASSWORD},
        labels={"switchback.environment": world.name},
        detach=True,
    )
    world.config["database"] = {"schema": {"kind": "query", "query": "SELECT 12"}}
    world.config["slots"]["green"] = {"imageTag": "2", "schema": {"min": "13"}}
    world.config["activeSlot"] = "green"
    world.write_config()
    url = f"postgresql://postgres:correct%20horse%2Fbattery@{own.name}:5432/postgres"
    world.pulumi("config", "set", "--secret", "--path", "switchback:database.url", url)
    refused = world.up()
    assert not refused.ok
    assert "web 2 (green) runs on version 13 or newer of the schema, the database is at 12" in refused.text
    world.config["slots"]["green"]["schema"] = {"min": "12"}
    done = world.must_up()
    assert world.serving() == "2"
    checks = {check["name"]: check["status"] for check in world.get("/health")[1]["checks"]}
    assert checks["database"] == "ok"
    for text in (refused.text, done.text, json.dumps(world.outputs())):
        assert OWN_PASSWORD not in text
        assert "correct%20horse" not in text

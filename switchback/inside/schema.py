"""Runs in the toolbox: reads which version the database's schema is at, and whether a migration was left half done.

Prints a `Schema` as JSON on standard output; what went wrong is one line on standard error, and exit code 1.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import psycopg
from psycopg import sql

from switchback.schema import Schema, SchemaQuery, order_of
from switchback.specs import decode, encode

_TABLES = {
    "golang-migrate": "schema_migrations",
    "alembic": "alembic_version",
    "django": "django_migrations",
    "flyway": "flyway_schema_history",
}


def read(asked: SchemaQuery) -> Schema:
    """Asks the database.

    Raises:
        psycopg.Error: it can't be reached, or the role may not read the table.
    """
    milliseconds = int(asked.timeout * 1000)
    with psycopg.connect(
        asked.url, connect_timeout=max(2, round(asked.timeout)), application_name="switchback", autocommit=True
    ) as connection:
        connection.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])
        connection.execute("SET default_transaction_read_only = on")
        if asked.kind == "query":
            row = connection.execute(asked.query.encode()).fetchone()
            return Schema() if row is None or row[0] is None else Schema(version=str(row[0]), dirty=_dirty(row))
        table = sql.Identifier(*(asked.table or _TABLES[asked.kind]).split("."))
        name = table.as_string(connection)
        if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,):
            return Schema()  # no migration has run here yet
        return _READERS[asked.kind](connection, table, asked)


def _dirty(row: tuple[Any, ...]) -> bool:
    return len(row) > 1 and bool(row[1])


def _golang_migrate(connection: psycopg.Connection[Any], table: sql.Identifier, _: SchemaQuery) -> Schema:
    row = connection.execute(sql.SQL("SELECT version, dirty FROM {} LIMIT 1").format(table)).fetchone()
    return Schema(version=str(row[0]), dirty=bool(row[1])) if row else Schema()


def _alembic(connection: psycopg.Connection[Any], table: sql.Identifier, _: SchemaQuery) -> Schema:
    rows = connection.execute(sql.SQL("SELECT version_num FROM {} ORDER BY 1").format(table)).fetchall()
    return Schema(version=",".join(str(row[0]) for row in rows))  # several where branches are not merged


def _django(connection: psycopg.Connection[Any], table: sql.Identifier, asked: SchemaQuery) -> Schema:
    rows = connection.execute(sql.SQL("SELECT name FROM {} WHERE app = %s").format(table), [asked.app]).fetchall()
    return Schema(version=max((str(row[0]) for row in rows), key=lambda name: (order_of(name) or (), name), default=""))


def _flyway(connection: psycopg.Connection[Any], table: sql.Identifier, _: SchemaQuery) -> Schema:
    rows = connection.execute(
        sql.SQL("SELECT version, success, type FROM {} WHERE version IS NOT NULL ORDER BY installed_rank").format(table)
    ).fetchall()
    done: list[str] = []
    failed: set[str] = set()
    for version, success, kind in rows:
        if not success:
            failed.add(str(version))
        elif str(kind).startswith("UNDO") or kind == "DELETE":
            done = [other for other in done if other != str(version)]
        else:
            done.append(str(version))
            failed.discard(str(version))  # tried again, with success
    return Schema(version=done[-1] if done else "", dirty=bool(failed))


_READERS = {"golang-migrate": _golang_migrate, "alembic": _alembic, "django": _django, "flyway": _flyway}


def main() -> int:
    """Does what `SWITCHBACK_SPEC` says."""
    try:
        print(encode(read(decode(os.environ["SWITCHBACK_SPEC"], SchemaQuery))))
    except psycopg.Error as failed:
        print(" ".join(str(failed).split()) or type(failed).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs in the toolbox: waits for PostgreSQL, and makes the application's role and database. Can be run again."""

from __future__ import annotations

import os
import time

import psycopg
from psycopg import sql

from switchback.specs import Provision, decode

_RETRY_EVERY = 0.3  # seconds


def main() -> int:
    """Does what `SWITCHBACK_SPEC` says. Exit code 0 when the role can use its database."""
    spec = decode(os.environ["SWITCHBACK_SPEC"], Provision)
    deadline = time.monotonic() + spec.timeout
    while True:
        try:
            with psycopg.connect(
                host=spec.container,
                user="postgres",
                password=spec.superuser_password,
                dbname="postgres",
                connect_timeout=3,
                autocommit=True,
            ) as connection:
                _provision(connection, spec)
            print(f"{spec.container} answers; database {spec.database} belongs to {spec.role}", flush=True)
            return 0
        except psycopg.OperationalError as failed:
            if time.monotonic() > deadline:
                print(f"{spec.container} does not answer after {spec.timeout:g} s: {failed}".strip(), flush=True)
                return 1
            time.sleep(_RETRY_EVERY)


def _provision(connection: psycopg.Connection[tuple[object, ...]], spec: Provision) -> None:
    role, database = sql.Identifier(spec.role), sql.Identifier(spec.database)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [spec.role]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB").format(role))
    # A utility statement takes no parameters, so the password is quoted by the library as a literal.
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(spec.password)))
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [spec.database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))


if __name__ == "__main__":
    raise SystemExit(main())

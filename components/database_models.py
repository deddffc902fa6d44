"""PostgreSQL and its schema: which database the services use, and what releases can run on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from components.values import EnvValue, ImageRef, Model, Resources, SecretValue, number_as_text
from switchback.schema import order_of

SchemaKind = Literal["golang-migrate", "alembic", "django", "flyway", "query"]

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(?:\.[A-Za-z_][A-Za-z0-9_]{0,62})?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_SCHEMES = ("postgresql://", "postgres://")


def _table(value: str) -> str:
    if not _TABLE.fullmatch(value):
        raise ValueError(f"{value!r} is not a name (letters, digits and _; a table may have its schema before it)")
    return value


def _version(value: str) -> str:
    if not _VERSION.fullmatch(value):
        raise ValueError(f"{value!r} is not a schema version (letters, digits, . _ and -)")
    return value


def _address(value: SecretStr) -> SecretStr:
    address = value.get_secret_value()
    if not address.startswith(_SCHEMES) or any(character.isspace() for character in address):
        raise ValueError("is not an address such as postgresql://user:password@host:5432/name")  # without the value
    return value


SchemaVersion = Annotated[str, BeforeValidator(number_as_text), AfterValidator(_version)]


class SchemaSettings(Model):
    """Where the database says which version its schema is at."""

    kind: SchemaKind = Field(description="The tool that migrates it, or query for one of your own.")
    table: Annotated[str, AfterValidator(_table)] | None = Field(
        default=None, description="The tool's table, where it is not called as usual."
    )
    app: Annotated[str, AfterValidator(_table)] | None = Field(
        default=None, description="With django: label of the application whose migrations count."
    )
    query: EnvValue | None = Field(
        default=None,
        description="With query: SQL that gives a row of the version and, if you like, whether it is dirty.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "django") != (self.app is not None):
            raise ValueError("set app with kind django, and only there")
        if (self.kind == "query") != (self.query is not None):
            raise ValueError("set query with kind query, and only there")
        return self


class ContractSettings(Model):
    """Which versions of the schema a release can run on; it wins over the labels of the image."""

    min: SchemaVersion | None = Field(default=None, description="The least version.")
    max: SchemaVersion | None = Field(default=None, description="The greatest version.")
    versions: tuple[SchemaVersion, ...] = Field(
        default=(), strict=False, description="Or all of them, for tools whose versions have no order (Alembic)."
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.versions and (self.min or self.max):
            raise ValueError("set either versions, or min and max")
        for key, bound in (("min", self.min), ("max", self.max)):
            if bound and order_of(bound) is None:  # without the value, as all that is said of more than one key
                raise ValueError(f"{key} begins with no number, so nothing is less or greater; set versions")
        least, greatest = order_of(self.min or "0"), order_of(self.max or "0")
        if self.min and self.max and least and greatest and least > greatest:
            raise ValueError("min is greater than max")
        return self


class DatabaseSettings(Model):
    """PostgreSQL beside the services."""

    embedded: bool = Field(
        default=False,
        description="Run PostgreSQL in the environment; services get DATABASE_URL. Its password is made once.",
    )
    url: Annotated[SecretValue, AfterValidator(_address)] | None = Field(
        default=None,
        description="Or the address of your own, encrypted, which services get as DATABASE_URL:"
        " `pulumi config set --secret --path switchback:database.url`.",
    )
    image: ImageRef = Field(default="postgres:17", description="Image of the embedded PostgreSQL.")
    resources: Resources = Field(default=Resources(), description="Limits of its container.")
    contract: SchemaSettings | None = Field(
        default=None,
        alias="schema",
        description="Where its schema's version is read, so that no release takes traffic that can't run on it.",
    )


def contradictions(raw: Any, slots: Mapping[str, Any], *, encrypted: bool) -> list[str]:
    """What is wrong between the keys of `database`, or with what slots say of its schema.

    Args:
        raw: The value of `database`, whatever it is.
        slots: The slots, by name.
        encrypted: Whether anything in the database's keys is.
    """
    if raw is not None and not isinstance(raw, dict):
        return []  # said already
    database, found = raw or {}, []
    if database.get("url") and not encrypted:
        found.append(
            "database/url: is stored in plain text;"
            " set it with `pulumi config set --secret --path switchback:database.url`"
        )
    if database.get("url") and database.get("embedded") in (True, "true"):
        found.append("database/url: embedded is true, so there are two databases; set one of them")
    if database.get("schema") and not (database.get("url") or database.get("embedded")):
        found.append("database/schema: there is no database; set embedded, or url")
    for name, slot in slots.items():
        if isinstance(slot, dict) and slot.get("schema") and not database.get("schema"):
            found.append(f"slots/{name}/schema: has no effect; database/schema says where the version is read")
    return found

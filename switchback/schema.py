"""The schema contract: which versions of the database's schema a release can run on. Pure.

A migration tool writes the version into a table of the database. Of most tools, versions are in an order, and a release
says the least and the greatest that it can run on; Alembic's are not, and there a release lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

# Labels of an image.
MIN, MAX, VERSIONS = "switchback.schema.min", "switchback.schema.max", "switchback.schema.versions"
_NUMBERED = re.compile(r"[Vv]?(\d+(?:[._]\d+)*)")


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What a database says of itself. No version: no migration has run yet."""

    version: str = ""
    dirty: bool = False  # a migration began, and did not come to its end


class SchemaQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which database to ask, and which tool's table."""

    url: str
    kind: str
    table: str = ""  # empty: the tool's own name for it
    app: str = ""  # Django's label of the application whose migrations count
    query: str = ""  # with kind `query`: gives a row of the version and, in a second column if any, whether it is dirty
    timeout: float = 3.0  # seconds, to connect and to answer


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that a release can run on; without any of them, all."""

    min: str = ""
    max: str = ""
    versions: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.versions:
            return f"version {' or '.join(self.versions)}"
        if self.min and self.max:
            return f"version {self.min}" if self.min == self.max else f"versions {self.min} to {self.max}"
        return f"version {self.min} or newer" if self.min else f"version {self.max} or older" if self.max else "any"


def order_of(version: str) -> tuple[int, ...] | None:
    """Where a version stands among others, from the number that it begins with; None where it begins with none.

    `7`, `20260102030405`, `0012_add_email`, `1.10.2` and `V2_1` have one; what stands after it says nothing.
    """
    found = _NUMBERED.match(version)
    if not found:
        return None
    numbers = [int(number) for number in re.split(r"[._]", found[1])]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()  # 1.0 is 1
    return tuple(numbers)


def labelled(labels: Mapping[str, str]) -> Contract:
    """What an image says by its labels."""
    listed = tuple(version.strip() for version in labels.get(VERSIONS, "").split(",") if version.strip())
    return Contract(min=labels.get(MIN, "").strip(), max=labels.get(MAX, "").strip(), versions=listed)


def complaint(contract: Contract, schema: Schema) -> str:
    """Why a release with this contract can't run on a schema; empty when it can, or where nothing is known.

    A sentence without a subject, such as `runs on versions 3 to 7, the database is at 8`.
    """
    if not schema.version or contract == Contract():
        return ""
    at = f"runs on {contract} of the schema, the database is at {schema.version}"
    if contract.versions:
        return "" if schema.version in contract.versions else at
    now = order_of(schema.version)
    bounds = [order_of(bound) for bound in (contract.min, contract.max) if bound]
    if now is None or None in bounds:
        return "" if schema.version in (contract.min, contract.max) else f"{at}, and these have no order"
    below = contract.min and now < (order_of(contract.min) or ())
    above = contract.max and now > (order_of(contract.max) or ())
    return at if below or above else ""

"""Which releases may take traffic on the schema that the database has now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from components.models import Settings
from components.targets import Declared, image_of
from switchback.observation import Observation
from switchback.schema import Contract, Schema, SchemaQuery, complaint, labelled
from switchback.specs import Target


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences: why the update may not go on, and what is worth knowing."""

    refused: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def schema_query(settings: Settings, embedded: Callable[[], str]) -> SchemaQuery | None:
    """How to ask for the schema's version; None where that is not configured, or there is no database yet.

    Args:
        settings: The configuration.
        embedded: Gives the address of the embedded database, empty while there is none.
    """
    own = settings.database.contract
    url = settings.database.url.get_secret_value() if settings.database.url else (embedded() if own else "")
    if own is None or not url:
        return None
    return SchemaQuery(url=url, kind=own.kind, table=own.table or "", app=own.app or "", query=own.query or "")


def judge_contracts(
    settings: Settings,
    releases: Declared,
    seen: Observation,
    schema: Schema,
    unknown: str,
    images: Mapping[str, Mapping[str, str]],
) -> Judged:
    """Holds every declared release against the schema.

    Args:
        settings: The configuration.
        releases: The declared releases.
        seen: What runs now, and what has the traffic.
        schema: What the database says.
        unknown: Why it does not say anything, though it should.
        images: The labels of images by name and tag; one that the Docker host does not have is not there.
    """
    refused, said = [], []
    if unknown:
        said.append(f"the version of the database's schema is not known, so no release is held against it: {unknown}")
    pointed = seen.pointed()
    coming = [target for target in releases.desired if pointed.get(target.service) != target.container]
    new = [target for target in coming if target.container not in seen.record.accepted]
    if schema.dirty:
        sentence = (
            f"database/schema: version {schema.version or '(none)'} is dirty: a migration began and did not come to its"
            " end. Mend what it left, and have its tool say that it is clean"
        )
        # What served before is a way out of just this, and is not refused.
        if new:
            refused.append(f"{sentence}; until then no new release takes traffic")
        else:
            said.append(sentence)
    for target in releases.desired:
        contract, told = _contract(settings, target, seen, images)
        wrong = complaint(contract, schema)
        if wrong and target in coming:
            refused.append(f"slots/{target.slot}/schema: {target.label} {wrong}{_way_out(target)}")
        elif wrong:
            said.append(f"{target.label} {wrong}, and has the traffic")
        elif target in coming and schema.version and not told:
            said.append(
                f"{target.label}: its image is not on the Docker host yet, so what schema it runs on is not known;"
                f" slots.{target.slot}.schema can say it"
            )
    for target in releases.standby:
        contract, _ = _contract(settings, target, seen, images)
        if wrong := complaint(contract, schema):
            said.append(f"{target.label} {wrong}: a switch to it would be refused")
    return Judged(refused=tuple(refused), said=tuple(said))


def _contract(
    settings: Settings, target: Target, seen: Observation, images: Mapping[str, Mapping[str, str]]
) -> tuple[Contract, bool]:
    """What a release can run on, and whether anybody could be asked."""
    own = settings.slots[target.slot].contract  # type: ignore[index]
    if own:
        return Contract(min=own.min or "", max=own.max or "", versions=own.versions), True
    if held := seen.containers.get(target.container):
        return labelled(held.labels), True  # a container has the labels of its image
    labels = images.get(image_of(settings, target))
    return labelled(labels or {}), labels is not None


def _way_out(target: Target) -> str:
    return (
        ". Migrate the database to one of these, or restore a backup that has one; if you know that the release runs on"
        f" it all the same, say so in slots.{target.slot}.schema"
    )

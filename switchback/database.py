"""The database, asked from the toolbox."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from switchback.docker_host import Engine
from switchback.observation import Observation
from switchback.schema import Schema, SchemaQuery
from switchback.specs import decode, encode


def embedded_url(engine: Engine, environment: str, database: str) -> str:
    """The address of the embedded database for its superuser; empty while there is none.

    The password is in the state, where the program can't read it, and in the environment of its container.
    """
    state = engine.inspect(f"{environment}-database")
    password = state.env.get("POSTGRES_PASSWORD", "") if state else ""
    return (
        f"postgresql://postgres:{quote(password, safe='')}@{environment}-database:5432/{database}" if password else ""
    )


def look_at_schema(
    engine: Engine, environment: str, seen: Observation, asked: SchemaQuery | None
) -> tuple[Schema, str]:
    """What the database says of its schema, and why that is not known, if it ought to be.

    Args:
        engine: The Docker Engine.
        environment: Its name.
        seen: What runs in it.
        asked: What to ask; None where nobody wants to know, or there is no database yet.

    Raises:
        EngineError: when the Engine does not answer.
    """
    toolbox = f"{environment}-toolbox"
    if asked is None or toolbox not in seen.containers:
        return Schema(), ""
    if not seen.running(toolbox):
        return Schema(), f"{toolbox}, which asks for it, does not run"
    code, said = engine.exec(
        toolbox, ("python3", "-m", "switchback.inside.schema"), env={"SWITCHBACK_SPEC": encode(asked)}
    )
    text = said.decode(errors="replace").strip()
    if code != 0:
        return Schema(), text.splitlines()[-1] if text else f"exit code {code}"
    try:
        return decode(text, Schema), ""
    except msgspec.MsgspecError:
        return Schema(), f"the toolbox answers {text[:200]!r}; is its image an older one?"

"""Reads the stack's configuration, the only place that does, and says everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pulumi
from pulumi.runtime import config as runtime_config
from pydantic import BaseModel, ValidationError

from components.database_models import contradictions as contradicting_database
from components.models import Settings
from components.names import NAME, RESERVED_SERVICES
from components.release_models import contradictions as contradicting_gates
from components.values import SLOTS

NAMESPACE = "switchback"
_LONGEST = 200  # characters of a value that an error shows
_SLOT_INSIDE = re.compile(r"-(blue|green)(-|\Z)")


class SettingsError(pulumi.RunError):
    """The configuration cannot be used; the text lists every reason, one a line, by key path."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        lines = "\n".join(f"  {error}" for error in errors)
        super().__init__(
            f"{count} in the configuration of this stack; nothing was changed, what served still serves:\n{lines}\n"
            "Mend it with `pulumi config set --path switchback:KEY VALUE` (docs/configuration.md has every key)."
        )


def read_settings() -> Settings:
    """The checked configuration of the current stack.

    Raises:
        SettingsError: naming every unknown key, wrong value, missing value and contradiction.
    """
    prefix = f"{NAMESPACE}:"
    # Config has no public way to list its keys, and a key that nobody reads is just the one to complain about.
    keys = runtime_config.CONFIG.get() or runtime_config.get_config_env()
    raw = {key.removeprefix(prefix): _decoded(value) for key, value in keys.items() if key.startswith(prefix)}
    secret = {key.removeprefix(prefix) for key in keys if runtime_config.is_config_secret(key)}
    return parse_settings(raw, secret_keys=secret, environment=pulumi.get_stack())


def parse_settings(raw: Mapping[str, Any], *, secret_keys: set[str], environment: str) -> Settings:
    """Checks configuration values as `pulumi` hands them over: top-level key to decoded JSON value.

    Args:
        raw: Key without its namespace to value.
        secret_keys: The top-level keys that hold something encrypted.
        environment: The stack's name, which becomes part of container names.

    Raises:
        SettingsError: as `read_settings`.
    """
    errors = [] if NAME.fullmatch(environment) else [f"stack name: {environment!r} is not a name (a–z, 0–9, - and _)"]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(dict(raw))
    except ValidationError as failed:
        errors += [_sentence(error, secret=error["loc"][0] in secret_keys) for error in failed.errors()]
    errors += list(_contradictions(raw, secret_keys))
    if errors or settings is None:
        raise SettingsError(errors)
    return settings


def _decoded(value: Any) -> Any:
    """Pulumi hands objects over as JSON text, and plain strings as they are."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _sentence(error: Any, *, secret: bool) -> str:
    """One pydantic error as `services/web/port: 70000 is not a port (1–65535)`.

    What was encrypted is never shown: it is always a text under a `secret` top-level key. So is none under
    `secretEnv`, encrypted or not, and no list or map, which may hold anything.
    """
    kind, given, where = error["type"], error.get("input"), [str(part) for part in error["loc"]]
    # Where a map's key is wrong, pydantic gives the key, and "[key]" after it; someone may have a key of that name.
    a_name = where[-1] == "[key]" and [given] == where[-2:-1] and kind != "extra_forbidden"
    if a_name:
        where.pop()
    path = "/".join(where)
    if "secretEnv" in where[2:-1] and not a_name:
        return f"{path}: must be a text without a NUL byte"
    shown = _shown(given, hidden=not a_name and (secret or where[2:] == ["secretEnv"]))
    match kind:
        case "missing":
            return f"{path}: is missing ({_description(where)})"
        case "extra_forbidden":
            return f"{path}: unknown key{_nearest(where)}"
        case "value_error":
            return f"{path}: {str(error['ctx']['error']).replace(repr(given), shown)}"
        case "literal_error":
            return f"{path}: {shown} is not one of {error['ctx']['expected'].replace(' or ', ', ')}"
        case _:
            message = error["msg"][:1].lower() + error["msg"][1:]
            return f"{path}: {shown} does not fit: {message.replace('input ', '')}"


def _shown(given: Any, *, hidden: bool) -> str:
    """A value as an error shows it."""
    match given:
        case dict():
            return "a map"
        case list():
            return "a list"
        case str() if hidden:
            return "a text (not shown: it may be secret)"
        case _:
            text = repr(given)
            return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _fields(where: list[str]) -> dict[str, Any]:
    """The known keys (by their configured name) of the model that holds the last part of a key path."""
    model: Any = Settings
    for part in where[:-1]:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            model = next((m for m in _models(model)), model)
            continue  # this part was a dictionary's key or a list's index
        field = {f.alias or n: f for n, f in model.model_fields.items()}.get(part)
        if field is None:
            return {}
        model = field.annotation
    model = next((m for m in _models(model)), None)
    return {f.alias or n: f for n, f in model.model_fields.items()} if model else {}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside a type such as `dict[str, SlotSettings]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _description(where: list[str]) -> str:
    field = _fields(where).get(where[-1])
    return field.description.rstrip(".") if field is not None and field.description else "required"


def _nearest(where: list[str]) -> str:
    known = _fields(where)
    close = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else f" (known here: {', '.join(sorted(known))})" if known else ""


def _contradictions(raw: Mapping[str, Any], secret_keys: set[str]) -> Iterator[str]:
    """What no single value shows. Works on raw values, so these come along with the errors of single values."""
    yield from _unwatched(raw)
    slots = raw.get("slots")
    if not isinstance(slots, Mapping):
        slots = SLOTS  # said already
    active = raw.get("activeSlot")
    if active in SLOTS and active not in slots:
        yield f"slots/{active}/imageTag: is missing, but activeSlot is {active}"
    services = _mapping(raw.get("services"))
    if raw.get("services") == {}:
        yield "services: name at least one service"
    routes: dict[tuple[str, str], str] = {}
    for name, service in services.items():
        service = _mapping(service)
        if name in RESERVED_SERVICES:
            yield f"services/{name}: the name is taken by Switchback's own container"
        if _SLOT_INSIDE.search(name):
            # web-blue in green and web in blue would share container names for some tags
            yield f"services/{name}: the name of a slot can't be part of the name: every service is in both"
        own = service.get("activeSlot")
        if own in SLOTS and own not in slots:
            yield f"services/{name}/activeSlot: is {own}, but slots/{own} has no imageTag"
        secrets = _mapping(service.get("secretEnv"))
        if secrets and "services" not in secret_keys:
            some = next(iter(secrets))
            yield (
                f"services/{name}/secretEnv: is stored in plain text; set each with"
                f" `pulumi config set --secret --path switchback:services.{name}.secretEnv.{some}`"
            )
        for both in sorted(set(secrets) & set(_mapping(service.get("env")))):
            yield f"services/{name}/secretEnv/{both}: is in env as well"
        given = service.get("routes")
        for index, route in enumerate(given if isinstance(given, list) else []):
            host, path = _mapping(route).get("host") or "", _mapping(route).get("path", "/")
            if not (isinstance(route, Mapping) and isinstance(host, str) and isinstance(path, str)):
                continue  # said already
            where = (host, path.rstrip("/") or "/")
            if where in routes:
                shown = f"{where[0] or 'any host'}{where[1]}"
                yield f"services/{name}/routes/{index}: {shown} is a route of {routes[where]} already"
            routes.setdefault(where, name)
        if given and service.get("port") is None:
            yield f"services/{name}/port: is missing, but the service has routes"
    own_slots = _mapping(raw.get("slots"))
    yield from contradicting_database(raw.get("database"), own_slots, encrypted="database" in secret_keys)
    yield from contradicting_gates(raw.get("gates"), services, encrypted="gates" in secret_keys)


def _unwatched(raw: Mapping[str, Any]) -> Iterator[str]:
    """What would have no effect, because nothing is watched without a bake time."""
    analysis = _mapping(raw.get("analysis"))
    if analysis.get("bake", 0) not in (0, "0", "0s"):
        return
    if "bake" not in analysis and (others := sorted(analysis)):
        yield f"analysis/bake: is missing, and without it there is no analysis ({others[0]} has no effect)"
    steps = _mapping(raw.get("rollout")).get("steps")
    if isinstance(steps, list) and len(steps) > 1:
        yield "rollout/steps: needs analysis.bake, since every step is watched"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

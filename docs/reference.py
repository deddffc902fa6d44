"""The configuration reference: docs/configuration.md and the `config:` block of Pulumi.yaml, from the models.

python docs/reference.py            writes both
python docs/reference.py --check    exits 1 and names what is out of date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks beside the script only
    sys.path.insert(0, str(ROOT))

from components import maintenance_models, models, release_models, values  # noqa: E402

# What a person calls a type. A type that is not here, and not made of these, is an error: name it.
WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    SecretStr: "text, encrypted",
    values.Name: "name",
    values.ImageTag: "tag",
    values.ImageName: "image name without tag",
    values.ImageRef: "image reference such as caddy:2.11",
    values.HostName: "host name such as app.example.com or *.example.com",
    values.UrlPath: "URL path",
    values.EnvName: "variable name",
    values.EnvValue: "text",
    values.SecretValue: "text, encrypted",
    values.Port: "port (1–65535)",
    values.Seconds: "seconds",
    values.Bytes: "size such as 512m",
    values.Cores: "number",
    values.UserSpec: "user such as 1000 or 1000:1000",
    values.Capability: "capability such as NET_BIND_SERVICE",
    values.MountSource: "volume name or absolute path",
    values.MountTarget: "absolute path",
    values.IpAddress: "IP address",
    release_models.Repository: "address of a Git repository",
    release_models.Revision: "Git tag or commit",
    release_models.InnerPath: "path in the repository",
    maintenance_models.Page: "text",
    maintenance_models.Network: "address or network such as 10.0.0.0/8",
}

# What stands for the key in the path of a map's entries.
PLACEHOLDERS = {"slots": "<slot>", "services": "<name>"}

# The lines that people type; {key path: rest of the command}. A test gives each to the models.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "activeSlot": ("activeSlot blue",),
    "slots": ("--path slots.green.imageTag 1.5.0", "--path slots.green.revision 2"),
    "services": (
        "--path services.web.image registry.example.com/acme/web",
        "--path services.web.port 8080",
        "--path 'services.web.routes[0].host' app.example.com",
        "--path services.web.health.path /healthz",
        "--path services.web.env.LOG_LEVEL info",
        "--path services.web.resources.memory 512m",
        "--path services.web.resources.cpus 0.5",
        "--path services.web.activeSlot blue",
        "--path 'services.worker.command[0]' worker",
        "--path 'services.web.mounts[0].source' web-uploads",
        "--path 'services.web.mounts[0].target' /uploads",
        "--path services.web.build.repository https://git.example.com/acme/web.git",
        "--path services.web.build.commit v{tag}",
    ),
    "proxy": ("--path proxy.kind nginx", "--path proxy.httpPort 8080", "--path proxy.drain 30s"),
    "database": ("--path database.embedded true",),
    "toolbox": (),
    "analysis": ("--path analysis.bake 30s", "--path analysis.maxErrorRate 0.02", "--path analysis.synthetic.rate 20"),
    "rollout": ("--path 'rollout.steps[0]' 10", "--path 'rollout.steps[1]' 50", "--path 'rollout.steps[2]' 100"),
    "autoRollback": ("autoRollback false",),
    "gates": (
        "--path 'gates[0].name' smoke",
        "--path 'gates[0].service' web",
        "--path 'gates[0].command[0]' pytest",
        "--path 'gates[0].command[1]' tests/smoke",
        "--path 'gates[0].timeout' 2m",
    ),
    "maintenance": (
        "--path maintenance.enabled true",
        "--path maintenance.retryAfter 5m",
        "--path 'maintenance.allow[0]' 203.0.113.0/24",
    ),
}

INTRO = """\
# Configuration

<!-- Written by `python docs/reference.py` from components/models.py. Change that, and run it. -->

Every key of a stack, with its type, default and meaning. `pulumi config set` writes them to
`Pulumi.<stack>.yaml`, where they can be edited as well; `pulumi preview` checks all of them, and names
everything that is wrong at once. Unknown keys are errors. `Pulumi.staging.yaml` and
`Pulumi.production.yaml` are complete examples.

- **Seconds** are numbers (`30`, `0.5`) or texts with a unit (`500ms`, `30s`, `2m`, `1h`).
- **Sizes** are bytes, or texts with a unit (`64k`, `512m`, `2g`).
- **Tags and texts that look like numbers** stand in quotes in a file: `imageTag: "1.10"`. Without them
  YAML reads the number 1.1. `pulumi config set` puts the quotes there by itself.
- **Secrets** are set without their value on the command line, so that no shell keeps it; Pulumi asks:
  `pulumi config set --secret --path services.web.secretEnv.API_TOKEN`
- A key goes back to its default with `pulumi config rm --path KEY`.
"""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key: path such as `services.<name>.port`, type in words, default as a person writes it (None: required)."""

    path: str
    kind: str
    default: str | None
    description: str


def every_key() -> Iterator[Key]:
    """Every key of the configuration, at every level, in the order of the models."""
    yield from _keys(models.Settings, None, "")


def _keys(model: type[BaseModel], defaults: BaseModel | None, prefix: str) -> Iterator[Key]:
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        hint, path = hints[name], f"{prefix}{field.alias}"
        default = getattr(defaults, name) if defaults else field.default
        required = defaults is None and field.is_required()
        if not field.description:
            raise TypeError(f"{model.__name__}.{name} has no description")
        yield Key(
            path=path,
            kind=f"{words(hint)}{_limits(hint, field)}",
            default=None if required else written(hint, default),
            description=field.description,
        )
        inner = next(_models_in(hint), None)
        if inner is None:
            continue
        match get_origin(_plain(hint)):
            case None:
                yield from _keys(inner, default, f"{path}.")
            case origin if origin in (Union, UnionType):  # a map that may be left out
                yield from _keys(inner, None, f"{path}.")
            case origin if origin is dict:
                yield from _keys(inner, None, f"{path}.{PLACEHOLDERS[path]}.")
            case _:
                yield from _keys(inner, None, f"{path}[<n>].")


def words(hint: Any) -> str:
    """A type as a person says it.

    Raises:
        TypeError: for a type that has no words yet.
    """
    if hint in WORDS:
        return WORDS[hint]
    plain = _plain(hint)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return "map"
    given = get_args(plain)
    match get_origin(plain):
        case origin if origin is Literal:
            return f"one of {', '.join(given)}"
        case origin if origin in (Union, UnionType):
            return words(next(part for part in given if part is not NoneType))
        case origin if origin is tuple:
            return f"list of {_plural(words(given[0]))}"
        case origin if origin is dict:
            key, value = (words(part) for part in given)
            return f"map of {key.removeprefix('one of ').replace(', ', ' or ')} to {value}"
        case _ if plain is not hint:
            return words(plain)
    raise TypeError(f"{hint!r} has no words in docs/reference.py")


def _plural(noun: str) -> str:
    first, such, rest = noun.partition(" such as ")
    return f"{first[:-1]}ies{such}{rest}" if first.endswith("y") else f"{first}s{such}{rest}"


def written(hint: Any, value: Any) -> str:
    """A default as a person writes it; empty where the keys below or the description say it."""
    if value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if hint == values.Bytes:
        return next((f"{value >> bits}{unit}" for unit, bits in (("g", 30), ("m", 20)) if not value % (1 << bits)), "")
    if isinstance(value, tuple | dict):
        return "{}" if isinstance(value, dict) else f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _limits(hint: Any, field: FieldInfo) -> str:
    low: float | None = None
    high: float | None = None
    above = ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(ge=bound):
                low = bound  # type: ignore[assignment]
            case annotated_types.Gt(gt=bound):
                low, above = bound, "above "  # type: ignore[assignment]
            case annotated_types.Le(le=bound):
                high = bound  # type: ignore[assignment]
    if low is None:
        return ""
    if high is None:
        return f", at least {written(hint, low)}"
    between = f"{written(hint, low)}{' to ' if above else '–'}{written(hint, high)}"
    return f" ({above}{between})"


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _models_in(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for part in get_args(hint):
        yield from _models_in(part)


def sections() -> Iterator[tuple[Key, list[Key]]]:
    """Each top-level key with the keys below it."""
    found = list(every_key())
    for top in found:
        if not set(".[") & set(top.path):
            yield top, [key for key in found if key.path.startswith((f"{top.path}.", f"{top.path}["))]


def configuration_page() -> str:
    """docs/configuration.md."""
    parts = [INTRO]
    for top, below in sections():
        parts.append(f"\n## {top.path}\n\n{top.description} {_sentence(top)}\n")
        if below:
            rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
            rows += [f"| `{key.path}` | {key.kind} | {_cell(key)} | {key.description} |" for key in below]
            parts.append("\n" + "\n".join(rows) + "\n")
        if EXAMPLES[top.path]:
            lines = "\n".join(f"    pulumi config set {example}" for example in EXAMPLES[top.path])
            parts.append(f"\n{lines}\n")
    return "".join(parts)


def _cell(key: Key) -> str:
    return "**required**" if key.default is None else f"`{key.default}`" if key.default else "–"


def _sentence(key: Key) -> str:
    kind = key.kind[0].upper() + key.kind[1:]
    return f"{kind}; required." if key.default is None else f"{kind}."


def config_block() -> str:
    """The `config:` block of Pulumi.yaml.

    A key without `default:` is one that Pulumi insists on, so every optional object or list has an empty one. It
    stays empty, because Pulumi puts a stack's object in place of the default instead of merging the two.
    """
    lines = ["config:", "  # Written by `python docs/reference.py` from components/models.py. Change that, and run it."]
    for top, below in sections():
        kinds = {"one of": "string", "list ": "array", "true or": "boolean"}
        kind = next((kind for words, kind in kinds.items() if top.kind.startswith(words)), "object")
        lines += [f"  {top.path}:", f"    type: {kind}"]
        if kind == "array":
            lines += ["    items:", "      type: object"]
        if top.default is not None:
            lines.append(f"    default: {'{}' if kind == 'object' else top.default}")
        lines += ["    description: |", f"      {top.description} {_sentence(top)}"]
        for key in below:
            held = "required" if key.default is None else f"default {key.default}" if key.default else "optional"
            lines += [f"      - {key.path}: {key.kind}; {held}.", f"        {key.description}"]
    return "\n".join(lines) + "\n"


def with_config_block(project: str, block: str) -> str:
    """The text of Pulumi.yaml with its `config:` block replaced, or added at the end; the rest as it was."""
    lines = project.splitlines(keepends=True)
    start = next((at for at, line in enumerate(lines) if line.startswith("config:")), len(lines))
    end = next((at for at in range(start + 1, len(lines)) if lines[at][:1] not in (" ", "\n")), len(lines))
    return "".join([*lines[:start], block, *lines[end:]])


def pages(root: Path) -> dict[Path, str]:
    """What the generated files should hold."""
    project = root / "Pulumi.yaml"
    return {
        root / "docs" / "configuration.md": configuration_page(),
        project: with_config_block(project.read_text(encoding="utf-8"), config_block()),
    }


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Writes the files, or with `--check` compares them; 0 in order, 1 out of date, 2 wrong usage."""
    if arguments not in ([], ["--check"]):
        print("usage: python docs/reference.py [--check]", file=sys.stderr)
        return 2
    wanted = pages(root)
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if not arguments:
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path.relative_to(root)}")
        return 0
    for path in stale:
        print(f"{path.relative_to(root)} is out of date: run `python docs/reference.py`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

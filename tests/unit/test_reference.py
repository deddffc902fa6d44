"""The configuration reference and the example stacks: complete, up to date, and true."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.models import Settings
from components.settings import parse_settings
from docs import reference

ROOT = Path(__file__).resolve().parents[2]
TOP = [
    "activeSlot",
    "slots",
    "services",
    "proxy",
    "database",
    "toolbox",
    "analysis",
    "rollout",
    "autoRollback",
    "gates",
    "maintenance",
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The generated files alone, to spoil at will."""
    (tmp_path / "docs").mkdir()
    for name in ("Pulumi.yaml", "docs/configuration.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def project() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    return found


def test_the_reference_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["Pulumi.yaml", "docs/configuration.md"])
def test_check_names_what_is_out_of_date(name: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt = copy / name
    spoilt.write_text(spoilt.read_text().replace("takes the traffic", "has the traffic"))
    assert reference.main(["--check"], copy) == 1
    assert capsys.readouterr().err == f"{name} is out of date: run `python docs/reference.py`\n"
    assert reference.main([], copy) == 0
    assert capsys.readouterr().out == f"wrote {name}\n"
    assert reference.main(["--check"], copy) == 0
    assert spoilt.read_text() == (ROOT / name).read_text()


def test_a_missing_page_is_written(copy: Path) -> None:
    (copy / "docs/configuration.md").unlink()
    assert reference.main(["--check"], copy) == 1
    assert reference.main([], copy) == 0
    assert reference.main(["--check"], copy) == 0


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--chek"]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_the_rest_of_the_project_file_is_left_alone() -> None:
    before = "name: x\nconfig:\n  old:\n    type: string\n\n# a comment\nruntime: python\n"
    assert reference.with_config_block(before, "config:\n  new: {}\n") == (
        "name: x\nconfig:\n  new: {}\n# a comment\nruntime: python\n"
    )
    assert reference.with_config_block("name: x\n", "config: {}\n") == "name: x\nconfig: {}\n"


def test_every_key_has_its_line_in_the_page_and_in_the_project_file() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    found = list(reference.every_key())
    assert len(found) > 50
    for key in found:
        if "." in key.path:
            top = re.split(r"[.\[]", key.path)[0]
            assert f"\n| `{key.path}` | {key.kind} | " in page
            assert f"- {key.path}: {key.kind}; " in project()["config"][top]["description"]
        else:
            assert f"\n## {key.path}\n" in page


@pytest.mark.parametrize(
    ("path", "kind", "default"),
    [
        ("activeSlot", "one of blue, green", None),
        ("slots", "map of blue or green to map", None),
        ("slots.<slot>.imageTag", "tag", None),
        ("slots.<slot>.revision", "whole number, at least 1", "1"),
        ("services.<name>.port", "port (1–65535)", ""),
        ("services.<name>.routes", "list of maps", "[]"),
        ("services.<name>.routes[<n>].path", "URL path", "/"),
        ("services.<name>.health.passes", "whole number (1–100)", "3"),
        ("services.<name>.health.interval", "seconds (0.02–60)", "0.1"),
        ("services.<name>.resources.memory", "size such as 512m (16m–4096g)", "512m"),
        ("services.<name>.resources.cpus", "number (above 0 to 1024)", "1"),
        ("services.<name>.secretEnv", "map of variable name to text, encrypted", "{}"),
        ("services.<name>.capabilities", "list of capabilities such as NET_BIND_SERVICE", "[]"),
        ("proxy.resources.memory", "size such as 512m (16m–4096g)", "256m"),  # not that of other containers
        ("proxy.kind", "one of caddy, nginx, none", "caddy"),
        ("database.embedded", "true or false", "false"),
        ("services.<name>.build", "map", ""),
        ("services.<name>.build.repository", "address of a Git repository", None),
        ("gates", "list of maps", "[]"),
        ("gates[<n>].command", "list of texts", None),
    ],
)
def test_types_and_defaults_in_words(path: str, kind: str, default: str | None) -> None:
    [key] = [key for key in reference.every_key() if key.path == path]
    assert (key.kind, key.default) == (kind, default)


def test_a_type_without_words_is_an_error() -> None:
    with pytest.raises(TypeError, match="has no words"):
        reference.words(complex)


def test_the_project_file_declares_what_pulumi_can_check() -> None:
    declared = project()
    assert (declared["name"], declared["runtime"]) == ("switchback", {"name": "python"})
    assert list(declared["config"]) == TOP
    for name, key in declared["config"].items():
        assert key["type"] == {"activeSlot": "string", "gates": "array", "autoRollback": "boolean"}.get(name, "object")
        # Pulumi does not merge a default with what a stack sets, so no map's may say anything; and without
        # one it insists on the key.
        required = name in ("activeSlot", "slots", "services")
        empty: Any = {"array": [], "object": {}, "boolean": True}.get(key["type"])
        assert key.get("default", "none") == ("none" if required else empty)


# ---- the examples ----


def _as_config_set_writes(text: str) -> Any:
    """`pulumi config set --path` writes whole numbers and true/false as such, all else as text."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?(0|[1-9]\d*)", text) else text


def _set(holder: Any, parts: list[str], value: Any) -> None:
    part: Any = int(parts[0]) if parts[0].isdigit() else parts[0]
    if isinstance(holder, list) and part == len(holder):
        holder.append([] if len(parts) > 1 and parts[1].isdigit() else {})
    if len(parts) == 1:
        holder[part] = value
    else:
        if isinstance(holder, dict):
            holder.setdefault(part, [] if parts[1].isdigit() else {})
        _set(holder[part], parts[1:], value)


def test_the_examples_make_a_good_configuration() -> None:
    raw: dict[str, Any] = {"slots": {"blue": {"imageTag": 1}}, "services": {"worker": {"image": "acme/worker"}}}
    given = [example for examples in reference.EXAMPLES.values() for example in examples]
    page = (ROOT / "docs/configuration.md").read_text()
    for example in given:
        assert f"    pulumi config set {example}\n" in page
        words = shlex.split(example)
        nested = words[0] == "--path"
        path, value = words[nested:]
        assert nested == (path not in ("activeSlot", "autoRollback"))
        _set(raw, re.findall(r"[^.\[\]]+", path), _as_config_set_writes(value))
    assert list(reference.EXAMPLES) == TOP
    checked = parse_settings(raw, secret_keys=set(), environment="production")
    assert checked.slots["green"].image_tag == "1.5.0"
    assert checked.services["web"].resources.cpus == 0.5


def _stack(name: str) -> Settings:
    text = (ROOT / f"Pulumi.{name}.yaml").read_text()
    held = {key.removeprefix("switchback:"): value for key, value in yaml.safe_load(text)["config"].items()}
    return parse_settings(held, secret_keys=set(), environment=name)


@pytest.mark.parametrize(
    ("name", "kind", "address", "port"),
    [("staging", "nginx", "127.0.0.1", 8081), ("production", "caddy", "0.0.0.0", 8080)],
)
def test_E3_the_example_stacks_need_no_registry(name: str, kind: str, address: str, port: int) -> None:
    stack = _stack(name)
    assert (stack.proxy.kind, stack.proxy.address, stack.proxy.http_port) == (kind, address, port)
    assert stack.proxy.image == f"switchback/{kind}:local"
    assert (stack.database.embedded, stack.database.image) == (True, "switchback/postgres:local")
    assert stack.toolbox.image == "switchback/toolbox:local"
    assert {service.image for service in stack.services.values()} == {"switchback/demo"}
    assert {slot.image_tag for slot in stack.slots.values()} == {"1", "2"}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_G2_the_example_stacks_hold_no_secret_and_say_how_to_set_one(name: str) -> None:
    text = (ROOT / f"Pulumi.{name}.yaml").read_text()
    assert not any(service.secret_env for service in _stack(name).services.values())
    assert f"#   pulumi config set --stack {name} --secret --path services.web.secretEnv.SESSION_KEY\n" in text
    assert not re.search(r"^\s*(secure|encryptionsalt|secretEnv):", text, re.MULTILINE)

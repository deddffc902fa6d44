"""The resource plugins against the Python packages that talk to them: same names, same shapes.

A plugin built by `setup/toolchain.sh` serves properties under names that follow from rules; the pinned
Python package sends them under names that were generated elsewhere. A difference would surface as an
"unexpected property" in someone's deployment, or as a setting silently ignored.
"""

import collections.abc
import functools
import inspect
import json
import os
import shutil
import subprocess
import typing
from pathlib import Path
from typing import Any, TypeAlias

import pulumi_command as command
import pulumi_docker as docker
import pytest
from pulumi import _types as sdk

# A property's type: "string", ["string"] (list), {"*": "string"} (map), {"name": ..., "aliases": ...} (object).
Shape: TypeAlias = "str | list[Shape] | dict[str, Shape]"

SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}
PLUGINS = {"docker": "5.2.0", "command": "1.2.1"}


def of_type(annotation: Any) -> Shape:
    """The shape of a type as the Python package annotates it."""
    plain = sdk.unwrap_type(annotation)
    if plain in SCALARS:
        return SCALARS[plain]
    if isinstance(plain, type) and sdk.is_input_type(plain):
        return of_class(plain)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin in (list, collections.abc.Sequence):
        return [of_type(arguments[0])]
    if origin in (dict, collections.abc.Mapping):
        return {"*": of_type(arguments[1])}
    if isinstance(plain, type) and issubclass(plain, str):  # an enumeration
        return "string"
    return "any"


def of_class(args: type) -> dict[str, Shape]:
    """The shape of an arguments class, by the names that go over the wire."""
    return {name: of_type(annotation) for name, annotation in sdk.input_type_types(args).items()}


def of_schema(schema: dict[str, Any], spec: dict[str, Any]) -> Shape:
    """The shape of a type as the plugin's schema has it."""
    if "$ref" in spec:
        if not spec["$ref"].startswith("#/types/"):
            return "any"
        named = schema["types"][spec["$ref"].removeprefix("#/types/").replace("%2F", "/")]
        return of_schema(schema, named)
    if spec.get("type") == "array":
        return [of_schema(schema, spec["items"])]
    if "properties" in spec:
        return {name: of_schema(schema, each) for name, each in spec["properties"].items()}
    if spec.get("type") == "object":
        return {"*": of_schema(schema, spec["additionalProperties"])}
    return str(spec["type"])


def plugin_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME", "~/.pulumi")).expanduser()


@functools.cache
def schema(package: str) -> dict[str, Any]:
    """What the installed plugin says of itself. Skips the test where there is no toolchain."""
    plugin = plugin_home() / "plugins" / f"resource-{package}-v{PLUGINS[package]}"
    if not plugin.is_dir() or not shutil.which("pulumi"):
        pytest.skip(f"the {package} plugin is not installed (make setup)")
    binary = plugin / f"pulumi-resource-{package}"
    # Outside of a project, or the CLI looks for the package among the project's own.
    text = subprocess.run(
        ["pulumi", "package", "get-schema", str(binary)], check=True, capture_output=True, text=True, cwd="/"
    ).stdout
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def missing(wanted: Shape, served: Shape, path: str) -> list[str]:
    """Where `served` can't take what `wanted` sends. More than is wanted is fine."""
    if isinstance(wanted, dict) and isinstance(served, dict):
        return [
            line
            for name, shape in wanted.items()
            for line in (
                missing(shape, served[name], f"{path}.{name}") if name in served else [f"{path}.{name}: unknown"]
            )
        ]
    if isinstance(wanted, list) and isinstance(served, list):
        return missing(wanted[0], served[0], f"{path}[]")
    return [] if wanted == served else [f"{path}: {wanted} is sent, {served} is taken"]


RESOURCES = [
    ("docker:index/buildxBuilder:BuildxBuilder", docker.BuildxBuilderArgs),
    ("docker:index/container:Container", docker.ContainerArgs),
    ("docker:index/network:Network", docker.NetworkArgs),
    ("docker:index/plugin:Plugin", docker.PluginArgs),
    ("docker:index/registryImage:RegistryImage", docker.RegistryImageArgs),
    ("docker:index/remoteImage:RemoteImage", docker.RemoteImageArgs),
    ("docker:index/secret:Secret", docker.SecretArgs),
    ("docker:index/service:Service", docker.ServiceArgs),
    ("docker:index/serviceConfig:ServiceConfig", docker.ServiceConfigArgs),
    ("docker:index/tag:Tag", docker.TagArgs),
    ("docker:index/volume:Volume", docker.VolumeArgs),
    ("command:local:Command", command.local.CommandArgs),
]


@pytest.mark.parametrize(("token", "args"), RESOURCES)
def test_plugin_takes_every_input_of_the_package(token: str, args: type) -> None:
    package = schema(token.partition(":")[0])
    served = of_schema(package, {"properties": package["resources"][token]["inputProperties"]})
    assert missing(of_class(args), served, token) == []


@pytest.mark.parametrize(("token", "args"), RESOURCES)
def test_plugin_insists_on_no_more_than_the_package(token: str, args: type) -> None:
    names = sdk.input_type_py_to_pulumi_names(args)
    parameters = inspect.signature(args).parameters.values()
    insisted = {names[each.name] for each in parameters if each.default is inspect.Parameter.empty}
    assert set(schema(token.partition(":")[0])["resources"][token].get("requiredInputs", [])) == insisted


@pytest.mark.parametrize(
    ("token", "resource"),
    [
        ("docker:index/container:Container", docker.Container),
        ("docker:index/network:Network", docker.Network),
        ("docker:index/remoteImage:RemoteImage", docker.RemoteImage),
        ("docker:index/volume:Volume", docker.Volume),
        ("command:local:Command", command.local.Command),
    ],
)
def test_plugin_returns_every_output_of_the_package(token: str, resource: type) -> None:
    returned = set(schema(token.partition(":")[0])["resources"][token]["properties"])
    assert set(sdk.resource_types(resource)) - returned == set()


def test_keys_for_a_remote_engine_are_secrets() -> None:
    inputs = schema("docker")["provider"]["inputProperties"]
    assert missing(of_class(docker.ProviderArgs), of_schema(schema("docker"), {"properties": inputs}), "") == []
    if (plugin_home() / ".built-here").exists():
        assert inputs["keyMaterial"].get("secret")


@pytest.mark.skipif(
    not (plugin_home() / ".built-here").exists() or not shutil.which("go"), reason="nothing was built here"
)
def test_the_stand_in_passes_its_own_tests() -> None:
    run = subprocess.run(
        ["go", "test", "-trimpath", "./..."],
        cwd=Path(__file__).parents[2] / "toolchain" / "command",
        env=os.environ | {"GOFLAGS": "-buildvcs=false", "GOWORK": "off"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr

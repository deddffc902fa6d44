"""The part of the security list that the source itself shows: no shell, no SQL put together from texts."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.agenda import agenda
from components.settings import parse_settings
from components.targets import declared
from switchback.observation import Links, Observation
from switchback.specs import Gate, Place, encode

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for part in ("__main__.py", "components", "switchback", "demo", "bench", "docs", "setup", "tests")
    for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))
)

# What hands a text to a shell, or runs it as a program, whatever its arguments.
SHELLS = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"),
    *("asyncio.create_subprocess_shell", "eval", "exec", "compile"),
}
QUERIES = {"execute", "executemany", "copy", "stream"}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def shells(source: str) -> list[int]:
    """The lines that give a text to a shell, or run it."""
    found = []
    for call in calls(ast.parse(source)):
        shell = [word for word in call.keywords if word.arg == "shell"]
        harmless = all(isinstance(word.value, ast.Constant) and word.value.value is False for word in shell)
        if ast.unparse(call.func) in SHELLS or not harmless:
            found.append(call.lineno)
    return found


def built_queries(source: str) -> list[int]:
    """The lines that give a database a text that is neither constant nor composed by `psycopg.sql`."""
    tree = ast.parse(source)
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def safe(query: ast.expr) -> bool:
        match query:
            case ast.Constant(value=str()):
                return True
            case ast.Name(id=name):
                return name in constants
            case ast.Call(func=ast.Attribute(value=composed, attr="format")):
                return safe_sql(composed)
        return safe_sql(query)

    def safe_sql(query: ast.expr) -> bool:
        match query:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="sql"), attr="SQL"), args=[ast.Constant()]):
                return True
        return False

    asked = (call for call in calls(tree) if isinstance(call.func, ast.Attribute) and call.func.attr in QUERIES)
    return [call.lineno for call in asked if call.args and not safe(call.args[0])]


def uses_database(source: str) -> bool:
    return "psycopg" in source


def test_G2_security_02_nothing_is_given_to_a_shell() -> None:
    assert len(SOURCES) > 60
    found = {str(path.relative_to(ROOT)): lines for path in SOURCES if (lines := shells(path.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    ["subprocess.run(x, shell=True)", "Popen(x, shell=how)", "os.system('true')", "eval(x)", "import os; os.popen(x)"],
)
def test_G2_security_02_the_check_finds_a_shell(source: str) -> None:
    assert shells(source) == [1]


def test_G2_security_05_no_query_is_put_together_from_texts() -> None:
    asking = [path for path in SOURCES if uses_database(path.read_text())]
    assert {path.name for path in asking} >= {"notes.py", "provision.py", "health.py"}
    found = {str(path.relative_to(ROOT)): lines for path in asking if (lines := built_queries(path.read_text()))}
    # The one that is the user's own, from the configuration, is run where nothing can be written.
    [(where, [line])] = found.items()
    assert where == "switchback/inside/schema.py"
    source = (ROOT / where).read_text()
    assert "asked.query.encode()" in source.splitlines()[line - 1]
    assert source.index("SET default_transaction_read_only = on") < source.index("asked.query.encode()")


@pytest.mark.parametrize(
    "query",
    [
        "f'SELECT {x}'",
        "'SELECT ' + x",
        "'SELECT %s' % x",
        "'SELECT {}'.format(x)",
        "x",
        "sql.SQL(x)",
        "sql.SQL(f'{x}').format(y)",
        "sql.SQL('a' + x)",
    ],
)
def test_G2_security_05_the_check_finds_a_query_of_texts(query: str) -> None:
    assert built_queries(f"connection.execute({query})") == [1]


@pytest.mark.parametrize("query", ["'SELECT 1'", "sql.SQL('ALTER ROLE {}').format(x)", "sql.SQL('SELECT 1')"])
def test_G2_security_05_the_check_leaves_composed_queries_alone(query: str) -> None:
    assert built_queries(f"connection.execute({query}, [x])") == []


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_G2_security_03_a_text_that_is_kept_gets_into_no_configuration_and_no_procedure(kind: str) -> None:
    evil = "x;$(touch /tmp/pwn)`touch /tmp/pwn`\n\"' {file./etc/passwd} %s"
    service = {
        "image": "acme/web",
        "port": 8080,
        "routes": [{"host": "app.example.com", "path": "/"}],
        "env": {"A": evil},
        "secretEnv": {"B": evil},
        "command": ["run", evil],
        "mounts": [{"source": f"/{evil.replace(':', '')}", "target": f"/{evil.replace(':', '')}"}],
    }
    raw = {
        "activeSlot": "blue",
        "slots": {"blue": {"imageTag": "1", "env": {"C": evil}}, "green": {"imageTag": "2", "env": {"C": evil}}},
        "services": {"web": service},
        "proxy": {"kind": kind},
    }
    settings = parse_settings(raw, secret_keys={"services"}, environment="test")
    releases = declared(settings, "test")
    todo = agenda(settings, releases, Observation(containers={}, links=Links(), foreign_ports={}))
    place = Place(environment="test", toolbox="t", proxy="p", proxy_kind=kind)
    gate = encode(Gate(place=place, targets=(*releases.desired, *releases.standby), way_back=todo.way_back))
    for text in (*todo.config, *todo.bridge, json.dumps(todo.pointer), *todo.way_back, gate):
        assert "touch" not in text
        assert "passwd" not in text

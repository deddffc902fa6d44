"""What this project relies on in Pulumi's command plugin, whichever is installed: the published one or ours.

Each test runs real updates through the engine. The program declares one `local.Command` called `gate`; its
commands leave traces in a file, so that what ran, and in which order, is seen from outside.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from pulumi import automation as auto

pytestmark = pytest.mark.integration

URN = "urn:pulumi:test::contract::command:local:Command::gate"

# The program of every test. It is run by the language host, not inside the test's process, where a failed
# update would leave half of Pulumi's runtime behind.
PROGRAM = """\
import json
from pathlib import Path

import pulumi
from pulumi_command import local

spec = json.loads(Path("spec.json").read_text())
if "gate" in spec:
    options = spec["options"]
    if "custom_timeouts" in options:
        options["custom_timeouts"] = pulumi.CustomTimeouts(**options["custom_timeouts"])
    secrets = {name: pulumi.Output.secret(value) for name, value in spec["secrets"].items()}
    gate = local.Command("gate", **spec["gate"], **secrets, opts=pulumi.ResourceOptions(**options))
    gate.stdout.apply(Path("known").write_text)  # runs only where the output is known
elif "run" in spec:
    gate = local.run(**spec["run"])
else:
    raise SystemExit
pulumi.export("stdout", gate.stdout)
pulumi.export("stderr", gate.stderr)
"""


class Gate:
    """A stack with one command in it, on a backend of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[str] = []  # what the command was heard saying, live
        self.backend = directory / "backend"
        self.backend.mkdir()
        self.environment = {
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "TRACE": str(directory / "trace"),
        }
        (directory / "Pulumi.yaml").write_text("name: contract\nruntime: python\n")
        (directory / "__main__.py").write_text(PROGRAM)
        self.stack = auto.create_stack(
            "test", work_dir=str(directory), opts=auto.LocalWorkspaceOptions(env_vars=self.environment)
        )

    def specify(self, **spec: Any) -> None:
        """Sets what the program declares."""
        (self.directory / "spec.json").write_text(json.dumps(spec))

    def declare(
        self,
        *,
        secrets: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> None:
        """Makes the program declare the gate with these inputs; those under `secrets` as secrets."""
        self.specify(gate=inputs, secrets=dict(secrets or {}), options=dict(options or {}))

    def up(self, heard: Callable[[str], object] = str, **declaration: Any) -> tuple[str, str]:
        """Updates the stack and returns what the command printed: stdout, stderr."""
        self.declare(**declaration)
        self.lines.clear()

        def on_event(event: auto.EngineEvent) -> None:
            said = event.diagnostic_event
            if said and said.urn == URN and said.severity == "info":
                self.lines.append(said.message.rstrip("\n"))
                heard(self.lines[-1])

        outputs = self.stack.up(on_event=on_event).outputs
        return outputs["stdout"].value, outputs["stderr"].value

    def preview(self, **declaration: Any) -> Mapping[str, int]:
        """Previews the program and returns how many steps of which kind it would take."""
        self.declare(**declaration)
        return {str(kind): count for kind, count in self.stack.preview().change_summary.items()}

    def known(self) -> str | None:
        """What the last run of the program got to know of stdout; None if that was unknown to it."""
        file = self.directory / "known"
        text = file.read_text() if file.exists() else None
        file.unlink(missing_ok=True)
        return text

    def traced(self) -> Sequence[str]:
        """The lines that commands left in the trace since it was last asked."""
        file = self.directory / "trace"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def deployment(self) -> Mapping[str, Any]:
        """The whole stack, secrets in plain."""
        return self.stack.export_stack().deployment or {}

    def state(self) -> dict[str, Any] | None:
        """The gate as the stack keeps it, secrets in plain; None if it is not there."""
        return next((each for each in self.deployment().get("resources", []) if each["urn"] == URN), None)

    def stored(self) -> str:
        """All that the backend holds, as it is held: the stack, its history, the copies of both."""
        return "".join(file.read_text() for file in self.backend.rglob("*") if file.is_file())


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def trace(text: str) -> str:
    """A command that leaves a line in the trace."""
    return f'echo "{text}" >>"$TRACE"'


# ---- when which command runs ----


def test_contract_create_runs_once_and_its_output_is_kept(gate: Gate) -> None:
    create = f"{trace('create')}; printf ' out\\n\\n'; echo err >&2"
    assert gate.up(create=create) == (" out\n", "err")
    assert gate.up(create=create) == (" out\n", "err")
    assert gate.traced() == ["create"]


def test_contract_changed_inputs_run_update(gate: Gate) -> None:
    gate.up(create=trace("create"), update=trace("update $N"), environment={"N": "1"})
    update = f"{trace('update $N')}; echo new"
    assert gate.up(create=trace("create"), update=update, environment={"N": "2"}) == ("new", "")
    assert gate.traced() == ["create", "update 2"]


def test_contract_without_update_changed_inputs_run_create(gate: Gate) -> None:
    for number in "12":
        gate.up(create=trace("create $N"), delete=trace("delete $N"), environment={"N": number})
    assert gate.traced() == ["create 1", "create 2"]


def test_contract_delete_runs_with_the_inputs_of_its_time(gate: Gate) -> None:
    gate.up(create="true", delete=trace("delete $N $(cat)"), environment={"N": "1"}, stdin="in")
    gate.specify()
    gate.stack.up()
    assert gate.traced() == ["delete 1 in"]
    assert gate.state() is None


def test_contract_destroy_runs_delete(gate: Gate) -> None:
    gate.up(create="true", delete=trace("delete"))
    gate.stack.destroy()
    assert gate.traced() == ["delete"]


def replace(gate: Gate, trigger: str, **options: Any) -> None:
    gate.up(
        create=trace("create $N"),
        update=trace("update $N"),
        delete=trace("delete $N"),
        environment={"N": trigger},
        triggers=["constant", {"nested": [trigger]}],
        options=options,
    )


def test_contract_changed_trigger_creates_anew_then_deletes(gate: Gate) -> None:
    replace(gate, "1")
    replace(gate, "2")
    assert gate.traced() == ["create 1", "create 2", "delete 1"]


def test_contract_order_of_replacement_can_be_reversed(gate: Gate) -> None:
    replace(gate, "1", delete_before_replace=True)
    replace(gate, "2", delete_before_replace=True)
    assert gate.traced() == ["create 1", "delete 1", "create 2"]


def test_contract_ignored_trigger_runs_nothing(gate: Gate) -> None:
    gate.up(create=trace("create"), triggers=["1"])
    gate.up(create=trace("create"), triggers=["2"], options={"ignore_changes": ["triggers"]})
    # What counts once it is no longer ignored is the difference to the value that was kept.
    gate.up(create=trace("create"), triggers=["1"])
    assert gate.traced() == ["create"]
    gate.up(create=trace("create"), triggers=["2"])
    assert gate.traced() == ["create"]


def test_contract_preview_runs_nothing_and_knows_no_output(gate: Gate) -> None:
    assert gate.preview(create=trace("create")) == {"create": 2}  # one of the two is the stack itself
    assert gate.known() is None
    gate.up(create=f"{trace('create')}; echo 1")
    assert gate.known() == "1"
    assert gate.preview(create=f"{trace('create')}; echo 2") == {"same": 1, "update": 1}
    assert gate.known() is None
    assert gate.preview(create=f"{trace('create')}; echo 1") == {"same": 2}
    assert gate.known() == "1"
    assert gate.traced() == ["create"]


# ---- what the process gets ----


def test_contract_stdin_arrives_byte_for_byte(gate: Gate) -> None:
    text = json.dumps({"a": "$HOME `id` 'ü' \"\\"}, ensure_ascii=False) + "\n"
    assert gate.up(create="cat; echo .", stdin=text)[0] == text + "."
    assert gate.up(create="cat; echo .")[0] == "."


def test_contract_environment_is_added_to_that_of_pulumi(gate: Gate) -> None:
    value = "two words\n'$TRACE'"
    stdout, _ = gate.up(create='echo "$TRACE-$A"', environment={"A": value})
    assert stdout == f"{gate.environment['TRACE']}-{value}"


def test_contract_interpreter_gets_the_command_as_last_argument(gate: Gate) -> None:
    program = "import sys; print(sys.argv[1:])"
    stdout, _ = gate.up(create="a 'b", interpreter=["python3", "-c", program, "first"])
    assert stdout == str(["first", "a 'b"])


def test_contract_dir_is_the_working_directory(gate: Gate, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert gate.up(create="pwd", dir=str(elsewhere))[0] == str(elsewhere)
    assert gate.up(create="pwd")[0] == str(tmp_path)


def test_contract_missing_dir_fails(gate: Gate, tmp_path: Path) -> None:
    with pytest.raises(auto.CommandError, match="no such file or directory"):
        gate.up(create="pwd", dir=str(tmp_path / "nowhere"))


PREVIOUS = 'echo "${PULUMI_COMMAND_STDOUT-none}/${PULUMI_COMMAND_STDERR-none}"'


def test_contract_previous_output_is_in_the_environment(gate: Gate) -> None:
    delete = f'{PREVIOUS} >>"$TRACE"'
    update = f"{PREVIOUS}; echo err >&2"
    assert gate.up(create=PREVIOUS, update=update, delete=delete)[0] == "none/none"
    assert gate.up(create="changed", update=update, delete=delete) == ("none/none/none", "err")
    gate.stack.destroy()
    assert gate.traced() == ["none/none/none/err"]


def test_contract_previous_output_can_be_kept_out_of_the_environment(gate: Gate) -> None:
    delete = f'{PREVIOUS} >>"$TRACE"'
    gate.up(create="echo 1", delete=delete, add_previous_output_in_env=False)
    assert gate.up(create=PREVIOUS, delete=delete, add_previous_output_in_env=False)[0] == "none/none"
    gate.stack.destroy()
    assert gate.traced() == ["none/none"]


# ---- what is shown ----


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        ({}, ["out", "err"]),
        ({"logging": "stdoutAndStderr"}, ["out", "err"]),
        ({"logging": "stdout"}, ["out"]),
        ({"logging": "stderr"}, ["err"]),
        ({"logging": "none"}, []),
    ],
    ids=["default", "both", "stdout", "stderr", "none"],
)
def test_contract_logging_chooses_what_is_shown_not_what_is_kept(
    gate: Gate, inputs: Mapping[str, Any], shown: list[str]
) -> None:
    assert gate.up(create="echo out; sleep 0.2; echo err >&2", **inputs) == ("out", "err")
    assert gate.lines == shown


def test_contract_lines_are_shown_as_they_come(gate: Gate, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    # The command succeeds only if its first line is seen while it still waits.
    wait = f'for i in $(seq 200); do [ -e "{seen}" ] && exit 0; sleep 0.05; done; exit 1'
    gate.up(create=f"echo first; {wait}", heard=lambda _: seen.touch())
    assert gate.lines == ["first"]


# ---- failures ----


def test_contract_failed_create_tells_why_and_is_tried_again(gate: Gate) -> None:
    create = f"{trace('create')}; echo to stdout; echo to stderr >&2; exit $CODE"
    with pytest.raises(auto.CommandError) as failure:
        gate.up(create=create, environment={"CODE": "3"}, logging="none")
    for words in ("exit status 3", "to stdout", "to stderr"):
        assert words in str(failure.value)
    assert gate.state() is None
    gate.up(create=create, environment={"CODE": "0"})
    assert gate.traced() == ["create", "create"]


def test_contract_failed_update_keeps_the_old_state_and_is_tried_again(gate: Gate) -> None:
    gate.up(create="echo 1")
    for _ in range(2):
        with pytest.raises(auto.CommandError, match="exit status 1"):
            gate.up(create=f"{trace('fails')}; exit 1")
    state = gate.state()
    assert state
    assert (state["inputs"]["create"], state["outputs"]["stdout"]) == ("echo 1", "1")
    assert gate.traced() == ["fails", "fails"]


def test_contract_failed_delete_keeps_the_resource(gate: Gate, tmp_path: Path) -> None:
    gate.up(create="true", delete=f'{trace("delete")}; [ -e "{tmp_path}/allowed" ]')
    with pytest.raises(auto.CommandError, match="exit status 1"):
        gate.stack.destroy()
    assert gate.state()
    (tmp_path / "allowed").touch()
    gate.stack.destroy()
    assert gate.traced() == ["delete", "delete"]


def test_contract_custom_timeout_ends_the_command(gate: Gate) -> None:
    with pytest.raises(auto.CommandError):
        gate.up(create="sleep 60", options={"custom_timeouts": {"create": "1s"}})
    assert gate.state() is None


# ---- secrets ----

SECRET = "correct-horse-battery"


def test_contract_secret_inputs_are_never_stored_in_plain(gate: Gate) -> None:
    places = ("stdin", "environment", "triggers", "update", "delete")
    secrets = {
        "stdin": f"{SECRET}-stdin",
        "environment": {"KEY": f"{SECRET}-environment"},
        "triggers": [f"{SECRET}-triggers"],
        "update": f": {SECRET}-update",
        "delete": f": {SECRET}-delete",
    }
    gate.up(create="cat >/dev/null", secrets=secrets)
    gate.up(create="cat >/dev/null; true", secrets=secrets)
    assert SECRET not in gate.stored()
    state = str(gate.state())
    assert [place for place in places if f"{SECRET}-{place}" not in state] == []  # they are there, encrypted


def test_contract_secret_input_reaches_the_process(gate: Gate) -> None:
    gate.up(create=f'{trace("$KEY")}; cat >>"$TRACE"', secrets={"environment": {"KEY": "k"}, "stdin": SECRET})
    assert gate.traced() == ["k", SECRET]


def test_contract_output_is_no_secret_because_an_input_is(gate: Gate) -> None:
    # Why the commands of this project never print a secret.
    gate.up(create="cat", secrets={"stdin": SECRET})
    assert SECRET in gate.stored()


def test_contract_output_is_secret_where_the_program_says_so(gate: Gate) -> None:
    gate.up(create="cat", secrets={"stdin": SECRET}, options={"additional_secret_outputs": ["stdout"]})
    assert SECRET not in gate.stored()


# ---- files ----


def test_contract_files_become_assets_and_an_archive(gate: Gate, tmp_path: Path) -> None:
    gate.up(
        create="mkdir -p out/deep; echo 1 >out/a.txt; echo 2 >out/deep/b.txt; echo 3 >out/secret.txt",
        dir=str(tmp_path),
        asset_paths=["out/*.txt", "!**secret*"],
        archive_paths=["out/**"],
    )
    state = gate.state()
    assert state
    assets = {name: asset["path"] for name, asset in state["outputs"]["assets"].items()}
    assert assets == {"out/a.txt": str(tmp_path / "out/a.txt")}
    assert sorted(state["outputs"]["archive"]["assets"]) == ["out/a.txt", "out/deep/b.txt", "out/secret.txt"]


# ---- the function ----


def test_contract_run_function_runs_in_previews_too(gate: Gate) -> None:
    gate.specify(run={"command": f"{trace('run $A')}; cat", "stdin": "in", "environment": {"A": "1"}})
    gate.stack.preview()
    assert gate.stack.up().outputs["stdout"].value == "in"
    assert gate.traced() == ["run 1", "run 1"]


# ---- cancellation ----

# The published plugin promises less: it ends the command, not what the command started.
built_here = pytest.mark.skipif(
    not (Path(os.environ.get("PULUMI_HOME", "~/.pulumi")).expanduser() / ".built-here").exists(),
    reason="the stand-in's own promise",
)

# A command with a child and a grandchild; no output leads to the latter.
FAMILY = """\
echo $$ >>pids
sh -c 'sleep 600 >/dev/null 2>&1 & echo $! >>pids; echo $$ >>pids; touch ready; wait' &
wait
"""


def interrupt(gate: Gate, create: str, times: int = 1) -> int:
    """Runs `pulumi up` as in a terminal, presses Ctrl-C once the command is ready, and returns the exit code."""
    gate.declare(create=create)
    up = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
        cwd=gate.directory,
        env=os.environ | gate.environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # a group of its own, all of which gets the signal, as a terminal has it
    )
    wait_until((gate.directory / "ready").exists, 60)
    for _ in range(times):
        os.killpg(up.pid, signal.SIGINT)
        time.sleep(1)
    return up.wait(60)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def alive(gate: Gate) -> list[int]:
    """Those of the processes the command has noted that still run."""

    def runs(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [pid for pid in map(int, (gate.directory / "pids").read_text().split()) if runs(pid)]


@built_here
def test_contract_ctrl_c_ends_the_command_and_its_children(gate: Gate) -> None:
    assert interrupt(gate, FAMILY) != 0
    assert alive(gate) == []
    # Nothing is left behind: not the resource, not an operation said to be pending, not a lock.
    assert gate.state() is None
    assert not gate.deployment().get("pending_operations")
    gate.up(create="true")


@built_here
def test_contract_cancelled_command_may_tidy_up(gate: Gate) -> None:
    interrupt(gate, "trap 'sleep 1; echo tidied >tidy; exit 1' TERM\n" + FAMILY)
    assert (gate.directory / "tidy").read_text() == "tidied\n"
    assert alive(gate) == []


@built_here
def test_contract_second_ctrl_c_leaves_no_process_behind(gate: Gate) -> None:
    interrupt(gate, "trap '' TERM INT\n" + FAMILY.replace("wait", "sleep 600"), times=2)
    wait_until(lambda: alive(gate) == [], 10)

"""`setup/toolchain.sh` on machines that have, or can reach, this or that. Pulumi, Go and curl are stand-ins."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).parents[2] / "setup" / "toolchain.sh"

# What the script may use besides; anything else it took from the machine would be missing somewhere.
TOOLS = (
    *("bash", "cat", "chmod", "cp", "cut", "dirname", "find", "flock", "install", "mkdir", "mktemp", "mv"),
    *("rm", "sed", "sh", "sha256sum", "shasum", "sleep", "sort", "tail", "touch", "uname"),
)

# Answers `version`; "installs" plugins unless downloads are forbidden to it.
PULUMI = """#!/bin/sh
case "$1 $2" in
version*) echo {version} ;;
"plugin install")
    echo "$*" >>"$CALLS"
    case "$*" in *--file*) ;; *) [ -z "$NO_DOWNLOADS" ] || {{ echo no route to host >&2; exit 1; }} ;; esac
    plugin="$PULUMI_HOME/plugins/resource-$4-v$5"
    mkdir -p "$plugin" && touch "$plugin/pulumi-resource-$4" && chmod +x "$plugin/pulumi-resource-$4" ;;
esac
"""

# Builds by copying the Pulumi above; knows where the SDK's sources are.
GO = """#!/bin/bash
case "$1" in
list) exit 0 ;;
mod) mkdir -p "$SDK/python/cmd" && touch "$SDK/python/cmd/pulumi-language-python-exec"
    printf '{\\n\\t"Dir": "%s"\\n}\\n' "$SDK" ;;
build)
    module=${PWD##*/}
    echo "build $module" >>"$CALLS"
    if [ "$module" = "$BROKEN" ]; then echo "syntax error in $module" >&2; exit 1; fi
    if [ "$module" = "$SLOW" ]; then echo $$ >"$CALLS.compiler"; sleep 600; fi
    while [ "$1" != -o ]; do shift; done
    case "$2" in */) cp "$FAKE_PULUMI" "$2/pulumi-language-python" ;; *) cp "$FAKE_PULUMI" "$2" ;; esac ;;
esac
"""

# Downloads an installer that lays out what the official one does.
CURL = """#!/bin/sh
echo curl >>"$CALLS"
while [ "$1" != -o ]; do shift; done
cat >"$2" <<'END'
while [ "$1" != --install-root ]; do shift; done
mkdir -p "$2/bin" && cp "$FAKE_PULUMI" "$2/bin/pulumi" && cp "$FAKE_PULUMI" "$2/bin/pulumi-language-python"
END
"""

NO_CURL = "#!/bin/sh\nexit 7\n"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Machine:
    """A home, a cache, and a PATH with nothing on it that a test did not put there."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.home, self.cache = root, root / "bin", root / "home", root / "cache"
        self.calls = root / "calls"
        self.env_file = root / "toolchain.env"
        self.bin.mkdir()
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        program(self.bin / "curl", NO_CURL)
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "SWITCHBACK_CACHE": str(self.cache),
            "CALLS": str(self.calls),
            "SDK": str(root / "sdk"),
            "FAKE_PULUMI": str(program(root / "fake" / "pulumi", PULUMI.format(version="v3.250.0"))),
        }

    def has_go(self) -> None:
        program(self.bin / "go", GO)

    def has_pulumi(self, directory: Path, version: str = "v3.250.0") -> None:
        for name in ("pulumi", "pulumi-language-python"):
            program(directory / name, PULUMI.format(version=version))

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [shutil.which("bash") or "bash", str(SCRIPT), str(self.env_file)],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, fails: bool = False, **environment: str) -> str:
        """Runs the script and returns what it printed, on either stream."""
        with self.start(**environment) as process:
            output, _ = process.communicate(timeout=60)
        assert (process.returncode != 0) == fails, output
        return output

    def result(self) -> dict[str, str]:
        """The variables it wrote, as a shell reads them."""
        shell = subprocess.run(
            ["bash", "-c", f'set -a; . "{self.env_file}"; env'],
            env={"PATH": os.environ["PATH"]},
            check=True,
            capture_output=True,
            text=True,
        )
        lines = (line.partition("=") for line in shell.stdout.splitlines())
        return {name.removeprefix("SWITCHBACK_"): value for name, _, value in lines if name.startswith("SWITCHBACK_")}

    def called(self) -> list[str]:
        """What was called since the last question."""
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return calls


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_official_pulumi_on_path_is_taken_with_its_own_home(machine: Machine) -> None:
    machine.has_pulumi(machine.bin)
    machine.run()
    assert machine.result() == {
        "TOOLCHAIN_KIND": "official",
        "TOOLCHAIN_BIN": str(machine.bin),
        "PULUMI_HOME": str(machine.home / ".pulumi"),
        "PLUGINS_KIND": "official",
    }
    assert machine.called() == [
        "plugin install resource docker 5.2.0",
        "plugin install resource command 1.2.1",
    ]
    machine.run()
    assert machine.called() == []


def test_an_official_pulumi_in_the_usual_place_is_taken(machine: Machine) -> None:
    machine.has_pulumi(machine.home / ".pulumi" / "bin")
    machine.run()
    assert machine.result()["TOOLCHAIN_BIN"] == str(machine.home / ".pulumi" / "bin")


def test_the_installer_is_tried_next_and_only_once(machine: Machine) -> None:
    program(machine.bin / "curl", CURL)
    machine.run()
    result = machine.result()
    assert result["TOOLCHAIN_KIND"] == "official"
    assert result["TOOLCHAIN_BIN"].startswith(str(machine.cache))
    machine.run()
    assert machine.called().count("curl") == 1


def test_otherwise_everything_is_built_once(machine: Machine) -> None:
    machine.has_go()
    output = machine.run()
    result = machine.result()
    assert (result["TOOLCHAIN_KIND"], result["PLUGINS_KIND"]) == ("built", "built")
    assert [call for call in machine.called() if call.startswith("build")] == [
        "build language",
        "build command",
        "build docker",
        "build cli",
    ]
    assert [part for part in ("language", "command", "docker", "cli") if f"✓ {part}, " not in output] == []
    bin_, home = Path(result["TOOLCHAIN_BIN"]), Path(result["PULUMI_HOME"])
    assert bin_.parent == home.parent
    assert {file.name for file in bin_.iterdir()} >= {
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    }
    assert (home / "plugins" / "resource-docker-v5.2.0" / "pulumi-resource-docker").exists()

    # Not again; also not when what was built is first on PATH by now.
    machine.run(PATH=f"{bin_}:{machine.bin}")
    assert machine.called() == []
    assert machine.result() == result


def test_a_failed_build_shows_its_last_words_and_leaves_nothing_to_be_used(machine: Machine) -> None:
    machine.has_go()
    output = machine.run(fails=True, BROKEN="docker")
    assert "✗ docker failed" in output
    assert "syntax error in docker" in output
    assert str(machine.cache / "toolchain" / "logs" / "docker.log") in output
    assert not machine.env_file.exists()
    assert sorted(entry.name for entry in (machine.cache / "toolchain").iterdir()) == [".lock", "logs"]
    machine.run()
    assert machine.result()["TOOLCHAIN_KIND"] == "built"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_takes_its_compiler_along(machine: Machine, sent: signal.Signals) -> None:
    machine.has_go()
    compiler = machine.root / "calls.compiler"
    with machine.start(SLOW="docker") as process:
        while not compiler.exists() or not compiler.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(sent)
        process.communicate(timeout=10)
    assert process.returncode == 128 + sent
    assert not runs(int(compiler.read_text()))
    assert sorted(entry.name for entry in (machine.cache / "toolchain").iterdir()) == [".lock", "logs"]


def runs(pid: int) -> bool:
    """Whether a process is there, within a moment in which it may still be going."""
    for _ in range(40):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(not shutil.which("flock"), reason="without flock both build, and the later one counts")
def test_two_runs_at_once_build_once(machine: Machine) -> None:
    machine.has_go()
    with machine.start() as first, machine.start() as second:
        outputs = [run.communicate(timeout=60)[0] for run in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert machine.called().count("build cli") == 1


def test_plugins_that_cannot_be_downloaded_are_built_beside_an_official_pulumi(machine: Machine) -> None:
    machine.has_pulumi(machine.bin)
    machine.has_go()
    machine.run(NO_DOWNLOADS="1")
    result = machine.result()
    assert (result["TOOLCHAIN_KIND"], result["PLUGINS_KIND"]) == ("official", "built")
    assert result["PULUMI_HOME"].startswith(str(machine.cache))
    assert not (machine.home / ".pulumi" / "plugins").exists()  # no stand-in under an official name there
    assert [call for call in machine.called() if call.startswith("build")] == ["build command", "build docker"]
    machine.run(NO_DOWNLOADS="1")
    assert machine.called() == []


def test_a_kind_can_be_asked_for(machine: Machine) -> None:
    machine.has_pulumi(machine.bin)
    machine.has_go()
    machine.run(SWITCHBACK_TOOLCHAIN="built")
    assert machine.result()["TOOLCHAIN_KIND"] == "built"
    (machine.bin / "pulumi").unlink()
    assert "is not here and can't be downloaded" in machine.run(fails=True, SWITCHBACK_TOOLCHAIN="official")


def test_without_pulumi_and_go_the_error_says_what_to_type(machine: Machine) -> None:
    machine.has_pulumi(machine.bin, version="v3.100.0")
    output = machine.run(fails=True)
    assert f"only {machine.bin}/pulumi, version v3.100.0" in output
    assert "sh -s -- --version 3.250.0" in output
    assert "install Go 1.25.11 or newer" in output
    assert not machine.env_file.exists()

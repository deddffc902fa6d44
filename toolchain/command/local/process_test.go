//go:build unix

package local

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func ptr[T any](value T) *T { return &value }

// log collects the lines that a command shows.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) show(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// mustRun runs a command that is expected to succeed.
func mustRun(t *testing.T, command string, in Inputs, previous Outputs) (Outputs, []string) {
	t.Helper()
	var l log
	if err := previous.runLogged(t.Context(), command, in, l.show); err != nil {
		t.Fatal(err)
	}
	return previous, l.lines
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func TestOutputLosesOneLineEnd(t *testing.T) {
	out, _ := mustRun(t, `printf ' a\n\n'; printf 'b\n' >&2`, Inputs{}, Outputs{})
	equal(t, "stdout", out.Stdout, " a\n")
	equal(t, "stderr", out.Stderr, "b")
}

func TestProcessGetsItsInputs(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		command string
		in      Inputs
		want    string
	}{
		"stdin":       {"cat", Inputs{Stdin: ptr("in $HOME\n")}, "in $HOME"},
		"no stdin":    {"cat", Inputs{}, ""},
		"environment": {`echo "$A"`, Inputs{Environment: map[string]string{"A": "1 '2'"}}, "1 '2'"},
		"directory":   {"pwd", Inputs{Dir: &dir}, dir},
		"interpreter": {"x y", Inputs{Interpreter: []string{"/bin/echo", "-n", "-"}}, "- x y"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := mustRun(t, test.command, test.in, Outputs{})
			equal(t, "stdout", out.Stdout, test.want)
		})
	}
}

func TestPreviousOutputIsInTheEnvironment(t *testing.T) {
	const command = `echo "${PULUMI_COMMAND_STDOUT-unset} ${PULUMI_COMMAND_STDERR-unset}"`
	before := Outputs{Stdout: "out", Stderr: "err"}
	for name, test := range map[string]struct {
		in       Inputs
		previous Outputs
		want     string
	}{
		"by default":  {Inputs{}, before, "out err"},
		"switched on": {Inputs{AddPreviousOutputInEnv: ptr(true)}, before, "out err"},
		"off":         {Inputs{AddPreviousOutputInEnv: ptr(false)}, before, "unset unset"},
		"first run":   {Inputs{}, Outputs{}, "unset unset"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := mustRun(t, command, test.in, test.previous)
			equal(t, "stdout", out.Stdout, test.want)
		})
	}
}

func TestLoggingChoosesStreams(t *testing.T) {
	for mode, want := range map[Logging]string{
		"": "out err", LogBoth: "out err", LogStdout: "out", LogStderr: "err", LogNone: "",
	} {
		t.Run(string(mode), func(t *testing.T) {
			in := Inputs{}
			if mode != "" {
				in.Logging = &mode
			}
			// The pause keeps the order: the two streams are read independently.
			out, lines := mustRun(t, "echo out; sleep 0.1; echo err >&2", in, Outputs{})
			equal(t, "log", strings.Join(lines, " "), want)
			equal(t, "stdout", out.Stdout, "out")
			equal(t, "stderr", out.Stderr, "err")
		})
	}
}

func TestLinesAreShownAsTheyCome(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	command := `echo first; while [ ! -e "` + seen + `" ]; do sleep 0.01; done; printf last`
	var got []string
	out := Outputs{}
	// The command ends only when its first line was shown: late lines would be a deadlock.
	err := out.runLogged(t.Context(), command, Inputs{Logging: ptr(LogStdout)}, func(line string) {
		got = append(got, line)
		if err := os.WriteFile(seen, nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "log", strings.Join(got, ","), "first,last")
}

func TestOverlongLinesAreCut(t *testing.T) {
	out, lines := mustRun(t, "head -c 100000 /dev/zero | tr '\\0' x", Inputs{}, Outputs{})
	if len(out.Stdout) != 100000 || len(lines) != 2 || len(lines[0]) != maxLine {
		t.Errorf("%d bytes in %d lines, want 100000 in 2", len(out.Stdout), len(lines))
	}
}

func TestFailureTellsWhatTheCommandSaid(t *testing.T) {
	out := Outputs{Stdout: "before"}
	command := "echo out; sleep 0.1; echo err >&2; exit 3"
	err := out.runLogged(t.Context(), command, Inputs{Logging: ptr(LogNone)}, func(string) {})
	if err == nil {
		t.Fatal("no error")
	}
	equal(t, "error", err.Error(), "exit status 3: running \""+command+"\":\nout\nerr\n")
	equal(t, "stdout", out.Stdout, "before")
}

func TestMissingDirectoryFails(t *testing.T) {
	out := Outputs{}
	err := out.runLogged(t.Context(), "pwd", Inputs{Dir: ptr("/does/not/exist")}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("error is %v", err)
	}
}

// cancelled runs a command until it prints "ready", cancels it, and returns the error, the
// process ids it printed before and how long it took to end.
func cancelled(t *testing.T, command string) (error, []int, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pids []int
	var start time.Time
	out := Outputs{}
	err := out.runLogged(ctx, command, Inputs{Logging: ptr(LogStdout)}, func(line string) {
		if pid, err := strconv.Atoi(line); err == nil {
			pids = append(pids, pid)
		}
		if line == "ready" {
			start = time.Now()
			cancel()
		}
	})
	return err, pids, time.Since(start)
}

func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		// A killed orphan stays a zombie until its new parent looks: that is gone enough.
		deadline := time.Now().Add(2 * time.Second)
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestCancellationEndsCommandAndChildren(t *testing.T) {
	err, pids, took := cancelled(t, "sleep 60 & echo $!; echo $$; echo ready; wait")
	if err == nil || !strings.HasPrefix(err.Error(), "cancelled (signal: terminated): running ") {
		t.Errorf("error is %v", err)
	}
	if len(pids) != 2 || took > 2*time.Second {
		t.Errorf("ending %d processes took %s", len(pids), took)
	}
	gone(t, pids)
}

func TestCancelledCommandMayTidyUp(t *testing.T) {
	err, pids, _ := cancelled(t, "trap 'echo tidied; exit 0' TERM; sleep 60 & echo $!; echo ready; wait")
	if err == nil || !strings.HasPrefix(err.Error(), "cancelled: ") || !strings.Contains(err.Error(), "tidied") {
		t.Errorf("error is %v", err)
	}
	gone(t, pids)
}

func TestStubbornProcessesAreKilled(t *testing.T) {
	// The child ignores the signal, and keeps no output open that could betray it.
	err, pids, took := cancelled(t, `sh -c 'trap "" TERM; echo $$; echo ready; exec >/dev/null 2>&1
		while :; do sleep 1; done' & wait`)
	if err == nil {
		t.Error("no error")
	}
	if took < grace || took > grace+2*time.Second {
		t.Errorf("took %s, want about %s", took, grace)
	}
	gone(t, pids)
}

func TestDeadlineIsReportedAsSuch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	out := Outputs{}
	err := out.runLogged(ctx, "sleep 60", Inputs{}, func(string) {})
	if err == nil || !strings.HasPrefix(err.Error(), "timed out (signal: terminated)") {
		t.Errorf("error is %v", err)
	}
}

func TestNothingStartsOnceCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := Outputs{}
	err := out.runLogged(ctx, "echo started", Inputs{}, func(string) { t.Error("started") })
	if err == nil || !strings.HasPrefix(err.Error(), "cancelled: ") {
		t.Errorf("error is %v", err)
	}
}

//go:build unix

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
)

// grace is how long a cancelled command may take to put its things in order between SIGTERM
// and SIGKILL. The engine gives a plugin five seconds; commands have to be gone before it.
const grace = 4 * time.Second

// run runs the command and takes over what it printed and wrote. On failure o stays as it
// was and the error holds everything the command said.
func (o *Outputs) run(ctx context.Context, command string, in Inputs) error {
	// Whatever the command says after it was cancelled should still be seen.
	logger := p.GetLogger(context.WithoutCancel(ctx))
	return o.runLogged(ctx, command, in, logger.InfoStatus)
}

func (o *Outputs) runLogged(ctx context.Context, command string, in Inputs, show func(line string)) error {
	both := &lockedBuffer{}
	stdout := newStream(both, in.Logging.shows(LogStdout), show)
	stderr := newStream(both, in.Logging.shows(LogStderr), show)

	err := start(ctx, o.prepare(command, in), stdout, stderr)
	if err != nil {
		return fmt.Errorf("%w: running %q:\n%s", err, command, both.String())
	}
	if err := o.collect(in); err != nil {
		return err
	}
	o.Stdout, o.Stderr = stdout.text(), stderr.text()
	return nil
}

// prepare builds the process: program, arguments, directory, environment, input.
func (o *Outputs) prepare(command string, in Inputs) *exec.Cmd {
	argv := in.Interpreter
	if len(argv) == 0 {
		argv = []string{"/bin/sh", "-c"}
	}
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], command)...)
	if in.Dir != nil {
		cmd.Dir = *in.Dir
	}
	cmd.Env = os.Environ()
	for name, value := range in.Environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if in.AddPreviousOutputInEnv == nil || *in.AddPreviousOutputInEnv {
		// Absent rather than empty where there was no run before, or it was silent.
		if o.Stdout != "" {
			cmd.Env = append(cmd.Env, "PULUMI_COMMAND_STDOUT="+o.Stdout)
		}
		if o.Stderr != "" {
			cmd.Env = append(cmd.Env, "PULUMI_COMMAND_STDERR="+o.Stderr)
		}
	}
	if in.Stdin != nil && *in.Stdin != "" {
		cmd.Stdin = strings.NewReader(*in.Stdin)
	}
	return cmd
}

// start runs cmd to its end, or ends it with everything it started when ctx is cancelled.
// Output is read to its end: also that of a process the command left in the background.
func start(ctx context.Context, cmd *exec.Cmd, stdout, stderr *stream) error {
	if ctx.Err() != nil {
		return interruption(ctx, nil)
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// A group of its own, so that one signal reaches the command's children too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// With that set, Go blames a missing directory on the program.
	if _, err := os.Stat(cmd.Dir); cmd.Dir != "" && err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		stdout.lines.flush()
		stderr.lines.flush()
		done <- err
	}()

	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return interruption(ctx, terminate(cmd.Process.Pid, done))
	}
}

// terminate ends a process group: politely, and by force whoever is left after the grace.
// It returns how the command itself ended. A process that has left the group and holds the
// output open is not waited for.
func terminate(group int, done <-chan error) error {
	// Signals fail only if nobody is left to get them.
	_ = syscall.Kill(-group, syscall.SIGTERM)
	for end := time.Now().Add(grace); time.Now().Before(end) && alive(group); {
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return errors.New("its output is still held open")
	}
}

func alive(group int) bool { return syscall.Kill(-group, 0) == nil }

// interruption says why a command was ended early, and how it ended.
func interruption(ctx context.Context, err error) error {
	reason := "cancelled"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = "timed out"
	}
	if err == nil {
		return errors.New(reason)
	}
	return fmt.Errorf("%s (%w)", reason, err)
}

// stream receives one of a command's output streams.
type stream struct {
	all   bytes.Buffer
	lines *lineWriter
	sinks io.Writer
}

func newStream(both io.Writer, shown bool, show func(line string)) *stream {
	s := &stream{lines: &lineWriter{show: func(string) {}}}
	if shown {
		s.lines.show = show
	}
	s.sinks = io.MultiWriter(&s.all, both, s.lines)
	return s
}

func (s *stream) Write(data []byte) (int, error) { return s.sinks.Write(data) }

func (s *stream) text() string { return strings.TrimSuffix(s.all.String(), "\n") }

// lockedBuffer keeps both streams in the order of their writing, for error messages.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

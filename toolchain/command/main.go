// Command pulumi-resource-command stands in for Pulumi's command plugin on machines that
// can't download it: the resource local.Command and the function local.run, with the same
// inputs, outputs and behaviour. The package's remote resources are not here.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"switchback.example/toolchain/command/local"
)

// version is the pulumi_command release whose contract is kept. The engine looks a plugin
// up by it, so it goes with the pin in the Python requirements.
const version = "1.2.1"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	provider, err := newProvider()
	if err != nil {
		return err
	}
	cancelOnSignal(provider)
	return provider.Run(context.Background(), "command", version)
}

func newProvider() (p.Provider, error) {
	return infer.NewProviderBuilder().
		WithNamespace("pulumi").
		WithDisplayName("Command").
		WithResources(infer.Resource(&local.Command{})).
		WithFunctions(infer.Function(&local.Run{})).
		Build()
}

// cancelOnSignal treats a signal as the engine's Cancel call. On a second Ctrl-C the engine
// interrupts its plugins without that call, and kills them five seconds later; the commands
// run in process groups of their own and would be left behind.
func cancelOnSignal(provider p.Provider) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range signals {
			// Nothing can be done about an error here; the process is about to end.
			_ = provider.Cancel(context.Background())
		}
	}()
}

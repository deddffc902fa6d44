package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Run is a function: the command runs whenever the program does, in previews too.
type Run struct{}

// RunInputs are the arguments of the function.
type RunInputs struct {
	Command string `pulumi:"command"`
	Inputs
}

// RunOutputs is its result: the arguments, and what the command left.
type RunOutputs struct {
	RunInputs
	Outputs
}

// Annotate adds descriptions to the schema.
func (r *Run) Annotate(a infer.Annotator) {
	a.Describe(&r, "Runs a command on this machine whenever the program runs, in previews too.")
}

// Annotate adds descriptions to the schema.
func (i *RunInputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Command, "The command.")
}

// Invoke runs the command.
func (*Run) Invoke(
	ctx context.Context, req infer.FunctionRequest[RunInputs],
) (infer.FunctionResponse[RunOutputs], error) {
	result := RunOutputs{RunInputs: req.Input}
	err := result.run(ctx, req.Input.Command, req.Input.Inputs)
	return infer.FunctionResponse[RunOutputs]{Output: result}, err
}

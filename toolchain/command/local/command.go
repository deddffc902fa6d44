package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Command is a resource whose life is commands: one to make it, one to change it, one to
// undo it. It has no Read: nothing can be asked about what a command has done.
//
// Secrets go from an input to the output of the same name and no further, as the published
// plugin does it: what a command prints is a secret only where the program says so
// (additionalSecretOutputs).
type Command struct{}

// CommandInputs are the properties of the resource.
type CommandInputs struct {
	// A changed trigger replaces the resource: create runs, then the old one's delete.
	Triggers []any   `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
	Inputs
}

// CommandState is what the stack keeps. It repeats the inputs: delete runs when the program
// no longer mentions the resource.
type CommandState struct {
	CommandInputs
	Outputs
}

// Annotate adds descriptions to the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command that runs on this machine when the resource is created, changed or deleted.")
}

// Annotate adds descriptions to the schema.
func (i *CommandInputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Triggers, "Values of any type; when one changes, the resource is replaced.")
	a.Describe(&i.Create, "The command that makes the resource.")
	a.Describe(&i.Update, "The command that runs when another input changes; create if there is none.")
	a.Describe(&i.Delete, "The command that runs when the resource is deleted or replaced.")
}

// Create runs create. If that fails there is no resource, and the next update tries again.
func (*Command) Create(
	ctx context.Context, req infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandState], error) {
	state := CommandState{CommandInputs: req.Inputs}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err == nil && !req.DryRun && req.Inputs.Create != nil {
		err = state.run(ctx, *req.Inputs.Create, req.Inputs.Inputs)
	}
	return infer.CreateResponse[CommandState]{ID: id, Output: state}, err
}

// Update runs update, or create where there is no update. If that fails the stack keeps the
// old inputs, so the difference is there again next time.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandInputs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	state := CommandState{CommandInputs: req.Inputs, Outputs: req.State.Outputs}
	command := req.Inputs.Update
	if command == nil {
		command = req.Inputs.Create
	}
	var err error
	if !req.DryRun && command != nil {
		err = state.run(ctx, *command, req.Inputs.Inputs)
	}
	return infer.UpdateResponse[CommandState]{Output: state}, err
}

// Delete runs delete. If that fails the resource stays in the stack.
func (*Command) Delete(ctx context.Context, req infer.DeleteRequest[CommandState]) (infer.DeleteResponse, error) {
	state := req.State
	if state.CommandInputs.Delete == nil {
		return infer.DeleteResponse{}, nil
	}
	return infer.DeleteResponse{}, state.run(ctx, *state.CommandInputs.Delete, state.Inputs)
}

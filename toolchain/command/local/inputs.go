// Package local runs commands on the machine that runs Pulumi.
package local

import (
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Inputs is what a command's process is started with, be it a resource's or a function's.
type Inputs struct {
	Interpreter            []string          `pulumi:"interpreter,optional"`
	Dir                    *string           `pulumi:"dir,optional"`
	Environment            map[string]string `pulumi:"environment,optional"`
	Stdin                  *string           `pulumi:"stdin,optional"`
	Logging                *Logging          `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
	AssetPaths             []string          `pulumi:"assetPaths,optional"`
	ArchivePaths           []string          `pulumi:"archivePaths,optional"`
}

// Annotate adds descriptions and defaults to the schema.
func (i *Inputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Interpreter, `The program that is given the command as its last argument: ["/bin/sh", "-c"].`)
	a.Describe(&i.Dir, "The working directory. It must exist. Defaults to the program's.")
	a.Describe(&i.Environment, "Variables added to the environment of the plugin.")
	a.Describe(&i.Stdin, "Text for the command's standard input, which is empty otherwise.")
	a.Describe(&i.Logging, "Which of the command's streams are shown while it runs: both by default.")
	a.Describe(&i.AddPreviousOutputInEnv,
		"Whether PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR carry what the run before printed.")
	a.SetDefault(&i.AddPreviousOutputInEnv, true)
	a.Describe(&i.AssetPaths, "Patterns of files to return as assets; a leading ! excludes.")
	a.Describe(&i.ArchivePaths, "Patterns of files to return as one archive; a leading ! excludes.")
}

// Outputs is what a run leaves behind.
type Outputs struct {
	Stdout  string            `pulumi:"stdout"`
	Stderr  string            `pulumi:"stderr"`
	Assets  assets            `pulumi:"assets,optional"`
	Archive *resource.Archive `pulumi:"archive,optional"`
}

// Annotate adds descriptions to the schema.
func (o *Outputs) Annotate(a infer.Annotator) {
	a.Describe(&o.Stdout, "What the command printed, without the last line end.")
	a.Describe(&o.Stderr, "What the command printed on standard error, without the last line end.")
	a.Describe(&o.Assets, "The files that match assetPaths, by path relative to dir.")
	a.Describe(&o.Archive, "The files that match archivePaths.")
}

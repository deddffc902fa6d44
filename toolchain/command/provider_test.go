package main

import (
	"encoding/json"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

const urn = resource.URN("urn:pulumi:stack::project::command:local:Command::gate")

func server(t *testing.T) integration.Server {
	t.Helper()
	provider, err := newProvider()
	if err != nil {
		t.Fatal(err)
	}
	s, err := integration.NewServer(t.Context(), "command", semver.MustParse(version),
		integration.WithProvider(provider))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func properties(values map[string]string) property.Map {
	result := property.Map{}
	for key, value := range values {
		result = result.Set(key, property.New(value))
	}
	return result
}

func TestPreviewRunsNothingAndKnowsNothing(t *testing.T) {
	created, err := server(t).Create(p.CreateRequest{
		Urn: urn, DryRun: true, Properties: properties(map[string]string{"create": "exit 1"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"stdout", "stderr"} {
		if !created.Properties.Get(key).IsComputed() {
			t.Errorf("%s is known", key)
		}
	}
	if created.Properties.Get("create").AsString() != "exit 1" {
		t.Error("create is not known")
	}
}

func TestPreviewOfAnUpdateKnowsNoOutput(t *testing.T) {
	updated, err := server(t).Update(p.UpdateRequest{
		Urn: urn, ID: "gate1", DryRun: true,
		State:  properties(map[string]string{"create": "echo 1", "stdout": "1", "stderr": ""}),
		Inputs: properties(map[string]string{"create": "echo 2"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !updated.Properties.Get("stdout").IsComputed() {
		t.Errorf("stdout is %v", updated.Properties.Get("stdout"))
	}
}

func TestSecretsStayWithTheirInput(t *testing.T) {
	secret := property.New("key").WithSecret(true)
	created, err := server(t).Create(p.CreateRequest{
		Urn:        urn,
		Properties: properties(map[string]string{"create": "cat"}).Set("stdin", secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !created.Properties.Get("stdin").Secret() {
		t.Error("stdin is no secret")
	}
	if created.Properties.Get("stdout").Secret() {
		t.Error("stdout is a secret, which the published plugin does not make it")
	}
}

func TestOtherInputsUpdate(t *testing.T) {
	old := properties(map[string]string{"create": "a"})
	for key, want := range map[string]p.DiffKind{"create": p.Update, "delete": p.Add, "stdin": p.Add} {
		t.Run(key, func(t *testing.T) {
			diff, err := server(t).Diff(p.DiffRequest{
				Urn: urn, State: old, OldInputs: old, Inputs: old.Set(key, property.New("b")),
			})
			if err != nil {
				t.Fatal(err)
			}
			if !diff.HasChanges || len(diff.DetailedDiff) != 1 || diff.DetailedDiff[key].Kind != want {
				t.Errorf("diff is %v", diff)
			}
		})
	}
}

// The published Python package asks for the replacement itself, element by element; the
// schema has to say the same to packages generated from it.
func TestTriggersReplace(t *testing.T) {
	response, err := server(t).GetSchema(p.GetSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal([]byte(response.Schema), &spec); err != nil {
		t.Fatal(err)
	}
	for name, input := range spec.Resources["command:local:Command"].InputProperties {
		if input.ReplaceOnChanges != (name == "triggers") {
			t.Errorf("%s: replaceOnChanges is %v", name, input.ReplaceOnChanges)
		}
	}
}

func TestRunFunction(t *testing.T) {
	result, err := server(t).Invoke(p.InvokeRequest{
		Token: "command:local:run", Args: properties(map[string]string{"command": "echo hello"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Return.Get("stdout").AsString(); got != "hello" {
		t.Errorf("stdout is %q", got)
	}
}

package main

import (
	"context"
	"runtime"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-docker/shim"
)

// provider maps Terraform's resources to Pulumi's. Property names follow from Terraform's
// by the bridge's rules (stop_timeout -> stopTimeout, and plurals for lists: env -> envs);
// written out here is only what the published Python package spells otherwise.
func provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:           shimv2.NewProvider(shim.NewProvider(version)),
		Name:        "docker",
		Version:     version,
		Config:      config(),
		Resources:   resources(),
		DataSources: functions(),
	}
	// A resource declared without a name gets one: web -> web-1a2b3c4.
	info.SetAutonaming(255, "-")
	return info
}

func config() map[string]*tfbridge.SchemaInfo {
	return map[string]*tfbridge.SchemaInfo{
		"host": {Default: &tfbridge.DefaultInfo{
			EnvVars:        []string{"DOCKER_HOST"},
			ComputeDefault: localEngine,
		}},
		// Key and certificates are secrets, though Terraform does not mark them.
		"ca_material":   {Secret: tfbridge.True()},
		"cert_material": {Secret: tfbridge.True()},
		"key_material":  {Secret: tfbridge.True()},
		// Terraform takes one such block; the Python package has a list under a singular name.
		"registry_auth": {Name: "registryAuth", MaxItemsOne: tfbridge.False()},
	}
}

func resources() map[string]*tfbridge.ResourceInfo {
	return map[string]*tfbridge.ResourceInfo{
		"docker_buildx_builder": {Tok: resource("BuildxBuilder")},
		"docker_config":         {Tok: resource("ServiceConfig")},
		"docker_container": {
			Tok: resource("Container"),
			Fields: map[string]*tfbridge.SchemaInfo{
				// Lists, but not plural: one command line, and a word that is no noun.
				"command":           {Name: "command"},
				"networks_advanced": {Name: "networksAdvanced"},
			},
			// Two containers can't hold one name, nor one published port.
			DeleteBeforeReplace: true,
		},
		"docker_image": {
			Tok: resource("RemoteImage"),
			// The name says which image to pull: having an entry here, it isn't made up.
			Fields: map[string]*tfbridge.SchemaInfo{"name": {Name: "name"}},
		},
		"docker_network":        {Tok: resource("Network")},
		"docker_plugin":         {Tok: resource("Plugin")},
		"docker_registry_image": {Tok: resource("RegistryImage")},
		"docker_secret":         {Tok: resource("Secret")},
		"docker_service":        {Tok: resource("Service")},
		"docker_tag":            {Tok: resource("Tag")},
		"docker_volume":         {Tok: resource("Volume")},
	}
}

func functions() map[string]*tfbridge.DataSourceInfo {
	return map[string]*tfbridge.DataSourceInfo{
		"docker_image":                    {Tok: function("getRemoteImage")},
		"docker_logs":                     {Tok: function("getLogs")},
		"docker_network":                  {Tok: function("getNetwork")},
		"docker_plugin":                   {Tok: function("getPlugin")},
		"docker_registry_image":           {Tok: function("getRegistryImage")},
		"docker_registry_image_manifests": {Tok: function("getRegistryImageManifests")},
	}
}

func resource(name string) tokens.Type {
	return tfbridge.MakeResource("docker", "index", name)
}

func function(name string) tokens.ModuleMember {
	return tfbridge.MakeDataSource("docker", "index", name)
}

// localEngine is where Docker listens when neither config nor DOCKER_HOST says otherwise.
func localEngine(context.Context, tfbridge.ComputeDefaultOptions) (any, error) {
	if runtime.GOOS == "windows" {
		return "npipe:////./pipe/docker_engine", nil
	}
	return "unix:///var/run/docker.sock", nil
}

// Command pulumi-resource-docker is Pulumi's resource plugin for Docker, for machines
// that can reach a Go module proxy and no download server.
//
// It is the same bridge over the same Terraform provider as the official plugin, with the
// same resource names and properties, so programs written with the pulumi_docker package
// run on either. It lacks what the official plugin adds of its own: docker.Image.
package main

import (
	"encoding/json"
	"log"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
)

// version is the pulumi_docker release whose resources and properties are served. The
// engine looks a plugin up by it, so it goes with the pin in the Python requirements.
const version = "5.2.0"

func main() {
	info := provider()
	schema, err := json.Marshal(describe(info))
	if err != nil {
		log.Fatal(err)
	}
	tfbridge.Main("docker", version, info, schema)
}

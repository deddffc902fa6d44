// Package shim hands out the upstream Terraform provider. Upstream keeps it in an internal
// package, which Go opens only to modules whose path lies below upstream's own: hence the
// name of this module, which is never fetched but replaced by this directory.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider returns the upstream Docker provider.
func NewProvider(version string) *schema.Provider { return provider.New(version)() }

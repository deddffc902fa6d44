package main

import (
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// describe says in Pulumi's own terms which resources the plugin serves and with which
// properties, as `pulumi package get-schema` shows them. The engine runs without it; it is
// what the tests hold against the published Python package. Functions are left out.
func describe(info tfbridge.ProviderInfo) schema.PackageSpec {
	spec := schema.PackageSpec{
		Name:    info.Name,
		Version: info.Version,
		// docker:index/container:Container belongs to the module docker:index.
		Meta:      &schema.MetadataSpec{ModuleFormat: "(.*)(?:/[^/]*)"},
		Types:     map[string]schema.ComplexTypeSpec{},
		Resources: map[string]schema.ResourceSpec{},
	}
	d := describer{types: spec.Types}

	config := d.object("Provider", info.P.Schema(), info.Config)
	spec.Provider.InputProperties = config.inputs
	spec.Provider.RequiredInputs = config.required

	for name, res := range info.Resources {
		o := d.object(string(res.Tok.Name()), info.P.ResourcesMap().Get(name).Schema(), res.Fields)
		spec.Resources[string(res.Tok)] = schema.ResourceSpec{
			ObjectTypeSpec:  schema.ObjectTypeSpec{Type: "object", Properties: o.all},
			InputProperties: o.inputs,
			RequiredInputs:  o.required,
		}
	}
	return spec
}

// describer collects the types of nested blocks while it walks Terraform's schemas.
type describer struct {
	types map[string]schema.ComplexTypeSpec
}

// object holds the properties of one resource or nested block.
type object struct {
	all, inputs map[string]schema.PropertySpec
	required    []string
}

func (d describer) object(name string, fields shim.SchemaMap, infos map[string]*tfbridge.SchemaInfo) object {
	o := object{all: map[string]schema.PropertySpec{}, inputs: map[string]schema.PropertySpec{}}
	fields.Range(func(key string, field shim.Schema) bool {
		if field.Removed() != "" {
			return true
		}
		info := infos[key]
		property := tfbridge.TerraformToPulumiNameV2(key, fields, infos)
		spec := schema.PropertySpec{
			TypeSpec: d.typeOf(name+strings.ToUpper(property[:1])+property[1:], field, info),
			Secret:   field.Sensitive() || info != nil && info.Secret != nil && *info.Secret,
		}
		o.all[property] = spec
		// What is computed and nothing else can't be set.
		if field.Optional() || field.Required() {
			o.inputs[property] = spec
		}
		// A default, such as a made-up name, turns a required property into an optional one.
		if field.Required() && (info == nil || info.Default == nil) {
			o.required = append(o.required, property)
		}
		return true
	})
	return o
}

// typeOf describes one property; name is what its own type is called, if it is a block.
func (d describer) typeOf(name string, field shim.Schema, info *tfbridge.SchemaInfo) schema.TypeSpec {
	switch field.Type() {
	case shim.TypeBool:
		return schema.TypeSpec{Type: "boolean"}
	case shim.TypeInt:
		return schema.TypeSpec{Type: "integer"}
	case shim.TypeFloat:
		return schema.TypeSpec{Type: "number"}
	case shim.TypeMap:
		element := d.element(name, field)
		return schema.TypeSpec{Type: "object", AdditionalProperties: &element}
	case shim.TypeList, shim.TypeSet:
		element := d.element(name, field)
		// The bridge flattens a list of at most one item into the item.
		if tfbridge.IsMaxItemsOne(field, info) {
			return element
		}
		return schema.TypeSpec{Type: "array", Items: &element}
	default:
		return schema.TypeSpec{Type: "string"}
	}
}

func (d describer) element(name string, field shim.Schema) schema.TypeSpec {
	switch element := field.Elem().(type) {
	case shim.Schema:
		return d.typeOf(name, element, nil)
	case shim.Resource:
		token := "docker:index/" + name + ":" + name
		o := d.object(name, element.Schema(), nil)
		d.types[token] = schema.ComplexTypeSpec{ObjectTypeSpec: schema.ObjectTypeSpec{
			Type: "object", Properties: o.all, Required: o.required,
		}}
		return schema.TypeSpec{Ref: "#/types/" + token}
	default:
		return schema.TypeSpec{Type: "string"}
	}
}

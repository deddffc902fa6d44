package local

import (
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// assets are files by path. They are never archives, but of functions the schema allows no
// other type than this.
type assets map[string]types.AssetOrArchive

// collect sets the outputs that come from files the command wrote.
func (o *Outputs) collect(in Inputs) error {
	dir, err := in.directory()
	if err != nil {
		return err
	}
	if in.AssetPaths != nil {
		if o.Assets, err = find(dir, in.AssetPaths); err != nil {
			return err
		}
	}
	if in.ArchivePaths != nil {
		found, err := find(dir, in.ArchivePaths)
		if err != nil {
			return err
		}
		members := make(map[string]any, len(found))
		for name, file := range found {
			members[name] = file.Asset
		}
		if o.Archive, err = resource.NewAssetArchive(members); err != nil {
			return err
		}
	}
	return nil
}

// directory is where the command ran. An asset is named by its path, which the engine reads
// from its own working directory: hence the absolute path where none was given.
func (i Inputs) directory() (string, error) {
	if i.Dir != nil {
		return *i.Dir, nil
	}
	return os.Getwd()
}

// rule is one pattern. For every file the last rule that matches it decides.
type rule struct {
	pattern glob.Glob
	exclude bool
}

func parse(patterns []string) ([]rule, error) {
	rules := make([]rule, 0, len(patterns))
	for _, text := range patterns {
		text, exclude := strings.CutPrefix(text, "!")
		pattern, err := glob.Compile(text, '/')
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule{pattern, exclude})
	}
	return rules, nil
}

// find returns the files below dir that the patterns choose, by path relative to it.
func find(dir string, patterns []string) (assets, error) {
	rules, err := parse(patterns)
	if err != nil {
		return nil, err
	}
	found := assets{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !chosen(rules, name) {
			return err
		}
		asset, err := resource.NewPathAsset(path.Join(dir, name))
		found[name] = types.AssetOrArchive{Asset: asset}
		return err
	})
	return found, err
}

func chosen(rules []rule, name string) bool {
	result := false
	for _, r := range rules {
		if r.pattern.Match(name) {
			result = !r.exclude
		}
	}
	return result
}

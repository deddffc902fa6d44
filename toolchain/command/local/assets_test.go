package local

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		name := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPatterns(t *testing.T) {
	dir := tree(t, "a.txt", "b.js", "src/c.js", "src/deep/d.js", "src/secret.js")
	for patterns, want := range map[string]string{
		"*":                     "a.txt b.js",
		"*.js":                  "b.js",
		"**.js":                 "b.js src/c.js src/deep/d.js src/secret.js",
		"src/*.js":              "src/c.js src/secret.js",
		"**.js !**secret.*":     "b.js src/c.js src/deep/d.js",
		"!**secret.* src/*.js":  "src/c.js src/secret.js",
		"{a,b}.*":               "a.txt b.js",
		"src":                   "",
		"src/** !src/** a.[tx]": "",
	} {
		t.Run(patterns, func(t *testing.T) {
			found, err := find(dir, strings.Fields(patterns))
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Sorted(maps.Keys(found))
			equal(t, "found", strings.Join(got, " "), want)
		})
	}
}

func TestFilesBecomeOutputs(t *testing.T) {
	dir := tree(t, "old.txt")
	in := Inputs{Dir: &dir, AssetPaths: []string{"*.txt"}, ArchivePaths: []string{"**", "!old.txt"}}
	out, _ := mustRun(t, "echo new > new.txt", in, Outputs{})
	equal(t, "assets", strings.Join(slices.Sorted(maps.Keys(out.Assets)), " "), "new.txt old.txt")
	equal(t, "path", out.Assets["new.txt"].Asset.Path, filepath.Join(dir, "new.txt"))
	equal(t, "archive", strings.Join(slices.Sorted(maps.Keys(out.Archive.Assets)), " "), "new.txt")
}

func TestBadPatternFails(t *testing.T) {
	out := Outputs{}
	if err := out.runLogged(t.Context(), "true", Inputs{AssetPaths: []string{"[a"}}, func(string) {}); err == nil {
		t.Error("no error")
	}
}

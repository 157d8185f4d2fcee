package house

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pinFile is where the version of Ray is decided, for image, client and tests alike; everything else says it again.
const pinFile = "supplier/worker/requirements.in"

// rayVersion finds a whole version wherever it is Ray's: a requirement, a tag, a field of a manifest or of Go, a word in a text.
var rayVersion = regexp.MustCompile(`(?i)(?:\bray(?:_?version)?(?:\[[a-z,]+\])?[": =]+|raylink/worker:)(\d+\.\d+\.\d+)`)

// otherVersions are meant: what a test wants refused.
func otherVersions() []May {
	return []May{{"raylink/manifest/parse_test.go 2.52.0", "a manifest of another version than its image's is refused"}}
}

// strayVersions are the places that name another version of Ray than the pinned one, as "file:line: version"; and the files that name any.
func strayVersions(root string, may []May) (stray []string, naming map[string]bool, err error) {
	pin, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(pinFile)))
	if err != nil {
		return nil, nil, err
	}
	found := rayVersion.FindSubmatch(pin)
	if found == nil {
		return nil, nil, fmt.Errorf("%s pins no version of Ray", pinFile)
	}
	naming = map[string]bool{}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		below = filepath.ToSlash(below)
		if entry.IsDir() {
			if below != "." && skipped(name, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if info, err := entry.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > fileBytes {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, version := range rayVersion.FindAllStringSubmatch(line, -1) {
				naming[below] = true
				meant := slices.ContainsFunc(may, func(m May) bool { return m.Path == below+" "+version[1] })
				if version[1] != string(found[1]) && !meant {
					stray = append(stray, fmt.Sprintf("%s:%d: %s", below, i+1, version[1]))
				}
			}
		}
		return nil
	})
	return stray, naming, err
}

// TestOneVersionOfRay compares the version wherever it stands: a new lock alone would make an image whose tag, catalogue and examples say another one.
func TestOneVersionOfRay(t *testing.T) {
	stray, naming, err := strayVersions(filepath.Join("..", ".."), otherVersions())
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range stray {
		t.Errorf("%s, where %s pins another version of Ray", place, pinFile)
	}
	for _, name := range []string{pinFile, "supplier/worker/requirements.txt", "supplier/worker/build.sh", "Makefile", "raylink/manifest/image.go", "raylink/testbed/testbed.go", "examples/first-job/cluster.yaml"} {
		if !naming[name] {
			t.Errorf("%s names no version of Ray any more: is it looked for rightly?", name)
		}
	}
}

// TestStrayVersionsAreFound bumps the pin alone, in a small tree. An underscore stands for the dot, so that the other test does not look here.
func TestStrayVersionsAreFound(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		pinFile:             "ray[default,client]==3_1_0\nnumpy==2_60_0\n",
		"lock.txt":          "ray==2_60_0 \\\n",
		"build.sh":          "official=rayproject/ray:2_60_0-py311\nworker=raylink/worker:2_60_0-py311$tail\n",
		"image.go":          "package x\n\nvar v = V{\n\tRayVersion: \"2_60_0\",\n}\n",
		"cluster.yaml":      "spec:\n  rayVersion: 3_1_0\n  image: raylink/worker:2_9_0\n",
		"README.md":         "It was run with Ray 2_60_0, and with array 2_60_0.\n",
		"answer.json":       "{\"rayVersion\": \"2_60_0\"}\n",
		"bin/built":         "ray==1_0_0\n",
		"meant.go":          "package x // Ray 1_2_3\n",
		"nothing/like.text": "gray 2_60_0, 3_1_0, pray: 1_0_0\n",
	} {
		write(t, filepath.Join(root, filepath.FromSlash(name)), []byte(strings.ReplaceAll(text, "_", ".")))
	}
	stray, _, err := strayVersions(root, []May{{"meant.go 1.2.3", "a reason"}})
	want := []string{"README.md:1: 2.60.0", "answer.json:1: 2.60.0", "build.sh:1: 2.60.0", "build.sh:2: 2.60.0", "cluster.yaml:3: 2.9.0", "image.go:4: 2.60.0", "lock.txt:1: 2.60.0"}
	slices.Sort(stray)
	slices.Sort(want)
	if err != nil || !slices.Equal(stray, want) {
		t.Errorf("found %q, %v; want %q", stray, err, want)
	}
}

package device

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"raylink/raylink"
	"raylink/raylink/catalogue"
)

var rewrite = flag.Bool("rewrite", false, "write what Probe makes of each archive into it")

var errBuild = errors.New("this build cannot read NVIDIA devices")

// recorded are the sources of a machine in an archive. What the archive does not have, the machine does not have.
func recorded(archive *txtar.Archive, arch string) Sources {
	files := map[string]string{}
	for _, f := range archive.Files {
		files["/"+f.Name] = string(f.Data)
	}
	read := func(name string) (string, error) {
		text, ok := files[name]
		if !ok {
			return "", fs.ErrNotExist
		}
		return text, nil
	}
	s := Sources{Read: read, Arch: arch, Threads: 1, Version: "v9", Missing: func(err error) bool { return errors.Is(err, errBuild) },
		NVIDIA: func(context.Context) (string, []raylink.Device, error) { return "", nil, errBuild },
		Glob: func(pattern string) []string {
			var out []string
			for name := range files {
				for ; name != "/" && name != "."; name = path.Dir(name) { // folders match as well
					if ok, _ := path.Match(pattern, name); ok && !slices.Contains(out, name) {
						out = append(out, name)
					}
				}
			}
			slices.Sort(out)
			return out
		},
		Run: func(_ context.Context, name string, _ ...string) (string, error) { return read("/run/" + name) },
	}
	if _, there := files["/docker/version"]; there {
		s.Docker = func(_ context.Context, path string) (string, error) { return read("/docker" + path) }
	}
	if text, there := files["/sysctl"]; there {
		s.Sysctl = func(name string) (string, bool) {
			for line := range strings.Lines(text) {
				if value, ok := strings.CutPrefix(line, name+": "); ok {
					return strings.TrimSuffix(value, "\n"), true
				}
			}
			return "", false
		}
	}
	return s
}

// TestGolden probes every recorded machine, and holds what is found against the archive; nothing that a real machine says is implausible.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d archives: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := archive.Files[len(archive.Files)-1]
			arch := "amd64"
			if strings.Contains(name, "apple") || strings.Contains(name, "graviton") {
				arch = "arm64"
			}
			host, notes := Probe(t.Context(), recorded(archive, arch))
			for _, p := range catalogue.Check(host) {
				t.Errorf("it is taken for a lie: %s", p)
			}
			got, err := json.MarshalIndent(struct {
				Host  raylink.Host
				Notes []Note
			}{host, notes}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			if *rewrite {
				writeWant(t, name, archive, got)
			} else if want.Name != "want.json" || !bytes.Equal(want.Data, got) {
				t.Errorf("it is\n%s\nand not\n%s", got, want.Data)
			}
		})
	}
}

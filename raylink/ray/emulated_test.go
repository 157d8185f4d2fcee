package ray

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raylink/raylink"
)

// TestAnEmulatedNodeIsWaitedFor runs the program of an emulated node against a stand-in of Ray's package whose raylet registers at the third look: `ray
// start` of Ray 2.60 asks until 30 s are over, and this one goes on for it. All other arguments are those of any node.
func TestAnEmulatedNodeIsWaitedFor(t *testing.T) {
	n := worker()
	plain := Command(n)
	n.Labels[raylink.LabelEmulated] = "yes"
	argv := Command(n)
	at := slices.Index(argv, "start")
	if plain[0] != "ray" || at < 0 || !slices.Equal(argv[at:], plain[1:]) {
		t.Fatalf("the emulated node starts with %q, others with %q", argv, plain)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	dir := t.TempDir()
	for path, text := range map[string]string{
		"ray/__init__.py": "", "ray/_private/__init__.py": "", "ray/scripts/__init__.py": "",
		"ray/_private/services.py": `import time
time.sleep = lambda s: None
looks = 0
def get_node(gcs_address, node_id):
    global looks
    looks += 1
    if looks < 3:
        raise RuntimeError("no such node")
    return node_id
`,
		"ray/scripts/scripts.py": `import sys
import ray._private.services
def main():
    print(ray._private.services.get_node("gcs", "found"), ray._private.services.looks, *sys.argv[1:], sep="\n")
`,
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), python, argv[1:]...)
	run.Env = append(os.Environ(), "PYTHONPATH="+dir)
	out, err := run.CombinedOutput()
	if want := "found\n3\n" + strings.Join(argv[at:], "\n") + "\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s\nwanted %s", err, out, want)
	}
}

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

// TestAnEmulatedNodeIsWaitedFor runs the program of an emulated node against a stand-in of Ray's package, whose raylet starts only where the files with its
// agents' ports are there, and registers at the third look. All other arguments are those of any node. That the patched names are those of the real
// package is shown by the real run (raylink/devnet, TestMixedArchitectures).
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
import ray._raylet
time.sleep = lambda s: None
looks = 0
def start_raylet(gcs_address, node_id, session_dir, metrics_agent_port=None, metrics_export_port=None, dashboard_agent_listen_port=None, runtime_env_agent_port=None):
    print(*ray._raylet.written)
def get_node(gcs_address, node_id):
    global looks
    looks += 1
    if looks < 3:
        raise RuntimeError("no such node")
    return node_id
`,
		"ray/_raylet.py": `METRICS_AGENT_PORT_NAME, METRICS_EXPORT_PORT_NAME = "metrics_agent_port", "metrics_export_port"
DASHBOARD_AGENT_LISTEN_PORT_NAME, RUNTIME_ENV_AGENT_PORT_NAME = "dashboard_agent_listen_port", "runtime_env_agent_port"
written = []
def persist_port(folder, node, name, port):
    written.append(f"{folder}/{name}_{node}={port}")
`,
		"ray/scripts/scripts.py": `import sys
import ray._private.services
def main():
    ray._private.services.start_raylet("gcs", "n1", "/s", metrics_agent_port=1, metrics_export_port=2, dashboard_agent_listen_port=3, runtime_env_agent_port=4)
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
	const ports = "/s/metrics_agent_port_n1=1 /s/metrics_export_port_n1=2 /s/dashboard_agent_listen_port_n1=3 /s/runtime_env_agent_port_n1=4\n"
	if want := ports + "found\n3\n" + strings.Join(argv[at:], "\n") + "\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s\nwanted %s", err, out, want)
	}
}

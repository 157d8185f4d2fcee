package supplier

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/supplier/doctor"
)

// hostSnapshot is what an agent could leave on a machine, by its source.
func hostSnapshot(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	counters := regexp.MustCompile(`\[\d+:\d+\]|packets \d+ bytes \d+|(?m)^#.*$`)
	for _, command := range []string{
		"docker ps -aq --no-trunc", "docker network ls -q", "docker volume ls -q", "docker image ls -q --no-trunc", "ip -o link", "ip rule", "ip route show table all",
		"iptables-save", "ip6tables-save", "nft list ruleset",
	} {
		words := strings.Fields(command)
		if _, err := exec.LookPath(words[0]); err != nil {
			t.Logf("%s is not on this machine; %q is not compared", words[0], command)
			continue
		}
		text, err := exec.CommandContext(t.Context(), words[0], words[1:]...).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		out[command] = counters.ReplaceAllString(string(text), "")
	}
	for _, dir := range dirs {
		var names []string
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && path != dir { // an empty directory of sockets may come and go
				names = append(names, path+" "+e.Type().String())
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		out[dir] = strings.Join(names, "\n")
	}
	return out
}

// TestRealUninstall: a machine that runs two nodes of a cluster, with their data planes, is uninstalled. Containers, networks, volumes, images,
// interfaces, routes, firewall and files are afterwards what they were before, and strangers' containers run on: one without a label, and one of another
// machine's.
func TestRealUninstall(t *testing.T) {
	w := newMachine(t, 12)
	parent := w.dir
	w.dir = filepath.Join(parent, "supplier")
	w.planes.files.root = w.dir
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	looked := []string{parent, "/run/raylink", "/run/wireguard", "/var/run/wireguard", "/var/lib/raylink"}
	strangers := []string{w.stranger("raylink-stranger-test"), w.stranger("raylink-other-machine-test", "--label", "raylink.machine=m-aaaaaaaaaa")}
	before := hostSnapshot(t, looked...)

	w.startHere(log)
	config := Config{Data: w.dir, Runtime: RuntimeDocker, DataPlanes: PlanesProcess, Name: "box"}
	t.Cleanup(func() { // whatever went wrong above
		w.stop()
		if _, err := os.Stat(w.dir); err == nil {
			if err := removeAll(context.Background(), files{root: w.dir}, w.run, w.planes, log); err != nil {
				t.Error(err)
			}
		}
	})
	w.coordinator.order(w.order(raylink.WantMesh)...)
	w.stage(raylink.StageMesh)
	w.coordinator.order(w.order(raylink.WantPreflight)...)
	w.stage(raylink.StagePreflight)
	w.coordinator.order(w.order(raylink.WantRun)...)
	w.stage(raylink.StageRunning)
	w.beatsAgain(15*time.Second, "the worker hears the head")
	if during := hostSnapshot(t, looked...); during["docker ps -aq --no-trunc"] == before["docker ps -aq --no-trunc"] || during[parent] == before[parent] {
		t.Fatal("the comparison sees nothing while two nodes run")
	}

	w.stop()
	if _, err := Uninstall(t.Context(), config, false, log); raylink.AsError(err) == nil || raylink.AsError(err).Code != raylink.CodeConflict {
		t.Fatalf("with two nodes running it does not refuse: %v", err)
	}
	gone, err := Uninstall(t.Context(), config, true, log)
	if err != nil || gone.Machine != w.machine || gone.Leases != 2 || len(gone.Left) != 0 {
		t.Fatalf("%+v, %v", gone, err)
	}
	after := hostSnapshot(t, looked...)
	for what, text := range before {
		if after[what] != text {
			t.Errorf("%s was\n%s\nand is\n%s", what, text, after[what])
		}
	}
	if gone, err = Uninstall(t.Context(), config, true, log); err != nil || gone.Leases != 0 {
		t.Errorf("the second time: %+v, %v", gone, err)
	}
	for _, name := range strangers {
		if said := shell(t, "docker inspect -f '{{.State.Running}} {{.RestartCount}}' "+name); said != "true 0" {
			t.Errorf("%s, which the agent did not make, is running and was started again: %s", name, said)
		}
	}
}

// stranger starts a container that the agent did not make, from the leases' own image, and returns its name.
func (w *realWorld) stranger(name string, more ...string) string {
	w.t.Helper()
	shell(w.t, "docker rm -f "+name+" 2>/dev/null || true")
	w.t.Cleanup(func() { shell(w.t, "docker rm -f "+name) })
	shell(w.t, strings.Join(append(append([]string{"docker run -d --network none --entrypoint sleep --name", name}, more...), realImage, "600"), " "))
	return name
}

// TestRealDoctor looks over this very machine, and changes nothing.
func TestRealDoctor(t *testing.T) {
	needReal(t)
	parent := t.TempDir()
	before := hostSnapshot(t, parent)
	found := doctor.Judge(doctor.Look(t.Context(), doctor.Ask{Data: filepath.Join(parent, "none"), Image: realImage}))
	level := map[string]doctor.Level{}
	for _, f := range found {
		t.Logf("%-8s %s: %s", f.Level, f.Check, f.Found)
		level[f.Check] = f.Level
	}
	for _, check := range []string{"rights", "kernel", "tun", "engine", "image", "memory", "cores"} {
		if l, ok := level[check]; !ok || l == doctor.Missing {
			t.Errorf("%s is %q on a machine that runs leases", check, l)
		}
	}
	if level["identity"] != doctor.Missing {
		t.Error("a machine that has not joined is taken for one that has")
	}
	after := hostSnapshot(t, parent)
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if after[what] != before[what] {
			t.Errorf("looking changed %s: from\n%s\nto\n%s", what, before[what], after[what])
		}
	}
}

// TestRealUninstallNamesWhatIsNotALeases: a container with a lease's labels and another name, as from an image that its owner committed, stays and is named.
func TestRealUninstallNamesWhatIsNotALeases(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs a Docker engine and the worker image: set RAYLINK_REAL=1")
	}
	const name = "raylink-debug-test"
	id := shell(t, "docker run -d --network none --name "+name+" --label raylink.machine=m-sweptaaaaa --label raylink.lease=l-sweptaaaaa --entrypoint sleep raylink/worker:2.60.0-py311 1000")
	t.Cleanup(func() { shell(t, "docker rm -f "+name) })
	gone := Gone{Machine: "m-sweptaaaaa"}
	if err := sweep(t.Context(), files{root: t.TempDir()}, &gone); err != nil {
		t.Fatal(err)
	}
	if len(gone.Left) != 1 || !strings.Contains(gone.Left[0], name) || shell(t, "docker inspect -f '{{.State.Running}}' "+id) != "true" {
		t.Errorf("%+v", gone)
	}
}

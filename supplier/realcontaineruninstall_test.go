package supplier

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// uninstallInContainer is what `raylink supplier uninstall --force` does in a container beside the agent's.
func uninstallInContainer(dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	gone, err := Uninstall(context.Background(), Config{Data: dir, Runtime: RuntimeDocker, DataPlanes: PlanesAuto, Name: "box"}, true, log)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(gone)
}

// TestRealUninstallInAContainer: the same for an agent in a container, whose data planes are containers too; the agent still runs when it is told to end. The
// owner's own container is named, and everything else is as it was.
func TestRealUninstallInAContainer(t *testing.T) {
	w := newContainerMachine(t)
	looked := []string{w.dir, "/run/raylink", "/run/wireguard", "/var/run/wireguard", "/var/lib/raylink"}
	before := hostSnapshot(t, looked...)
	w.relay()
	w.start()
	w.coordinator.order(w.order(raylink.WantMesh)...)
	w.stage(raylink.StageMesh)
	w.coordinator.order(w.order(raylink.WantRun)...)
	w.stage(raylink.StageRunning)
	w.within(15*time.Second, "the worker hears the head", func() bool { return w.beats() > 2 })
	if during := hostSnapshot(t, looked...); strings.Count(during["docker ps -aq --no-trunc"], "\n") < strings.Count(before["docker ps -aq --no-trunc"], "\n")+5 {
		t.Fatal("there are not two nodes, two data planes and an agent")
	}
	// The owner's `wg` sees the overlays as DESIGN says; /run is another one here, which ends with the command.
	link := fmt.Sprintf("unshare -m sh -c 'mount -t tmpfs none /run && ln -s %s/wireguard /var/run/wireguard && wg show interfaces'", w.dir)
	if seen := strings.Fields(shell(t, link)); len(seen) != 2 || !strings.HasPrefix(seen[0], "rl") || !strings.HasPrefix(seen[1], "rl") {
		t.Errorf("wg sees %q", seen)
	}
	text := shell(t, fmt.Sprintf("docker run --rm --name raylink-uninstall-test --pid=host --cap-add NET_ADMIN --cap-add SYS_ADMIN -v /var/run/docker.sock:/var/run/docker.sock -v %[1]s:%[1]s %[2]s uninstall %[1]s 2>%[1]s.log",
		w.dir, containerImage))
	if err := os.Remove(w.dir + ".log"); err != nil {
		t.Fatal(err)
	}
	var gone Gone
	if err := json.Unmarshal([]byte(text), &gone); err != nil || gone.Machine != w.machine || gone.Leases != 2 {
		t.Fatalf("%s, %v", text, err)
	}
	for _, left := range gone.Left { // the agent's container and this one, which are the owner's, and what this test exchanges with the agent
		if !strings.Contains(left, "raylink-agent-test, which has") && !strings.Contains(left, "raylink-uninstall-test, which has") && !strings.Contains(left, "orders.json") && !strings.Contains(left, "report.json") {
			t.Errorf("it leaves %s", left)
		}
	}
	if running := shell(t, "docker inspect -f '{{.State.Running}}' raylink-agent-test"); running != "false" {
		t.Errorf("the agent runs: %s", running)
	}
	w.stop()
	for _, name := range []string{"orders.json", "report.json"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
			t.Error(err)
		}
	}
	// The agent's container was on the engine's bridge, as its owner started it; that notices a moment later that nobody is.
	w.within(15*time.Second, "interfaces are what they were", func() bool { return shell(t, "ip -o link") == strings.TrimSpace(before["ip -o link"]) })
	after := hostSnapshot(t, looked...)
	for what, text := range before {
		if after[what] != text {
			t.Errorf("%s was\n%s\nand is\n%s", what, text, after[what])
		}
	}
}

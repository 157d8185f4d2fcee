package supplier

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

const (
	containerSeed  = 9
	containerImage = "raylink/agent-test:latest"
)

// fileCoordinator is how an agent in a container speaks with the test outside: two files in its data directory.
type fileCoordinator struct{ dir string }

func (c fileCoordinator) Assignment(ctx context.Context, revision string) (wire.Assignment, string, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var a wire.Assignment
		if err := load(filepath.Join(c.dir, "orders.json"), &a); err != nil {
			return a, "", err
		}
		if a.Revision != "" && a.Revision != revision {
			return a, a.Revision, nil
		}
		select {
		case <-ctx.Done():
			return a, "", ctx.Err()
		case <-ticker.C:
		}
	}
}

func (c fileCoordinator) Report(_ context.Context, report wire.AgentReport) error {
	return save(filepath.Join(c.dir, "report.json"), report)
}

// agentInContainer is the first process of the test's agent container.
func agentInContainer(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	key := testKey(containerSeed)
	machine := identity.MachineID(key.Public().(ed25519.PublicKey))
	run, planes, shut, err := hands(ctx, &Config{Runtime: RuntimeDocker, DataPlanes: PlanesAuto}, files{root: dir}, machine, log)
	if err != nil {
		return err
	}
	defer shut()
	unlock, err := files{root: dir}.lock()
	if err != nil {
		return err
	}
	defer unlock()
	where := &locator{foreign: true, coordinators: func() []string { return []string{os.Getenv("COORDINATOR")} }}
	return New(Parts{
		Machine: machine, Key: key, DataDir: dir, Coordinator: fileCoordinator{dir: dir}, Runtime: run, Planes: planes, Address: where.Address,
	}, log).Run(ctx)
}

// newContainerMachine is a machine whose agent will be a container.
func newContainerMachine(t *testing.T) *realWorld {
	w := newMachine(t, containerSeed)
	w.planes.sockets = filepath.Join(w.dir, "run")
	buildAgentImage(t)
	t.Cleanup(func() {
		shell(t, "docker ps -aq --filter label=raylink.machine="+string(w.machine)+" | xargs -r docker rm -f")
		shell(t, "docker rmi -f "+containerImage)
	})
	w.stop = func() { shell(t, "docker rm -f raylink-agent-test") }
	t.Cleanup(func() { w.stop() })
	address := shell(t, "ip -4 -o route get 192.0.2.1 | sed 's/.* src \\([0-9.]*\\).*/\\1/'") // of the host, on its way out
	w.address = netip.MustParseAddr(address)
	w.start = func() {
		shell(t, fmt.Sprintf("docker run -d --name raylink-agent-test --pid=host --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun "+
			"-e COORDINATOR=https://%[1]s:7443 -v /var/run/docker.sock:/var/run/docker.sock -v %[2]s:%[2]s %[3]s agent %[2]s", address, w.dir, containerImage))
	}
	return w
}

// TestRealLifeInAContainer is the form of a supplier's one command: the agent in a container that has the engine's socket. The same life,
// and each time that the agent is replaced its container is killed.
func TestRealLifeInAContainer(t *testing.T) {
	w := newContainerMachine(t)
	w.relay()
	w.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(shell(t, "docker logs --tail 60 raylink-agent-test 2>&1"))
		}
	})
	w.live()
}

// relay carries orders and reports between the test's coordinator and the files.
func (w *realWorld) relay() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	w.t.Cleanup(func() { cancel(); <-done; <-done })
	go func() {
		defer func() { done <- struct{}{} }()
		for revision := ""; ; {
			a, next, err := w.coordinator.Assignment(ctx, revision)
			if err != nil {
				return
			}
			if revision = next; revision != "" {
				if err := save(filepath.Join(w.dir, "orders.json"), a); err != nil {
					w.t.Error(err)
				}
			}
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for last := (fs.FileInfo)(nil); ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			info, err := os.Stat(filepath.Join(w.dir, "report.json"))
			if err != nil || last != nil && os.SameFile(info, last) && info.ModTime().Equal(last.ModTime()) {
				continue
			}
			last = info
			var report wire.AgentReport
			if err := load(filepath.Join(w.dir, "report.json"), &report); err == nil {
				_ = w.coordinator.Report(ctx, report) // in memory, never refused here
			}
		}
	}()
}

// buildAgentImage puts this test binary where the raylink binary is in the worker image.
func buildAgentImage(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shell(t, fmt.Sprintf("cp %s %s/raylink && chmod 755 %s/raylink", self, dir, dir))
	text := "FROM " + realImage + "\nCOPY raylink /usr/local/bin/raylink\nENTRYPOINT [\"/usr/local/bin/raylink\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, "docker build -q -t "+containerImage+" "+dir)
}

func shell(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

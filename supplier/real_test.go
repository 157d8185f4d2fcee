package supplier

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
	"raylink/supplier/dataplane"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
	"raylink/supplier/runtime/process"
)

const realImage = "raylink/worker:2.60.0-py311"

// TestMain lets this test binary be the data plane, and what a lease without Docker is made of, as the raylink binary is in earnest.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == process.Verb {
		code, err := process.Stage(context.Background(), os.Args[2], os.Args[3])
		if err != nil {
			slog.Error("a stage ended", "stage", os.Args[2], "error", err)
		}
		os.Exit(code)
	}
	if len(os.Args) == 4 && os.Args[1] == "dataplane" {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		config, err := dataplane.ReadConfig(os.Args[3])
		if err == nil {
			err = dataplane.Run(context.Background(), config, os.Stdin, log)
		}
		if err != nil {
			log.Error("the data plane ended", "error", err)
		}
		os.Exit(dataplane.ExitCode(err))
	}
	inContainer := map[string]func(string) error{"agent": agentInContainer, "uninstall": uninstallInContainer}
	if len(os.Args) == 3 && inContainer[os.Args[1]] != nil {
		if err := inContainer[os.Args[1]](os.Args[2]); err != nil {
			slog.Error("it ended", "verb", os.Args[1], "error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// realWorld is this very machine: its Docker engine, its namespaces, one agent.
type realWorld struct {
	t           *testing.T
	dir         string
	key         ed25519.PrivateKey
	machine     raylink.MachineID
	coordinator *coordinator
	run         runtime.Runtime
	planes      *processPlanes
	address     netip.Addr // that the agent is to give out
	start, stop func()
	kill        func(raylink.LeaseID) // ends a lease's first process, behind the agent's back
}

// needReal skips a test where there is nothing real to test with.
func needReal(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs root, a Docker engine and the worker image (make image): set RAYLINK_REAL=1")
	}
}

func newMachine(t *testing.T, seed byte) *realWorld {
	needReal(t)
	w := &realWorld{t: t, dir: t.TempDir(), coordinator: newCoordinator(), key: testKey(seed)}
	w.address = netip.MustParseAddr("127.0.0.1")
	w.machine = identity.MachineID(w.key.Public().(ed25519.PublicKey))
	engine, err := docker.Open(t.Context(), w.machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	w.run, w.kill = engine, func(lease raylink.LeaseID) { shell(t, "docker kill "+docker.Name(lease)) }
	w.planes = &processPlanes{files: files{root: w.dir}, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	return w
}

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
}

// newRealWorld is a machine whose agent is this very process.
func newRealWorld(t *testing.T, seed byte) *realWorld { return newMachine(t, seed).here() }

// here begins the agent in this very process.
func (w *realWorld) here() *realWorld {
	t := w.t
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	t.Cleanup(func() {
		w.stop()
		if _, err := os.Stat(w.dir); os.IsNotExist(err) {
			return // it was uninstalled
		}
		if err := removeAll(context.Background(), files{root: w.dir}, w.run, w.planes, log); err != nil {
			t.Error(err)
		}
	})
	w.start = func() { w.startHere(log) }
	w.start()
	return w
}

func (w *realWorld) startHere(log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	agent := New(Parts{
		Machine: w.machine, Key: w.key, DataDir: w.dir, Coordinator: w.coordinator, Runtime: w.run, Planes: w.planes,
		Address: func() (netip.Addr, error) { return w.address, nil }, Disk: realDisk{},
	}, log)
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the agent ended with %v", err)
		}
		w.stop = func() {}
	}
}

// within waits for something of the real world, and gives how long it took.
func (w *realWorld) within(limit time.Duration, what string, holds func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			w.t.Fatalf("after %v still not: %s; reported are head %+v, worker %+v", limit, what, w.coordinator.lease(head), w.coordinator.lease(worker))
		}
		<-time.After(20 * time.Millisecond)
	}
	took := time.Since(began)
	w.t.Logf("%s after %v", what, took.Round(time.Millisecond))
	return took
}

func (w *realWorld) stage(stage raylink.Stage) {
	w.t.Helper()
	w.within(30*time.Second, "both at "+string(stage), func() bool {
		return w.coordinator.lease(head).Stage == stage && w.coordinator.lease(worker).Stage == stage
	})
}

// The head serves a counter over the overlay, and the worker writes down each answer.
const (
	serve = `import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("100.64.1.2", 8000), H).serve_forever()`
	ask = `import time, urllib.request
n = 0
while True:
    try:
        assert urllib.request.urlopen("http://100.64.1.2:8000", timeout=1).read() == b"ok"
        n += 1
        open("/raylink/session/beat.new", "w").write(str(n))
        import os; os.rename("/raylink/session/beat.new", "/raylink/session/beat")
    except OSError as e: print(e, flush=True)
    time.sleep(0.1)`
)

func (w *realWorld) order(want raylink.Want) []wire.LeaseOrder {
	fake := &world{t: w.t, coordinator: w.coordinator}
	peersOf := func(id raylink.LeaseID) []raylink.LeaseID {
		if want == raylink.WantMesh || want == raylink.WantEnd {
			return nil
		}
		if id == head {
			return []raylink.LeaseID{worker}
		}
		return []raylink.LeaseID{head}
	}
	orders := []wire.LeaseOrder{fake.order(head, want, peersOf(head)...), fake.order(worker, want, peersOf(worker)...)}
	for i, script := range []string{serve, leave + ask} {
		orders[i].Image, orders[i].Command = realImage, []string{"python3", "-c", script}
		orders[i].Limits = raylink.Resources{CPU: raylink.Unit / 2, Memory: 256 << 20}
	}
	return orders
}

// beats is how often the worker heard the head.
func (w *realWorld) beats() int {
	raw, err := os.ReadFile(filepath.Join(files{root: w.dir}.node(worker), "session", "beat"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil {
		w.t.Errorf("the worker wrote %q", raw)
	}
	return n
}

func (w *realWorld) beatsAgain(limit time.Duration, why string) time.Duration {
	w.t.Helper()
	before := w.beats()
	return w.within(limit, why, func() bool { return w.beats() > before+2 })
}

func (w *realWorld) pid(lease raylink.LeaseID) int {
	all, err := w.run.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, one := range all {
		if one.Lease == lease {
			return one.Pid
		}
	}
	return 0
}

func (w *realWorld) planeStatus(lease raylink.LeaseID) dataplane.Status {
	status, err := dataplane.Connect(w.planes.socket(lease)).Status(w.t.Context())
	if err != nil {
		w.t.Fatalf("the data plane of %s: %v", lease, err)
	}
	return status
}

func TestRealLife(t *testing.T) { newRealWorld(t, 1).live() }

// live is a cluster's whole life, with all that may befall it.
func (w *realWorld) live() {
	t := w.t
	w.coordinator.order(w.order(raylink.WantMesh)...)
	w.stage(raylink.StageMesh)
	if got := w.coordinator.lease(head).Endpoint.Addr(); got != w.address {
		t.Errorf("the agent gives out %s, wanted %s", got, w.address)
	}
	w.coordinator.order(w.order(raylink.WantPreflight)...)
	w.stage(raylink.StagePreflight)
	w.coordinator.order(w.order(raylink.WantRun)...)
	w.stage(raylink.StageRunning)
	w.beatsAgain(15*time.Second, "the worker hears the head")

	t.Run("the stock tool reads a lease's device", w.wgReads)
	t.Run("a data plane is killed", w.planeKilled)
	t.Run("the agent is replaced", w.agentReplaced)
	t.Run("a data plane stands still", w.planeFrozen)
	t.Run("the head's container is killed", w.headKilled)

	if left, err := os.ReadFile(filepath.Join(files{root: w.dir}.node(worker), "session", "left")); err != nil || strings.Count(string(left), "\n") < 5 {
		t.Errorf("the worker could leave something only at %s (%v)", left, err)
	}
	w.coordinator.order(w.order(raylink.WantEnd)...)
	w.stage(raylink.StageGone)
	w.coordinator.order()
	w.within(5*time.Second, "nothing is left", func() bool {
		left, err := w.run.List(t.Context())
		dirs, errDirs := files{root: w.dir}.list()
		_, errSocket := os.Stat(w.planes.socket(head) + ".lock")
		return err == nil && errDirs == nil && len(left) == 0 && len(dirs) == 0 && os.IsNotExist(errSocket)
	})
	w.nextTenant()
}

// wgReads: the stock `wg` shows the owner of a machine what a lease's device is and whom it takes.
func (w *realWorld) wgReads(t *testing.T) {
	if w.planes.sockets != "" {
		t.Skip("a data plane in a container has its socket in the agent's directory")
	}
	own, peer := w.planeStatus(head), w.planeStatus(worker)
	shown := shell(t, "wg show "+overlay.DeviceName(string(head)))
	for _, want := range []string{"public key: " + own.PublicKey.String(), fmt.Sprint("listening port: ", own.Port), "peer: " + peer.PublicKey.String(), fmt.Sprintf("allowed ips: %s/32", peer.Address.Addr())} {
		if !strings.Contains(shown, want) {
			t.Errorf("wg does not show %q:\n%s", want, shown)
		}
	}
}

func (w *realWorld) planeKilled(t *testing.T) {
	before, container := w.planeStatus(worker), w.pid(worker)
	if err := unix.Kill(before.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if took := w.beatsAgain(15*time.Second, "the worker hears the head again"); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	after := w.planeStatus(worker)
	if after.Pid == before.Pid || after.PublicKey != before.PublicKey || after.Port != before.Port || w.pid(worker) != container {
		t.Errorf("the data plane went from %+v to %+v, the container from %d to %d", before, after, container, w.pid(worker))
	}
}

func (w *realWorld) agentReplaced(t *testing.T) {
	plane, container := w.planeStatus(head), w.pid(head)
	w.stop()
	w.beatsAgain(5*time.Second, "without an agent the worker hears the head")
	w.start()
	heard := func() int { w.coordinator.mu.Lock(); defer w.coordinator.mu.Unlock(); return w.coordinator.heard }
	before := heard()
	w.within(10*time.Second, "the new agent reports", func() bool { return heard() > before+1 })
	w.stage(raylink.StageRunning)
	if now := w.planeStatus(head); now.Pid != plane.Pid || w.pid(head) != container {
		t.Errorf("the new agent did not adopt: data plane %d became %d, container %d became %d", plane.Pid, now.Pid, container, w.pid(head))
	}
	if err := unix.Kill(plane.Pid, unix.SIGKILL); err != nil { // the new agent has the key, read back from the old data plane
		t.Fatal(err)
	}
	w.within(10*time.Second, "another data plane of the head", func() bool {
		now, err := dataplane.Connect(w.planes.socket(head)).Status(t.Context())
		return err == nil && now.Pid != plane.Pid && now.PublicKey == plane.PublicKey && now.Port == plane.Port
	})
	w.beatsAgain(15*time.Second, "the worker hears the head again")
}

func (w *realWorld) planeFrozen(t *testing.T) {
	before := w.planeStatus(worker)
	if err := unix.Kill(before.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(4 * time.Second) // longer than any look; the agent must not take it for dead
	if err := unix.Kill(before.Pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.beatsAgain(15*time.Second, "the worker hears the head again")
	if now := w.planeStatus(worker); now.Pid != before.Pid {
		t.Errorf("a data plane that stood still for a moment was replaced")
	}
}

func (w *realWorld) headKilled(t *testing.T) {
	plane, container, other := w.planeStatus(head), w.pid(head), w.pid(worker)
	w.kill(head)
	w.within(15*time.Second, "the head runs again", func() bool {
		r := w.coordinator.lease(head)
		return r.Stage == raylink.StageRunning && r.Restarts == 1
	})
	w.beatsAgain(15*time.Second, "the worker hears the head again")
	now := w.planeStatus(head)
	if now.PublicKey != plane.PublicKey || now.Port != plane.Port || now.Address != plane.Address || now.ContainerPid == container || w.pid(worker) != other {
		t.Errorf("the head's data plane went from %+v to %+v", plane, now)
	}
}

// TestRealRefusal is about what a real engine says when it cannot.
func TestRealRefusal(t *testing.T) {
	w := newRealWorld(t, 2)
	orders := w.order(raylink.WantMesh)
	orders[0].Image = "raylink/nothing:at-all"
	w.coordinator.order(orders[0])
	w.within(30*time.Second, "a failure that says what to do", func() bool {
		f := w.coordinator.lease(head).Failure
		return f != nil && f.Stage == "image" && strings.Contains(f.Hint, "make image")
	})
	orders[1].Command = []string{"sh", "-c", "echo no rays today; exit 3"}
	orders[1].Want = raylink.WantRun
	w.coordinator.order(orders[1])
	w.within(30*time.Second, "a container that exits at once fails with its last words", func() bool {
		f := w.coordinator.lease(worker).Failure
		return f != nil && f.Stage == "workers" && strings.Contains(f.Reason, "no rays today")
	})
}

// TestRealIsolation: an ended lease's peer is dead at once, and what the tenant sees is lo and the overlay alone.
func TestRealIsolation(t *testing.T) {
	w := newMachine(t, 3)
	w.address = ownAddresses(t)[0] // not the loopback's, which the tenant has too: the encrypted packets go where he must not come
	w.here()
	w.coordinator.order(w.order(raylink.WantMesh)...)
	w.stage(raylink.StageMesh)
	w.coordinator.order(w.order(raylink.WantPreflight)...)
	w.stage(raylink.StagePreflight)
	w.coordinator.order(w.order(raylink.WantRun)...)
	w.stage(raylink.StageRunning)
	w.beatsAgain(15*time.Second, "the worker hears the head")
	w.seesNothing(worker)
	alone := w.order(raylink.WantRun)
	alone[0].Mesh.Peers = []overlay.Peer{} // the worker's lease has ended for the head
	alone[1].Mesh.Peers = slices.Clone(alone[1].Mesh.Peers)
	w.coordinator.order(alone...)
	w.within(5*time.Second, "the head's mesh has no peer", func() bool { return len(w.planeStatus(head).Peers) == 0 })
	before := w.beats()
	<-time.After(1500 * time.Millisecond)
	if now := w.beats(); now > before+1 { // one may have been under way
		t.Errorf("a peer that was removed was heard %d times more", now-before)
	}
}

// ownAddresses are the addresses that this machine is reached by, that of Docker's bridge first.
func ownAddresses(t *testing.T) []netip.Addr {
	t.Helper()
	bridge, err := net.InterfaceByName("docker0")
	if err != nil {
		t.Fatalf("Docker's bridge: %v", err)
	}
	first, err := bridge.Addrs()
	if err != nil || len(first) == 0 {
		t.Fatalf("Docker's bridge has no address: %v", err)
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var list []netip.Addr
	for _, a := range append(first, all...) {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if one := p.Addr(); one.IsGlobalUnicast() && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

// knock tries to reach each address and port, and says how that ended.
const knock = `
import socket, sys
print(sorted(name for _, name in socket.if_nameindex()))
for target in sys.argv[1:]:
    kind, host, port = target.split(",")
    try:
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        s.settimeout(2); s.connect((host, int(port))); s.send(b"anybody there?"); print(target, "reached")
    except OSError as e: print(target, e.strerror or e)`

// seesNothing dials, from inside a lease whose overlay is up, whatever of the machine is there to be reached: a server on every address of its own, and the
// ends of the encrypted tunnels, its own and its peer's. Outside all of them are reached in the same way. And the cloud's metadata address, and the Internet.
func (w *realWorld) seesNothing(lease raylink.LeaseID) {
	t := w.t
	t.Helper()
	server, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var targets []string
	for _, host := range ownAddresses(t) {
		targets = append(targets, fmt.Sprintf("tcp,%s,%d", host, server.Addr().(*net.TCPAddr).Port))
	}
	for _, id := range []raylink.LeaseID{head, worker} {
		end := w.coordinator.lease(id).Endpoint
		if end.Addr() != w.address || end.Port() == 0 {
			t.Fatalf("the tunnel of %s ends at %s", id, end)
		}
		targets = append(targets, fmt.Sprintf("udp,%s,%d", end.Addr(), end.Port()))
	}
	if out, err := exec.CommandContext(t.Context(), "python3", append([]string{"-c", knock}, targets...)...).CombinedOutput(); err != nil || strings.Count(string(out), " reached\n") != len(targets) {
		t.Fatalf("not even outside all is reached (%v), so that inside nothing is shown: %s", err, out)
	}
	targets = append(targets, "tcp,169.254.169.254,80", "tcp,192.0.2.1,80")
	// By the host's own Python: `docker exec` does not work under an engine that could not pivot, as in a chroot.
	pid := shell(t, "docker inspect -f '{{.State.Pid}}' "+docker.Name(lease))
	out, err := exec.CommandContext(t.Context(), "nsenter", append([]string{"-t", pid, "-n", "python3", "-c", knock}, targets...)...).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "['lo', 'rl0']\n") {
		t.Errorf("inside (%v): %s", err, out)
	}
	for _, target := range targets {
		v6 := strings.Contains(target, ":") && strings.Contains(string(out), target+" Cannot assign requested address\n")
		if !v6 && !strings.Contains(string(out), target+" Network is unreachable\n") {
			t.Errorf("%s from inside the lease: %s", target, out)
		}
	}
}

package supplier

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
	"raylink/supplier/image"
	"raylink/supplier/runtime/scripted"
)

const (
	machine  = raylink.MachineID("m-aaaaaaaaaa")
	head     = raylink.LeaseID("l-aaaaaaaaaa")
	worker   = raylink.LeaseID("l-bbbbbbbbbb")
	imageRef = "raylink/worker:test"
)

// coordinator is a group of coordinators in memory.
type coordinator struct {
	mu       sync.Mutex
	revision int
	current  wire.Assignment
	fresh    chan struct{}
	report   wire.AgentReport
	keys     []string // that the network signs images with
	every    int64    // seconds between reports of an agent without leases
	heard    int
	tried    int // reports that came, taken or not
	down     bool
}

func newCoordinator() *coordinator { return &coordinator{fresh: make(chan struct{})} }

func (c *coordinator) order(orders ...wire.LeaseOrder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision++
	c.current = wire.Assignment{Revision: fmt.Sprint(c.revision), Leases: orders, ImageKeys: c.keys, ReportSeconds: c.every}
	close(c.fresh)
	c.fresh = make(chan struct{})
}

func (c *coordinator) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *coordinator) Assignment(ctx context.Context, revision string) (wire.Assignment, string, error) {
	for {
		c.mu.Lock()
		current, fresh, down := c.current, c.fresh, c.down
		c.mu.Unlock()
		if down {
			return wire.Assignment{}, "", errors.New("nobody answers")
		}
		if current.Revision != "" && current.Revision != revision {
			return current, current.Revision, nil
		}
		select {
		case <-fresh:
		case <-time.After(25 * time.Second):
			return current, current.Revision, nil
		case <-ctx.Done():
			return wire.Assignment{}, "", ctx.Err()
		}
	}
}

func (c *coordinator) Report(_ context.Context, report wire.AgentReport) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried++; c.down {
		return errors.New("nobody answers")
	}
	c.report, c.heard = report, c.heard+1
	return nil
}

func (c *coordinator) lease(id raylink.LeaseID) wire.LeaseReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.report.Leases {
		if l.Lease == id {
			return l
		}
	}
	return wire.LeaseReport{}
}

// world is one machine with its agent, in a bubble.
type world struct {
	t           *testing.T
	dir         string
	key         ed25519.PrivateKey
	host        *scripted.Host
	coordinator *coordinator
	trust       image.Policy
	known       []string
	wipe        Wiper
	users       GPUUsers
	watch       GPUWatcher
	readings    GPUReadings
	machine     *raylink.Host
	noEgress    bool
	disk        Disk
	log         io.Writer // the agent's; read it when the agent is stopped
	stop        func()
}

func bubble(t *testing.T, f func(w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, key: ed25519.NewKeyFromSeed(make([]byte, 32)), host: scripted.NewHost(imageRef), coordinator: newCoordinator(), log: io.Discard,
			users: func(context.Context, string) ([]int, error) { return nil, nil }}
		w.start()
		defer func() { w.stop() }()
		f(w)
	})
}

// start begins an agent. stop ends it as SIGKILL does, but for what the test's own process holds: nothing on the machine is touched.
func (w *world) start() {
	ctx, cancel := context.WithCancel(w.t.Context())
	agent := New(Parts{
		Machine: machine, Key: w.key, DataDir: w.dir, Coordinator: w.coordinator,
		Offer:   raylink.Offer{Arch: "amd64", Resources: raylink.Resources{CPU: 2 * raylink.Unit, Memory: 4 << 30}},
		Runtime: w.host.For(machine), Planes: w.host.Planes(machine), Trust: w.trust, Known: w.known, Wipe: w.wipe, GPUUsers: w.users, WatchGPUs: w.watch, GPUReadings: w.readings, Host: w.machine, NoEgress: w.noEgress,
		Disk: w.disk, LeaseDisk: 64 << 30, DiskFloor: 5 << 30,
		Address: func() (netip.Addr, error) { return netip.MustParseAddr("192.0.2.7"), nil },
	}, slog.New(slog.NewTextHandler(w.log, nil)))
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

// until lets virtual time pass until a condition holds.
func (w *world) until(what string, within time.Duration, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for {
		synctest.Wait()
		if holds() {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("after %v still not: %s; reported are head %+v, worker %+v", within, what, w.coordinator.lease(head), w.coordinator.lease(worker))
		}
		w.pass(50 * time.Millisecond)
	}
}

// pass lets virtual time pass.
func (w *world) pass(d time.Duration) { <-time.After(d) }

func (w *world) untilStage(id raylink.LeaseID, stage raylink.Stage) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s at %s", id, stage), 30*time.Second, func() bool { return w.coordinator.lease(id).Stage == stage })
}

func address(id raylink.LeaseID) netip.Addr {
	if id == head {
		return netip.MustParseAddr("100.64.1.2")
	}
	return netip.MustParseAddr("100.64.1.10")
}

// order is what a coordinator says of a lease; peers are those whose keys it knows.
func (w *world) order(id raylink.LeaseID, want raylink.Want, peers ...raylink.LeaseID) wire.LeaseOrder {
	role, node := raylink.NodeWorker, "first-small-0"
	if id == head {
		role, node = raylink.NodeHead, "first-headgroup-0"
	}
	mesh := overlay.Mesh{Address: netip.PrefixFrom(address(id), 24), MTU: overlay.MTUDirect, Peers: []overlay.Peer{}}
	for _, peer := range peers {
		r := w.coordinator.lease(peer)
		key, err := overlay.ParseKey(r.PublicKey)
		if err != nil {
			w.t.Fatalf("%s has reported no key: %+v", peer, r)
		}
		mesh.Peers = append(mesh.Peers, overlay.Peer{Name: string(peer), PublicKey: key, Address: address(peer), Endpoint: r.Endpoint})
	}
	return wire.LeaseOrder{
		Lease: id, Cluster: "c-aaaaaaaaaa", Node: node, Role: role, Want: want, Image: imageRef,
		Limits: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Mesh: mesh,
		Command: []string{"ray", "start", "--block"}, Env: map[string]string{"RAY_AUTH_MODE": "token"}, RayToken: "the ray token",
	}
}

// bringUp takes head and worker to a running Ray, ready at once, and returns the orders in force.
func (w *world) bringUp() (orders []wire.LeaseOrder) {
	w.t.Helper()
	w.coordinator.order(w.order(head, raylink.WantMesh), w.order(worker, raylink.WantMesh))
	w.untilStage(head, raylink.StageMesh)
	w.untilStage(worker, raylink.StageMesh)
	w.coordinator.order(w.order(head, raylink.WantPreflight, worker), w.order(worker, raylink.WantPreflight, head))
	w.untilStage(head, raylink.StagePreflight)
	w.untilStage(worker, raylink.StagePreflight)
	if w.hasGo(head) || w.hasGo(worker) {
		w.t.Fatal("Ray was let go before it was ordered")
	}
	ready := time.Now().UTC()
	orders = []wire.LeaseOrder{w.order(head, raylink.WantRun, worker), w.order(worker, raylink.WantRun, head)}
	for i := range orders {
		orders[i].ReadyAt, orders[i].RayNode = &ready, "ray node "+orders[i].Node
	}
	w.coordinator.order(orders...)
	w.untilStage(head, raylink.StageRunning)
	w.untilStage(worker, raylink.StageRunning)
	return orders
}

func (w *world) hasGo(id raylink.LeaseID) bool { return files{root: w.dir}.hasGo(id) }

func (w *world) ordinals(id raylink.LeaseID) string {
	var out []string
	for _, r := range w.coordinator.lease(id).Minutes {
		if !identity.Verify(w.key.Public().(ed25519.PublicKey), identity.MinuteBytes(string(id), r.Ordinal, r.Seconds, r.RayNode), r.Signature) {
			w.t.Errorf("minute %d of %s is not signed by the machine", r.Ordinal, id)
		}
		out = append(out, fmt.Sprintf("%d:%d", r.Ordinal, r.Seconds))
	}
	return strings.Join(out, " ")
}

func TestWholeLife(t *testing.T) {
	bubble(t, func(w *world) {
		orders := w.bringUp()
		r := w.coordinator.lease(head)
		if !identity.Verify(w.key.Public().(ed25519.PublicKey), identity.OverlayKeyBytes(string(head), r.PublicKey), r.Signature) {
			t.Error("the overlay key is not signed by the machine")
		}
		status, _ := w.host.PlaneStatus(head)
		if r.Endpoint != netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), status.Port) {
			t.Errorf("the endpoint is %s, the data plane's port %d", r.Endpoint, status.Port)
		}
		spec, _ := w.host.Spec(head)
		if spec.CPU != raylink.Unit || spec.Memory != 1<<30 || spec.ShmBytes != ray.ShmBytes(1<<30) || spec.Hostname != "first-headgroup-0" || spec.Hosts["first-headgroup-0"] != "100.64.1.2" {
			t.Errorf("the container was started with %+v", spec)
		}
		token := filepath.Join(spec.Dir, "token")
		if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o400 {
			t.Errorf("the token file: %v, %v", info, err)
		}
		script, err := os.ReadFile(filepath.Join(spec.Dir, "start.sh"))
		if err != nil || !strings.Contains(string(script), "exec 'ray' 'start' '--block'") || strings.Contains(string(script), "the ray token") {
			t.Errorf("the start script (%v) is:\n%s", err, script)
		}
		w.until("two minutes", 3*time.Minute, func() bool { return w.ordinals(head) == "0:60 1:60" })
		for i := range orders {
			orders[i].SettledThrough = 2
		}
		w.coordinator.order(orders...)
		w.until("settled minutes are forgotten", 5*time.Second, func() bool { return w.ordinals(head) == "" })
		w.coordinator.order(w.order(head, raylink.WantEnd), w.order(worker, raylink.WantEnd))
		w.untilStage(head, raylink.StageGone)
		w.untilStage(worker, raylink.StageGone)
		w.coordinator.order()
		w.until("an empty directory", 5*time.Second, func() bool { return w.empty() })
	})
}

// empty says that nothing of any lease is left on the machine.
func (w *world) empty() bool {
	present, _ := w.host.Count()
	left, err := files{root: w.dir}.list()
	_, plane := w.host.PlaneStatus(head)
	return present == 0 && err == nil && len(left) == 0 && !plane
}

func TestANewAgentAdoptsWhatRuns(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		before, _ := w.host.PlaneStatus(head)
		w.until("half a minute", time.Minute, func() bool { return time.Now().Second() == 30 })
		w.stop()
		w.pass(3 * time.Second)
		w.coordinator.setDown(true) // and nobody tells it what to do
		w.start()
		w.pass(20 * time.Second)
		w.coordinator.setDown(false)
		w.until("a whole first minute", 2*time.Minute, func() bool { return w.ordinals(head) == "0:60" && w.ordinals(worker) == "0:60" })
		if _, started := w.host.Count(); started != 2 {
			t.Errorf("%d containers were started, wanted the first two alone", started)
		}
		if after, _ := w.host.PlaneStatus(head); after != before {
			t.Errorf("the data plane went from %+v to %+v", before, after)
		}
		w.host.KillPlane(head) // the key was read again: the next one has it
		w.until("a data plane with the same key", 3*time.Second, func() bool {
			after, ok := w.host.PlaneStatus(head)
			return ok && after == before
		})
	})
}

func TestADeadDataPlaneIsReplacedWithinASecond(t *testing.T) {
	bubble(t, func(w *world) {
		orders := w.bringUp()
		before, _ := w.host.PlaneStatus(worker)
		w.host.KillPlane(worker)
		w.until("the same data plane again", 1500*time.Millisecond, func() bool {
			after, ok := w.host.PlaneStatus(worker)
			mesh, _ := w.host.Mesh(worker)
			return ok && after == before && slices.Equal(mesh.Peers, orders[1].Mesh.Peers)
		})
		if _, started := w.host.Count(); started != 2 || !w.hasGo(worker) {
			t.Error("the container was disturbed")
		}
	})
}

func TestAFrozenDataPlaneEarnsNothing(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		w.host.FreezePlane(worker, true)
		w.until("a minute", 2*time.Minute, func() bool { return len(w.coordinator.lease(worker).Minutes) == 1 })
		if r := w.coordinator.lease(worker).Minutes[0]; r.Seconds > 5 {
			t.Errorf("a lease whose data plane stood still signed %d seconds", r.Seconds)
		}
		if got := w.ordinals(head); got != "0:60" {
			t.Errorf("the head's minutes are %s", got)
		}
		w.host.FreezePlane(worker, false)
		w.until("it earns again", 3*time.Minute, func() bool { return strings.HasSuffix(w.ordinals(worker), "2:60") })
	})
}

func TestTheHeadIsRestartedInPlace(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		before, _ := w.host.PlaneStatus(head)
		spec, _ := w.host.Spec(head)
		log := filepath.Join(spec.Dir, "session", "kept")
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.host.Exit(head, 137)
		w.until("it runs again", 4*time.Second, func() bool {
			r := w.coordinator.lease(head)
			return r.Stage == raylink.StageRunning && r.Restarts == 1
		})
		after, _ := w.host.PlaneStatus(head)
		if after.Key != before.Key || after.Port != before.Port || after.Attached == before.Attached {
			t.Errorf("the data plane went from %+v to %+v, wanted key and port kept in another namespace", before, after)
		}
		if _, err := os.Stat(log); err != nil {
			t.Errorf("the session directory was not kept: %v", err)
		}
		if w.coordinator.lease(worker).Restarts != 0 {
			t.Error("the worker was restarted")
		}
	})
}

func TestAContainerThatExitsAgainAndAgainFails(t *testing.T) {
	bubble(t, func(w *world) {
		w.coordinator.order(w.order(head, raylink.WantRun))
		for range exitsMax {
			w.until("it runs", 30*time.Second, func() bool { return w.hasGo(head) && w.host.Exit(head, 2, "ray: no such option") })
		}
		w.until("a failure", 10*time.Second, func() bool { return w.coordinator.lease(head).Failure != nil })
		f := w.coordinator.lease(head).Failure
		if f.Stage != "head" || !strings.Contains(f.Reason, "no such option") || !strings.Contains(f.Reason, "code 2") || f.Hint == "" {
			t.Errorf("the failure is %+v", f)
		}
		_, started := w.host.Count()
		w.pass(time.Minute)
		if _, later := w.host.Count(); later != started {
			t.Error("what was given up is started again")
		}
		w.coordinator.order(w.order(head, raylink.WantEnd))
		w.untilStage(head, raylink.StageGone)
	})
}

func TestAMissingImageFailsWithAHint(t *testing.T) {
	bubble(t, func(w *world) {
		order := w.order(head, raylink.WantMesh)
		order.Image = "raylink/worker:none"
		w.coordinator.order(order)
		w.until("a failure", 10*time.Second, func() bool { return w.coordinator.lease(head).Failure != nil })
		if f := w.coordinator.lease(head).Failure; f.Stage != "image" || !strings.Contains(f.Hint, "make image") && !strings.Contains(f.Hint, "AddImage") {
			t.Errorf("the failure is %+v", f)
		}
	})
}

func TestPassingTroubleIsOvercome(t *testing.T) {
	bubble(t, func(w *world) {
		bad := errors.New("scripted")
		w.host.Fail("start", bad, bad)
		w.host.Fail("start-plane", bad, bad, bad)
		w.host.Fail("list", bad, nil, bad, bad)
		w.bringUp()
		if f := w.coordinator.lease(head).Failure; f != nil {
			t.Errorf("a trouble that passed is reported as %+v", f)
		}
	})
}

func TestThePreflightNamesWhoIsBlocked(t *testing.T) {
	bubble(t, func(w *world) {
		w.coordinator.order(w.order(head, raylink.WantMesh), w.order(worker, raylink.WantMesh))
		w.untilStage(head, raylink.StageMesh)
		w.untilStage(worker, raylink.StageMesh)
		w.host.Block(address(worker), true)
		w.coordinator.order(w.order(head, raylink.WantPreflight, worker), w.order(worker, raylink.WantPreflight, head))
		w.until("the pair is named", 5*time.Second, func() bool {
			return slices.Equal(w.coordinator.lease(head).Blocked, []string{"100.64.1.10"}) && slices.Equal(w.coordinator.lease(worker).Blocked, []string{"100.64.1.2"})
		})
		w.host.Block(address(worker), false)
		w.untilStage(head, raylink.StagePreflight)
		if b := w.coordinator.lease(head).Blocked; len(b) != 0 {
			t.Errorf("still blocked: %v", b)
		}
	})
}

func TestNothingIsRemovedWithoutAWord(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		w.stop()
		if err := os.Remove(filepath.Join(w.dir, "assignment.json")); err != nil {
			t.Fatal(err)
		}
		w.coordinator.setDown(true)
		w.start()
		w.pass(time.Minute)
		if present, _ := w.host.Count(); present != 2 {
			t.Fatalf("an agent that heard no coordinator left %d of 2 containers", present)
		}
		w.coordinator.setDown(false)
		w.coordinator.order() // a real answer that names nothing
		w.until("all is removed", 30*time.Second, func() bool { return w.empty() })
	})
}

func TestOthersAreLeftAlone(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		other := w.host.For("m-bbbbbbbbbb")
		spec, _ := w.host.Spec(head)
		spec.Machine, spec.Lease = "m-bbbbbbbbbb", "l-cccccccccc"
		if _, err := other.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		w.coordinator.order()
		w.until("our own are gone", 30*time.Second, func() bool { present, _ := w.host.Count(); return present == 1 })
		if left, err := other.List(t.Context()); err != nil || len(left) != 1 || !left[0].Running {
			t.Errorf("another machine's containers are %+v (%v)", left, err)
		}
	})
}

func TestALeaseThatIsNoPath(t *testing.T) {
	bubble(t, func(w *world) {
		evil := w.order(head, raylink.WantMesh)
		evil.Lease = "../../etc"
		w.coordinator.order(evil, w.order(worker, raylink.WantMesh))
		w.untilStage(worker, raylink.StageMesh)
		if present, _ := w.host.Count(); present != 1 {
			t.Errorf("%d containers run, wanted the worker's alone", present)
		}
	})
}

func TestTheEndCallsOffAFetch(t *testing.T) {
	bubble(t, func(w *world) {
		w.host.Delay(time.Hour)
		w.coordinator.order(w.order(head, raylink.WantMesh))
		w.pass(5 * time.Second)
		w.coordinator.order(w.order(head, raylink.WantEnd))
		w.until("gone in spite of a fetch of an hour", 10*time.Second, func() bool { return w.coordinator.lease(head).Stage == raylink.StageGone })
	})
}

// Package testbed is a whole Raylink in one process and in virtual time: coordinators with real Raft over a network in memory, their real
// API, real agents on a scripted runtime, real gateways before a scripted Ray, and clients. Only sockets, containers and Ray itself are
// played. A story kills, cuts, freezes and heals; whatever it did, the same checks follow at its end.
package testbed

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/billing/money"
	"raylink/coordinator/authority"
	"raylink/coordinator/consensus/pipenet"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
	"raylink/supplier/runtime/scripted"
)

// Bed is the network of one story.
type Bed struct {
	t      *testing.T
	dir    string
	log    *slog.Logger
	host   *scripted.Host
	ray    *rays
	wiring Wiring // of the overlays
	net    *pipenet.Network
	auth   *authority.Authority

	coordinators []*coordinator // in the order of their names
	parts        map[string]*part
	machines     map[string]raylink.MachineID // by the supplier's name

	Admin, Tenant *client.Client
	history       history
	tenant        raylink.AccountID
	device        func(name string) *device // that computes for a supplier's machine; nil for none

	mu      sync.Mutex
	cuts    map[pair]bool
	weather chan struct{}     // closed when a cut is made or healed
	lies    map[string]int    // by the supplier's name: so many of its next proofs are lies
	grants  map[string]string // by their reasons: "asked", then "acknowledged"
	wait    sync.WaitGroup    // requests of API handlers
}

type pair struct{ low, high string }

func pairOf(a, b string) pair {
	if a > b {
		a, b = b, a
	}
	return pair{a, b}
}

// Run plays a story on a bed of so many coordinators ("a", "b", …), suppliers ("s1", …) and gateways ("g1", "g2") in a synctest bubble, then
// lets everything end in order and checks that nothing was lost, doubled or left over.
func Run(t *testing.T, coordinators, suppliers int, story func(b *Bed)) {
	t.Helper()
	dir := scratch(t)
	synctest.Test(t, func(t *testing.T) {
		b := New(t, dir, coordinators, suppliers)
		defer b.Close()
		story(b)
		b.End()
	})
}

// scratch is a directory in memory where the system has one: the real stores are used, and a disk would be the slowest part of the bed.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "raylink-testbed-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

const gateways = 2

// New builds the bed inside a bubble and returns when a leader hears every supplier and gateway.
func New(t *testing.T, dir string, coordinators, suppliers int) *Bed {
	t.Helper()
	b := &Bed{t: t, dir: dir, history: history{entries: map[uint64][32]byte{}}, log: slog.New(slog.DiscardHandler), host: scripted.NewHost().AnyImage(), net: pipenet.New(), parts: map[string]*part{},
		machines: map[string]raylink.MachineID{}, cuts: map[pair]bool{}, weather: make(chan struct{}), lies: map[string]int{}, grants: map[string]string{}}
	if os.Getenv("RAYLINK_LOG") != "" {
		b.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	b.ray = newRays(b)
	b.wiring.Started = b.ray.hear
	var err error
	if b.auth, err = authority.Init(dir + "/authority"); err != nil {
		t.Fatal(err)
	}
	b.found(coordinators)
	for i := range suppliers {
		b.addSupplier(fmt.Sprintf("s%d", i+1))
	}
	for i := range gateways {
		b.addGateway(fmt.Sprintf("g%d", i+1))
	}
	account, err := b.Admin.CreateAccount(b.ctx(), wire.AccountRequest{Name: "ann"})
	b.must(err)
	b.tenant = account.ID
	token, err := b.Admin.CreateToken(b.ctx(), wire.TokenRequest{Account: account.ID, Role: raylink.RoleTenant})
	b.must(err)
	b.Tenant = b.client("ann", token.Secret, "")
	b.Until("the leader hears every supplier and gateway", time.Minute, func() bool {
		status, err := b.Admin.Status(b.ctx())
		if err != nil || len(status.Gateways) != gateways {
			return false
		}
		for _, g := range status.Gateways {
			if g.LastSeen == nil {
				return false
			}
		}
		return b.Up() == suppliers
	})
	return b
}

// Close ends everything, whatever state it is in.
func (b *Bed) Close() {
	for _, p := range b.parts {
		p.kill()
	}
	b.ray.close()
	for _, c := range b.coordinators {
		c.kill()
	}
	b.wait.Wait()
}

func (b *Bed) ctx() context.Context { return b.t.Context() }

func (b *Bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%v (hint: %s)", err, raylink.AsError(err).Hint)
	}
}

// Advance lets virtual time pass.
func (b *Bed) Advance(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// Until lets virtual time pass until a condition holds, for at most so long.
func (b *Bed) Until(what string, within time.Duration, holds func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(within)
	for pause := 200 * time.Millisecond; ; pause = min(pause+pause/16, 2*time.Second) {
		synctest.Wait()
		if holds() {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("after %v still not: %s\n%s", within, what, b.describe())
		}
		b.Advance(pause)
	}
}

// At lets virtual time pass until a moment.
func (b *Bed) At(moment time.Time) { b.Advance(time.Until(moment)) }

// Leader is the name of the coordinator that leads and is none of these; it waits for one.
func (b *Bed) Leader(except ...string) string {
	b.t.Helper()
	name := ""
	b.Until("somebody leads", time.Minute, func() bool {
		for _, c := range b.coordinators {
			if !slices.Contains(except, c.id) && c.living() && c.node.IsLeader() {
				name = c.id
			}
		}
		return name != ""
	})
	return name
}

// Kill ends a coordinator, an agent or a gateway as a crash would. What an agent started runs on without it.
func (b *Bed) Kill(name string) {
	if c := b.coordinator(name); c != nil {
		c.kill()
		return
	}
	b.parts[name].kill()
}

// Restart starts what was killed again, on the disk that it left.
func (b *Bed) Restart(name string) {
	if c := b.coordinator(name); c != nil {
		c.start(false)
		return
	}
	b.parts[name].start()
}

// Cut keeps two parts from reaching each other: packets vanish.
func (b *Bed) Cut(one, other string) {
	if b.coordinator(one) != nil && b.coordinator(other) != nil {
		b.net.Cut(one, other)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cuts[pairOf(one, other)] = true
	b.stir()
}

// Isolate cuts a coordinator from all other coordinators; agents, gateways and users still reach it.
func (b *Bed) Isolate(name string) {
	for _, c := range b.coordinators {
		if c.id != name {
			b.Cut(name, c.id)
		}
	}
}

// Heal undoes every cut.
func (b *Bed) Heal() {
	b.net.HealAll()
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.cuts)
	b.stir()
}

// stir wakes who waits for the weather to change. The caller holds the lock.
func (b *Bed) stir() {
	close(b.weather)
	b.weather = make(chan struct{})
}

// Freeze makes a lease's data plane stand still, with Ray behind it unreachable; Thaw lets it go on.
func (b *Bed) Freeze(lease raylink.LeaseID) { b.freeze(lease, true) }

// Thaw lets a data plane that stood still go on.
func (b *Bed) Thaw(lease raylink.LeaseID) { b.freeze(lease, false) }

func (b *Bed) freeze(lease raylink.LeaseID, frozen bool) {
	if !b.host.FreezePlane(lease, frozen) {
		b.t.Fatalf("lease %s has no data plane", lease)
	}
}

// Sleep makes a lease's container run `sleep` instead of Ray: its agent finds it running as before, its overlay answers, and no Ray is in it.
func (b *Bed) Sleep(lease raylink.LeaseID) { b.ray.sleep(lease) }

// SetClock puts a coordinator's clock so far ahead.
func (b *Bed) SetClock(name string, ahead time.Duration) {
	b.coordinator(name).skew.Store(int64(ahead))
}

// Grant gives the tenant credit and returns the error of doing so. That an acknowledged one stays, once, is checked at the end.
func (b *Bed) Grant(ctx context.Context, amount money.Amount) error {
	b.mu.Lock()
	reason := fmt.Sprintf("grant %d", len(b.grants))
	b.grants[reason] = "asked"
	b.mu.Unlock()
	_, err := b.Admin.Grant(ctx, b.tenant, wire.GrantRequest{Amount: amount, Reason: reason})
	if err == nil {
		b.mu.Lock()
		b.grants[reason] = "acknowledged"
		b.mu.Unlock()
	}
	return err
}

// Create quotes and accepts a cluster of a head and so many workers, each of one core and 1 GiB.
func (b *Bed) Create(name string, workers int) raylink.ClusterID {
	b.t.Helper()
	id, err := b.TryCreate(name, workers)
	b.must(err)
	return id
}

// TryCreate is Create where the weather may forbid it.
func (b *Bed) TryCreate(name string, workers int) (raylink.ClusterID, error) {
	quote, err := b.Tenant.CreateQuote(b.ctx(), wire.QuoteRequest{Manifest: fmt.Sprintf(manifest, name, workers)})
	if err != nil {
		return "", fmt.Errorf("quoting %s: %w", name, err)
	}
	cluster, err := b.Tenant.CreateCluster(b.ctx(), wire.CreateRequest{Quote: quote.ID})
	if err != nil {
		return "", fmt.Errorf("creating %s: %w", name, err)
	}
	return cluster.ID, nil
}

const manifest = `
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: %s}
spec:
  rayVersion: 2.60.0
  headGroupSpec:
    rayStartParams: {}
    template: {spec: {containers: [{name: ray-head, image: "rayproject/ray:2.60.0-py311", resources: {limits: {cpu: "1", memory: 1Gi}}}]}}
  workerGroupSpecs:
    - groupName: workers
      replicas: %d
      rayStartParams: {}
      template: {spec: {containers: [{name: ray-worker, image: "rayproject/ray:2.60.0-py311", resources: {limits: {cpu: "1", memory: 1Gi}}}]}}
`

// Ready waits until a cluster is ready, and says since when it is.
func (b *Bed) Ready(id raylink.ClusterID) time.Time {
	b.t.Helper()
	b.UntilPhase(id, raylink.PhaseReady, 2*time.Minute)
	return *b.Cluster(id).ReadyAt
}

// UntilPhase waits until a cluster has come to a phase.
func (b *Bed) UntilPhase(id raylink.ClusterID, phase raylink.Phase, within time.Duration) {
	b.t.Helper()
	b.Until(fmt.Sprintf("%s is %s", id, phase), within, func() bool { return b.Cluster(id).Phase == phase })
}

// Cluster is a copy of what the group knows of a cluster.
func (b *Bed) Cluster(id raylink.ClusterID) state.Cluster {
	var c state.Cluster
	b.Read(func(s *state.State) {
		if s.Clusters[id] != nil {
			c = *s.Clusters[id]
		}
	})
	return c
}

// Leases are copies of a cluster's leases, the head first.
func (b *Bed) Leases(id raylink.ClusterID) []state.Lease {
	var leases []state.Lease
	b.Read(func(s *state.State) {
		for _, l := range s.ClusterLeases(id) {
			leases = append(leases, *l)
		}
	})
	return leases
}

// Delete asks for a cluster's end.
func (b *Bed) Delete(id raylink.ClusterID) {
	b.t.Helper()
	_, err := b.Tenant.DeleteCluster(b.ctx(), string(id))
	b.must(err)
}

// Bill is a cluster's bill.
func (b *Bed) Bill(id raylink.ClusterID) wire.Bill {
	b.t.Helper()
	bill, err := b.Tenant.Bill(b.ctx(), string(id))
	b.must(err)
	return bill
}

// Balance is what the tenant can spend, in micro-USD.
func (b *Bed) Balance() int64 {
	b.t.Helper()
	balance, err := b.Tenant.Balance(b.ctx(), "")
	b.must(err)
	return balance.Free.Of(money.USD).Minor
}

// Up is how many machines are up in the leader's eyes.
func (b *Bed) Up() int {
	machines, err := b.Admin.Machines(b.ctx())
	if err != nil {
		return 0
	}
	up := 0
	for _, m := range machines {
		if m.State == "up" {
			up++
		}
	}
	return up
}

// client is a client of the API: a user with an access token, or a machine or gateway by its name in a certificate.
func (b *Bed) client(name, token, principal string) *client.Client {
	var urls []string
	for _, c := range b.coordinators {
		urls = append(urls, c.url())
	}
	c, err := client.New(client.Config{Coordinators: urls, CAPEM: b.auth.CAPEM(), Token: token, Transport: &link{b, name, principal}})
	b.must(err)
	return c
}

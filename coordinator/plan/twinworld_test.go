package plan

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a leader's state and memory, with the machines that report to it.
type world struct {
	t        tester
	s        *state.State
	now      time.Time
	index    uint64
	seen     Seen
	machines []*host
}

// host is a machine whose agent reports, unless it is dead.
type host struct {
	name string
	dead bool
}

func newWorld(t tester) *world {
	return &world{t: t, s: state.New(), now: noon, seen: Seen{Since: noon, Machines: map[raylink.MachineID]MachineSeen{}}}
}

// id makes a valid id that can be read: the letters of name, filled up.
func id[T ~string](prefix, name string) T { return T(prefix + "-" + (name + "aaaaaaaaaa")[:10]) }

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(name string) ed25519.PublicKey  { return keyOf(name).Public().(ed25519.PublicKey) }
func machineID(name string) raylink.MachineID { return identity.MachineID(publicOf(name)) }

// apply puts commands into the log as one entry; none may be refused.
func (w *world) apply(commands ...state.Command) {
	w.t.Helper()
	var raws []json.RawMessage
	for _, c := range commands {
		raw, err := state.Encode("test", "", c)
		if err != nil {
			w.t.Fatalf("encoding %T: %v", c, err)
		}
		raws = append(raws, raw)
	}
	w.index++
	results := w.s.Apply(w.index, w.now, raws)
	if len(results) != len(raws) {
		w.t.Fatalf("entry %d is not understood: %s", w.index, raws)
	}
	for i, r := range results {
		if err := state.ReadResult(r, nil); err != nil {
			w.t.Fatalf("%s was refused: %v", raws[i], err)
		}
	}
}

func (w *world) account(name, credit string) raylink.AccountID {
	w.t.Helper()
	acc := id[raylink.AccountID]("acc", name)
	w.apply(&state.OpenAccount{ID: acc, Name: name})
	if credit != "" {
		amount, err := money.Parse(credit + " USD")
		if err != nil {
			w.t.Fatalf("%v", err)
		}
		w.apply(&state.GrantCredit{ID: "grant-" + name, Account: acc, Amount: amount, Reason: "credit"})
	}
	return acc
}

func offerOf(cores, gib int64, perCore int64) raylink.Offer {
	return raylink.Offer{Resources: raylink.Resources{CPU: cores * raylink.Unit, Memory: gib << 30}, Arch: "amd64", CPUHour: money.Rate(perCore)}
}

func (w *world) machine(name string, owner raylink.AccountID, offer raylink.Offer) *host {
	w.t.Helper()
	hash := identity.HashToken("join " + name)
	w.apply(&state.IssueJoinToken{ID: id[raylink.TokenID]("tok", name), Kind: state.JoinKindMachine, Account: owner, Hash: hash, TTL: time.Hour},
		&state.JoinMachine{TokenHash: hash, ID: machineID(name), PublicKey: identity.EncodeKey(publicOf(name)), Name: name, Offer: offer})
	h := &host{name: name}
	w.machines = append(w.machines, h)
	return h
}

// specOf is a cluster of one head and workers, each of so many cores.
func specOf(name string, workers int, cores int64) raylink.ClusterSpec {
	r := raylink.Resources{CPU: cores * raylink.Unit, Memory: 1 << 30}
	spec := raylink.ClusterSpec{Name: name, RayVersion: "2.60.0", Image: "rayproject/ray:2.60.0", Head: raylink.NodeGroup{Name: "headgroup", Replicas: 1, Resources: r}}
	if workers > 0 {
		spec.Workers = []raylink.NodeGroup{{Name: "w", Replicas: workers, Resources: r}}
	}
	return spec
}

// create places, quotes and accepts.
func (w *world) create(owner raylink.AccountID, spec raylink.ClusterSpec) *state.Cluster {
	w.t.Helper()
	w.report()
	nodes, err := Place(w.s, w.seen, w.now, spec)
	if err != nil {
		w.t.Fatalf("placing %s: %v", spec.Name, err)
	}
	c := &state.CreateCluster{ID: id[raylink.ClusterID]("c", spec.Name), Owner: owner, Quote: id[raylink.QuoteID]("q", spec.Name)}
	for i := range nodes {
		c.Leases = append(c.Leases, id[raylink.LeaseID]("l", fmt.Sprintf("%.8s%c", spec.Name+"bbbbbbbb", 'a'+i)))
	}
	w.apply(&state.MakeQuote{ID: c.Quote, Owner: owner, Spec: spec, Image: "raylink/worker", Nodes: nodes}, c)
	return w.s.Clusters[c.ID]
}

// report lets everybody alive say so.
func (w *world) report() {
	for _, h := range w.machines {
		if !h.dead {
			w.seen.Machines[machineID(h.name)] = MachineSeen{At: w.now}
		}
	}
}

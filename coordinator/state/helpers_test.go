package state

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/identity"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// world is one replica, which prepares its entries as consensus does, and a clock that they are stamped with.
type world struct {
	t     tester
	s     *State
	now   time.Time
	index uint64
	log   []json.RawMessage // one command an entry, for a second replica
	times []time.Time
}

func newWorld(t tester) *world { return &world{t: t, s: New(), now: noon} }

// id makes a valid id that can be read: the letters of name, filled up.
func id[T ~string](prefix, name string) T { return T(prefix + "-" + (name + "aaaaaaaaaa")[:10]) }

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(name string) ed25519.PublicKey { return keyOf(name).Public().(ed25519.PublicKey) }

func machineID(name string) raylink.MachineID { return identity.MachineID(publicOf(name)) }
func gatewayID(name string) raylink.GatewayID { return identity.GatewayID(publicOf(name)) }

func hashOf(name string) string { return identity.HashToken(name) }

// do applies one command as one entry, and returns its encoded result.
func (w *world) do(by, key string, c Command) json.RawMessage {
	w.t.Helper()
	raw, err := Encode(by, key, c)
	if err != nil {
		w.t.Fatalf("encoding %T: %v", c, err)
	}
	return w.apply(raw)
}

func (w *world) apply(raw json.RawMessage) json.RawMessage {
	w.t.Helper()
	w.index++
	w.log, w.times = append(w.log, raw), append(w.times, w.now)
	entry := []json.RawMessage{raw}
	w.s.Prepare(w.now, entry)
	results := w.s.Apply(w.index, w.now, entry)
	if len(results) != 1 {
		w.t.Fatalf("entry %d is not understood: %s", w.index, raw)
	}
	return results[0]
}

// try applies a command and returns its refusal.
func (w *world) try(c Command) error {
	w.t.Helper()
	return ReadResult(w.do("test", "", c), nil)
}

// must applies commands that are not refused.
func (w *world) must(list ...Command) {
	w.t.Helper()
	for _, c := range list {
		if err := w.try(c); err != nil {
			w.t.Fatalf("%T was refused: %v", c, err)
		}
	}
}

// refused wants a refusal of that code which changes nothing but clock and index.
func (w *world) refused(what string, c Command, code raylink.Code) {
	w.t.Helper()
	before := contents(w.t, w.s)
	err := w.try(c)
	var e *raylink.Error
	if !errors.As(err, &e) || e.Code != code {
		w.t.Errorf("%s: %T gives %v, want code %s", what, c, err, code)
		return
	}
	if strings.TrimSpace(e.Message) == "" {
		w.t.Errorf("%s: no message", what)
	}
	if after := contents(w.t, w.s); after != before {
		w.t.Errorf("%s: the refused %T changed the state", what, c)
	}
}

// contents is a state's text without clock and index.
func contents(t tester, s *State) string {
	t.Helper()
	bare := *s
	bare.Now, bare.Index = time.Time{}, 0
	var b bytes.Buffer
	if err := bare.Save(&b); err != nil {
		t.Fatalf("saving: %v", err)
	}
	return b.String()
}

func rate(text string) money.Rate {
	r, err := money.ParseRate(text + " USD/h")
	if err != nil {
		panic(err)
	}
	return r
}

func usd(text string) money.Amount {
	a, err := money.Parse(text + " USD")
	if err != nil {
		panic(err)
	}
	return a
}

func offerOf(cores, gib int64, perCore string) raylink.Offer {
	return raylink.Offer{Resources: raylink.Resources{CPU: cores * raylink.Unit, Memory: gib << 30}, Arch: "amd64", CPUHour: rate(perCore)}
}

// account opens one and gives it credit.
func (w *world) account(name, credit string) raylink.AccountID {
	w.t.Helper()
	acc := id[raylink.AccountID]("acc", name)
	w.must(&OpenAccount{ID: acc, Name: name})
	if credit != "" {
		w.must(&GrantCredit{ID: "grant-" + name, Account: acc, Amount: usd(credit), Reason: "to begin with"})
	}
	return acc
}

// machine lets one in with a join token of its own.
func (w *world) machine(name string, owner raylink.AccountID, offer raylink.Offer) raylink.MachineID {
	w.t.Helper()
	w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", "join"+name), Kind: JoinKindMachine, Account: owner, Hash: hashOf("join " + name), TTL: time.Hour},
		w.joinMachine(name, offer))
	return machineID(name)
}

func (w *world) joinMachine(name string, offer raylink.Offer) *JoinMachine {
	return &JoinMachine{TokenHash: hashOf("join " + name), ID: machineID(name), PublicKey: identity.EncodeKey(publicOf(name)), Name: name, Offer: offer}
}

func (w *world) gateway(name string) raylink.GatewayID {
	w.t.Helper()
	w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", "join"+name), Kind: JoinKindGateway, Hash: hashOf("join " + name), TTL: time.Hour},
		&JoinGateway{TokenHash: hashOf("join " + name), ID: gatewayID(name), PublicKey: identity.EncodeKey(publicOf(name)), Name: name, URL: "https://" + name + ":8443"})
	return gatewayID(name)
}

// quoteOf prices a cluster of one head and workers, each node of so many cores on the machine named.
func (w *world) quoteOf(name string, owner raylink.AccountID, cores int64, machines ...string) *MakeQuote {
	spec := raylink.ClusterSpec{Name: name, RayVersion: "2.60.0", Image: "rayproject/ray:2.60.0", Head: raylink.NodeGroup{Name: "headgroup", Replicas: 1}}
	if len(machines) > 1 {
		spec.Workers = []raylink.NodeGroup{{Name: "w", Replicas: len(machines) - 1}}
	}
	q := &MakeQuote{ID: id[raylink.QuoteID]("q", name), Owner: owner, Spec: spec, Image: "raylink/worker"}
	for i, m := range machines {
		n := QuoteNode{Node: name + "-head", Role: raylink.NodeHead, Group: "headgroup", Machine: machineID(m),
			Resources: raylink.Resources{CPU: cores * raylink.Unit, Memory: 1 << 30}}
		if i > 0 {
			n.Node, n.Role, n.Group = name+"-w-"+string(rune('0'+i-1)), raylink.NodeWorker, "w"
		}
		if known, ok := w.s.Machines[n.Machine]; ok {
			n.Rate, _ = RateOf(known.Offer, n.Resources)
		}
		q.Nodes = append(q.Nodes, n)
	}
	return q
}

func createOf(name string, owner raylink.AccountID, nodes int) *CreateCluster {
	c := &CreateCluster{ID: id[raylink.ClusterID]("c", name), Owner: owner, Quote: id[raylink.QuoteID]("q", name), Capped: true}
	for i := range nodes {
		c.Leases = append(c.Leases, leaseOf(name, i))
	}
	return c
}

func leaseOf(cluster string, i int) raylink.LeaseID {
	return id[raylink.LeaseID]("l", (cluster + "bbbbbbbb")[:8]+string("abcdefghijklmnop"[i/16])+string("abcdefghijklmnop"[i%16]))
}

// cluster quotes and creates one, and takes it to ready.
func (w *world) cluster(name string, owner raylink.AccountID, cores int64, machines ...string) raylink.ClusterID {
	w.t.Helper()
	c := createOf(name, owner, len(machines))
	w.must(w.quoteOf(name, owner, cores, machines...), c, &AdvanceCluster{ID: c.ID, Phase: raylink.PhaseReady})
	return c.ID
}

// minute is one minute with genuine evidence of both sides: agent and gateway saw so many seconds; -1 is no word.
func (w *world) minute(lease raylink.LeaseID, ordinal int64, machine, gateway string, agent, confirm int) SettleMinute {
	m := SettleMinute{Lease: lease, Ordinal: ordinal}
	if agent >= 0 {
		m.Agent = &meter.Evidence{Seconds: agent, RayNode: "ray1", Machine: string(machineID(machine)),
			Signature: identity.Sign(keyOf(machine), identity.MinuteBytes(string(lease), ordinal, agent, "ray1"))}
	}
	if confirm >= 0 {
		m.Gateway = &meter.Confirmation{Gateway: string(gatewayID(gateway)), Seconds: confirm, RayNode: "ray1",
			Signature: identity.Sign(keyOf(gateway), identity.ConfirmBytes(string(lease), ordinal, confirm, "ray1"))}
	}
	return m
}

// settle settles one minute and gives what was done.
func (w *world) settle(minutes ...SettleMinute) Settled {
	w.t.Helper()
	var done Settled
	if err := ReadResult(w.do("leader", "", &SettleMinutes{Minutes: minutes}), &done); err != nil {
		w.t.Fatalf("settling: %v", err)
	}
	return done
}

// gone reports every lease of a cluster as removed.
func (w *world) gone(cluster raylink.ClusterID) {
	w.t.Helper()
	var facts []LeaseFact
	for _, l := range w.s.ClusterLeases(cluster) {
		facts = append(facts, LeaseFact{Lease: l.ID, Stage: raylink.StageGone})
	}
	w.must(&RecordLeases{Facts: facts})
}

// balance is what an account of the ledger holds, in micro-USD.
func (w *world) balance(account string) int64 { return w.s.Ledger.Balance(account, money.USD) }

// sound wants the books to sum to zero and no account but the treasury's below zero.
func (w *world) sound() {
	w.t.Helper()
	sum := int64(0)
	for _, a := range w.s.Ledger.Accounts() {
		sum += a.Balance.Minor
		if a.Balance.Minor < 0 && !ledger.MayBeNegative(a.Name) {
			w.t.Errorf("%s holds %s", a.Name, a.Balance)
		}
	}
	if sum != 0 {
		w.t.Errorf("the books sum to %d", sum)
	}
}

// small is a world with a tenant, a supplier, two machines and a gateway.
func small(t *testing.T, credit string) (*world, raylink.AccountID) {
	t.Helper()
	w := newWorld(t)
	tenant, supplier := w.account("ada", credit), w.account("sam", "")
	w.machine("mone", supplier, offerOf(4, 8, "0.060000"))
	w.machine("mtwo", supplier, offerOf(4, 8, "0.060000"))
	w.gateway("gone")
	return w, tenant
}

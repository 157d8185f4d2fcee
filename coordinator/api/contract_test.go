package api

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// believe lets an operator say what IO costs now.
func (r *rig) believe(p money.Price) {
	r.t.Helper()
	policy, now := price.Default(), time.Now()
	policy.Operators = []string{base64.StdEncoding.EncodeToString(publicOf("oracle"))}
	s := price.Sample{Source: price.SourceAdministered, Price: p, ObservedAt: now.UTC(), Key: policy.Operators[0]}
	s.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(keyOf("oracle"), price.SampleBytes(s)))
	r.apply(now, &state.SetPricePolicy{Policy: policy}, &state.SetPrice{Sample: s})
}

// joinArm has a cheap machine of sue's join, of the other architecture.
func (r *rig) joinArm(name string) {
	r.t.Helper()
	hash := identity.HashToken("join " + name)
	offer := raylink.Offer{Resources: raylink.Resources{CPU: 16 * raylink.Unit, Memory: 64 << 30}, Arch: "arm64", CPUHour: 20_000}
	r.apply(time.Now(), &state.IssueJoinToken{ID: id[raylink.TokenID]("tok", name), Kind: state.JoinKindMachine, Account: id[raylink.AccountID]("acc", "sue"), Hash: hash, TTL: time.Hour},
		&state.JoinMachine{TokenHash: hash, ID: machineID(name), PublicKey: identity.EncodeKey(publicOf(name)), Name: name, Offer: offer})
	r.memory.Agent(machineID(name), wire.AgentReport{})
}

// TestQuoteNamesTheImagesThatRun: what the head's machine runs, though nobody named an architecture, and what other machines run, and all of it is
// signed. The cluster's own view says the same.
func TestQuoteNamesTheImagesThatRun(t *testing.T) {
	const amd, arm = "raylink/worker:2.60.0-py311", "raylink/worker:2.60.0-py311-arm64"
	r := newRig(t)
	ask := func(key string) (q wire.Quote) {
		r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest}, "Idempotency-Key", key).into(t, &q)
		return q
	}
	if q := ask("before"); q.Image != amd || len(q.Notes) != 1 || !signed(t, q) { // the note is of the catalogue, as in all
		t.Errorf("on amd64 machines: %s, %q", q.Image, q.Notes)
	}
	r.joinArm("marm")
	q := ask("one")
	if q.Image != arm || len(q.Notes) != 2 || q.Notes[1] != "2 of 3 nodes run "+amd+", because their machines are amd64" || !signed(t, q) {
		t.Errorf("with the head on an arm64 machine: %s, %q", q.Image, q.Notes)
	}
	var cl wire.Cluster
	if r.call("ada", "POST", "/v1/clusters", wire.CreateRequest{Quote: q.ID}).into(t, &cl); cl.Image != arm {
		t.Errorf("the cluster says that it runs %s", cl.Image)
	}
	// A cluster that was quoted before the head's machine was asked.
	spec := raylink.ClusterSpec{Name: "old", RayVersion: "2.60.0", Image: amd, Head: raylink.NodeGroup{Name: "headgroup", Replicas: 1}}
	node := state.QuoteNode{Node: "old-headgroup", Role: raylink.NodeHead, Group: "headgroup", Machine: machineID("marm"), Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Rate: 20_000}
	ada := id[raylink.AccountID]("acc", "ada")
	r.apply(time.Now(), &state.MakeQuote{ID: "q-oldaaaaaaa", Owner: ada, Spec: spec, Image: amd, Nodes: []state.QuoteNode{node}},
		&state.CreateCluster{ID: "c-oldaaaaaaa", Owner: ada, Quote: "q-oldaaaaaaa", Leases: []raylink.LeaseID{"l-oldaaaaaaa"}})
	if r.call("ada", "GET", "/v1/clusters/c-oldaaaaaaa", nil).into(t, &cl); cl.Image != arm {
		t.Errorf("the older cluster says that it runs %s", cl.Image)
	}
	r.joinArm("msec")
	r.joinArm("mthi")
	if q := ask("all"); q.Image != arm || len(q.Notes) != 1 {
		t.Errorf("on arm64 machines alone: %s, %q", q.Image, q.Notes)
	}
}

// signed says whether the group has signed a quote.
func signed(t *testing.T, q wire.Quote) bool {
	t.Helper()
	text, err := wire.QuoteBytes(q)
	if err != nil || q.Contract == nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return ed25519.Verify(q.Contract.Key, text, q.Contract.Signature)
}

// TestQuoteIsAContract: the plainest quote names machines, rates, the price of IO, its expiry and the most that it may cost, and the group has signed
// each of them. What is paid in later changes none of it.
func TestQuoteIsAContract(t *testing.T) {
	r := newRig(t)
	const quarter = money.Price(250_000_000_000)
	r.believe(quarter)
	ask := func() (q wire.Quote) {
		r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest}, "Idempotency-Key", "plain").into(t, &q)
		return q
	}
	q := ask()
	if len(q.Nodes) != 3 || q.PriceIO != quarter || q.ExpiresAt.Sub(q.CreatedAt) != state.QuoteLife || q.Maximum == nil || *q.Maximum != q.Balance || q.Balance.Minor < 40_000_000 {
		t.Errorf("%d nodes, IO at %v, %s long, at most %v with %s in the purse", len(q.Nodes), q.PriceIO, q.ExpiresAt.Sub(q.CreatedAt), q.Maximum, q.Balance)
	}
	for _, n := range q.Nodes {
		if n.Machine == "" || n.Rate <= 0 {
			t.Errorf("node %+v", n)
		}
	}
	if !signed(t, q) {
		t.Error("the signature does not fit")
	}
	for what, change := range map[string]func(*wire.Quote){
		"machine": func(q *wire.Quote) {
			q.Nodes = append(q.Nodes[:2:2], wire.QuoteNode{Machine: "m-other", Rate: q.Nodes[2].Rate})
		},
		"rate":  func(q *wire.Quote) { q.Nodes = append(q.Nodes[:2:2], q.Nodes[2]); q.Nodes[2].Rate++ },
		"price": func(q *wire.Quote) { q.PriceIO++ }, "expiry": func(q *wire.Quote) { q.ExpiresAt = q.ExpiresAt.Add(time.Second) },
		"maximum": func(q *wire.Quote) { more := money.MicroUSD(q.Maximum.Minor + 1); q.Maximum = &more }, "no maximum": func(q *wire.Quote) { q.Maximum = nil },
	} {
		other := q
		if change(&other); signed(t, other) {
			t.Errorf("another %s passes for what was signed", what)
		}
	}
	r.apply(time.Now(), &state.GrantCredit{ID: "later", Account: id[raylink.AccountID]("acc", "ada"), Amount: money.MicroUSD(7_000_000), Reason: "credit"})
	if again := ask(); again.ID != q.ID || again.Balance == q.Balance || *again.Maximum != *q.Maximum || !signed(t, again) {
		t.Errorf("%s with a maximum of %v after %s came in, was %s with %v", again.ID, again.Maximum, again.Balance, q.ID, q.Maximum)
	}
	if got := r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest, Budget: q.Maximum}, "Idempotency-Key", "plain"); got.status != 409 {
		t.Errorf("a maximum that is named is another request: %d %s", got.status, got.body)
	}
}

// TestQuoteOnce: a repeated request gets the same quote only if it asks for the same.
func TestQuoteOnce(t *testing.T) {
	r := newRig(t)
	five, six := money.MicroUSD(5_000_000), money.MicroUSD(6_000_000)
	var first, again wire.Quote
	for _, into := range []*wire.Quote{&first, &again} {
		got := r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest, Budget: &five}, "Idempotency-Key", "once")
		if err := json.Unmarshal(got.body, into); err != nil || got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if first.ID != again.ID || first.Maximum == nil || *first.Maximum != five {
		t.Errorf("%s with a maximum of %v, then %s", first.ID, first.Maximum, again.ID)
	}
	if !signed(t, first) {
		t.Error("the signature does not fit")
	}
	for what, other := range map[string]wire.QuoteRequest{
		"no budget": {Manifest: r.manifest}, "another budget": {Manifest: r.manifest, Budget: &six}, "another purse": {Manifest: r.manifest, Budget: &five, Pay: "usdc"},
	} {
		if got := r.call("ada", "POST", "/v1/quotes", other, "Idempotency-Key", "once"); got.status != 409 {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
}

// TestBudgetsAreTheOwners: an admin may make another's cluster cost less, and not more.
func TestBudgetsAreTheOwners(t *testing.T) {
	r := newRig(t)
	path := "/v1/clusters/" + string(cluster) + "/budget"
	set := func(who string, minor int64) int {
		return r.call(who, "PUT", path, wire.BudgetRequest{Budget: money.MicroUSD(minor)}).status
	}
	for _, c := range []struct {
		who   string
		minor int64
		want  int
	}{{"ada", 5_000_000, 200}, {"admin", 4_000_000, 200}, {"admin", 6_000_000, 403}, {"admin", 0, 403}, {"ada", 6_000_000, 200}, {"ada", 0, 200}, {"bob", 1_000_000, 404}} {
		if got := set(c.who, c.minor); got != c.want {
			t.Errorf("%s sets %d: %d, want %d", c.who, c.minor, got, c.want)
		}
	}
}

// TestBudgetTells: a cluster says at which part of its maximum it warns, and when it runs out; its purse says when all that pay from it do.
func TestBudgetTells(t *testing.T) {
	r := newRig(t)
	var c wire.Cluster
	var b wire.Balance
	for _, step := range []struct {
		alarm, want int64
		minor       int64
	}{{0, 80, 5_000_000}, {50, 50, 5_000_000}, {0, 50, 4_000_000}, {0, 0, 0}} {
		c = wire.Cluster{}
		r.call("ada", "PUT", "/v1/clusters/"+string(cluster)+"/budget", wire.BudgetRequest{Budget: money.MicroUSD(step.minor), Alarm: step.alarm}).into(t, &c)
		if c.Alarm != step.want || c.RunsOutAt == nil || (c.Maximum == nil) != (step.minor == 0) {
			t.Errorf("%d and %d: at most %v, alarm at %d %%, until %v", step.minor, step.alarm, c.Maximum, c.Alarm, c.RunsOutAt)
		}
	}
	if got := r.call("ada", "PUT", "/v1/clusters/"+string(cluster)+"/budget", wire.BudgetRequest{Budget: money.MicroUSD(1), Alarm: 101}); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
	r.call("ada", "GET", "/v1/balance", nil).into(t, &b)
	if b.Purses[0].RunsOutAt == nil || b.Purses[0].RunsOutAt.Sub(*c.RunsOutAt).Abs() > time.Minute || b.Purses[1].RunsOutAt != nil {
		t.Errorf("the only cluster lasts until %v, its purse %+v", c.RunsOutAt, b.Purses[:2])
	}
}

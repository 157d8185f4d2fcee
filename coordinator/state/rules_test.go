package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// TestJoinTokenOnce shows one token to a thousand machines: one wins, and wins again when it repeats itself.
func TestJoinTokenOnce(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", "once"), Kind: JoinKindMachine, Account: owner, Hash: hashOf("join once"), TTL: time.Hour})
	for i := range 1000 {
		c := w.joinMachine(fmt.Sprint("machine", i), offerOf(1, 1, "1"))
		c.TokenHash = hashOf("join once")
		if err := w.try(c); (err == nil) != (i == 0) {
			t.Fatalf("use %d: %v", i, err)
		}
	}
	again := w.joinMachine("machine0", offerOf(2, 2, "1"))
	again.TokenHash = hashOf("join once")
	w.must(again)
	if len(w.s.Machines) != 1 || w.s.Machines[machineID("machine0")].Offer.Resources.CPU != 2*raylink.Unit {
		t.Errorf("%d machines", len(w.s.Machines))
	}
}

func TestJoinTokens(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	issue := func(name, kind string) {
		w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", name), Kind: kind, Account: owner, Hash: hashOf("join " + name), TTL: time.Hour})
	}
	issue("gate", JoinKindGateway)
	w.refused("a gateway's token", w.joinMachine("gate", offerOf(1, 1, "1")), raylink.CodeUnauthenticated)
	w.refused("no token", w.joinMachine("nobody", offerOf(1, 1, "1")), raylink.CodeUnauthenticated)
	issue("late", JoinKindMachine)
	w.now = w.now.Add(time.Hour)
	w.refused("an expired token", w.joinMachine("late", offerOf(1, 1, "1")), raylink.CodeUnauthenticated)
	issue("bad", JoinKindMachine)
	forged := w.joinMachine("bad", offerOf(1, 1, "1"))
	forged.ID = machineID("other")
	w.refused("another machine's id", forged, raylink.CodeInvalid)
	forged.ID = ""
	w.refused("no id", forged, raylink.CodeInvalid)
	w.must(w.joinMachine("bad", offerOf(1, 1, "1"))) // refusals have not used the token up
	issue("member", JoinKindCoordinator)
	member := &JoinMember{TokenHash: hashOf("join member"), ID: "n2", Raft: "n2:1", API: "https://n2"}
	w.must(member, member, &JoinMember{ID: "n2", Raft: "n2:1", API: "https://n2:2"})
	issue("other", JoinKindCoordinator)
	w.refused("a taken name", &JoinMember{TokenHash: hashOf("join other"), ID: "n2", Raft: "n9:1", API: "https://n9"}, raylink.CodeConflict)
}

// TestKeys: the same key gives the first answer for a day, for each caller his own; afterwards it is forgotten, in the order of the answers.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	open := func(name string) Command { return &OpenAccount{ID: id[raylink.AccountID]("acc", name), Name: name} }
	first := w.do("account:a", "k", open("x"))
	if again := w.do("account:a", "k", open("x")); !bytes.Equal(first, again) {
		t.Errorf("the same key gives %s, then %s", first, again)
	}
	if err := ReadResult(w.do("account:a", "k", open("y")), nil); raylink.AsError(err).Code != raylink.CodeConflict {
		t.Errorf("another body under the key: %v", err)
	}
	if err := ReadResult(w.do("account:a", "k", &Sweep{}), nil); raylink.AsError(err).Code != raylink.CodeConflict {
		t.Errorf("another kind under the key: %v", err)
	}
	if err := ReadResult(w.do("account:b", "k", open("z")), nil); err != nil {
		t.Errorf("another caller's key: %v", err)
	}
	if err := ReadResult(w.do("account:a", "", open("x")), nil); err == nil {
		t.Error("without a key it was done twice")
	}
	w.now = w.now.Add(keyLife - time.Second)
	w.do("account:a", "late", open("late"))
	if len(w.s.Keys) != 3 || len(w.s.KeyOrder) != 3 {
		t.Errorf("%d keys, %d in order", len(w.s.Keys), len(w.s.KeyOrder))
	}
	w.now = w.now.Add(time.Second)
	w.do("account:a", "later", open("later"))
	if _, ok := w.s.Keys["account:a k"]; ok || len(w.s.Keys) != 2 || len(w.s.KeyOrder) != 2 {
		t.Errorf("after a day there are the keys %v", w.s.KeyOrder)
	}
	if _, err := Encode("a", strings.Repeat("k", MaxKey+1), &Sweep{}); raylink.AsError(err).Code != raylink.CodeInvalid {
		t.Errorf("a long key: %v", err)
	}
}

// TestEvidence: what is not signed by the machine of the lease, or by a gateway, counts as not given; so does what no minute can hold.
func TestEvidence(t *testing.T) {
	w, tenant := small(t, "10")
	w.cluster("ev", tenant, 1, "mone", "mtwo")
	w.now = w.now.Add(time.Hour)
	lease := leaseOf("ev", 0)
	signed := func(m SettleMinute, seconds int, node string) SettleMinute {
		m.Agent.Seconds, m.Agent.RayNode = seconds, node
		m.Agent.Signature = identity.Sign(keyOf("mone"), identity.MinuteBytes(string(lease), m.Ordinal, seconds, node))
		return m
	}
	ordinal := int64(0)
	for _, c := range []struct {
		what   string
		change func(SettleMinute) SettleMinute
		want   string // reason to waive; empty is charged
	}{
		{"good", func(m SettleMinute) SettleMinute { return m }, ""},
		{"another's signature", func(m SettleMinute) SettleMinute { m.Agent.Signature = m.Gateway.Signature; return m }, meter.ReasonNoEvidence},
		{"another's name", func(m SettleMinute) SettleMinute { m.Agent.Machine = string(machineID("mtwo")); return m }, meter.ReasonNoEvidence},
		{"more seconds than signed", func(m SettleMinute) SettleMinute { m.Gateway.Seconds = 59; return m }, meter.ReasonNoEvidence},
		{"another node", func(m SettleMinute) SettleMinute { m.Gateway.RayNode = "ray2"; return m }, meter.ReasonNoEvidence},
		{"unknown gateway", func(m SettleMinute) SettleMinute { m.Gateway.Gateway = "g-aaaaaaaaaa"; return m }, meter.ReasonNoEvidence},
		{"a machine as gateway", func(m SettleMinute) SettleMinute { m.Gateway.Gateway = string(machineID("mone")); return m }, meter.ReasonNoEvidence},
		{"no agent", func(m SettleMinute) SettleMinute { m.Agent = nil; return m }, meter.ReasonNoEvidence},
		{"nobody", func(m SettleMinute) SettleMinute { m.Agent, m.Gateway = nil, nil; return m }, meter.ReasonNoEvidence},
		{"61 seconds, signed", func(m SettleMinute) SettleMinute { return signed(m, 61, "ray1") }, meter.ReasonNoEvidence},
		{"-1 second", func(m SettleMinute) SettleMinute { return signed(m, -1, "ray1") }, meter.ReasonNoEvidence},
		{"a megabyte of node, signed", func(m SettleMinute) SettleMinute { return signed(m, 60, strings.Repeat("n", 1<<20)) }, meter.ReasonNoEvidence},
		{"a node with a line", func(m SettleMinute) SettleMinute { return signed(m, 60, "a\nb") }, meter.ReasonNoEvidence},
		{"44 seconds", func(m SettleMinute) SettleMinute { return signed(m, 44, "ray1") }, "the agent saw 44 s of 60, at least 45 needed"},
		{"45 seconds", func(m SettleMinute) SettleMinute { return signed(m, 45, "ray1") }, ""},
	} {
		done := w.settle(c.change(w.minute(lease, ordinal, "mone", "gone", 60, 60)))
		entry, charged := w.s.Ledger.Find(meter.KindCharged, meter.Ref(string(lease), ordinal))
		if !charged {
			entry, _ = w.s.Ledger.Find(meter.KindWaived, meter.Ref(string(lease), ordinal))
		}
		if charged != (c.want == "") || done.Charged+done.Waived != 1 || !strings.Contains(string(entry.Note), `"reason":"`+c.want) && c.want != "" {
			t.Errorf("%s: %+v, %s", c.what, done, entry.Note)
		}
		ordinal++
	}
	w.sound()
}

// TestOwnerEarns: who owned the machine when a lease began earns all of it, whoever owns the machine later.
func TestOwnerEarns(t *testing.T) {
	w, tenant := small(t, "10")
	w.cluster("own", tenant, 1, "mone")
	tom := w.account("tom", "")
	w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", "sold"), Kind: JoinKindMachine, Account: tom, Hash: hashOf("sold"), TTL: time.Hour})
	sold := w.joinMachine("mone", offerOf(4, 8, "0.06"))
	sold.TokenHash = hashOf("sold")
	w.must(sold)
	w.now = w.now.Add(time.Minute)
	w.settle(w.minute(leaseOf("own", 0), 0, "mone", "gone", 60, 60))
	// 1000 micro-USD of use, less the 2 % of who takes USDC.
	if got := w.s.Earned(tom, money.USDC); got != 0 || w.s.Earned(id[raylink.AccountID]("acc", "sam"), money.USDC) != 980 {
		t.Errorf("the new owner earned %d", got)
	}
	if w.s.Machines[machineID("mone")].Owner != tom {
		t.Error("the machine was not sold")
	}
}

func TestSubnetsRest(t *testing.T) {
	w, tenant := small(t, "10")
	subnetOf := func(name string) int { return w.s.Clusters[w.cluster(name, tenant, 1, "mone")].Subnet }
	end := func(name string) {
		c := id[raylink.ClusterID]("c", name)
		w.must(&EndCluster{ID: c, Reason: "x"})
		w.gone(c)
		w.must(&CloseCluster{ID: c})
	}
	if subnetOf("one") != 0 || subnetOf("two") != 1 {
		t.Error("the first clusters are not in the first subnets")
	}
	end("one")
	if n := subnetOf("three"); n != 2 {
		t.Errorf("a subnet was given out again at once: %d", n)
	}
	end("three")
	w.now = w.now.Add(SubnetRest)
	if !w.s.Sweepable(w.now) {
		t.Error("nothing to sweep")
	}
	if n := subnetOf("four"); n != 0 {
		t.Errorf("a rested subnet is not used: %d", n)
	}
	w.must(&Sweep{})
	if len(w.s.Subnets) != 0 || w.s.Sweepable(w.now) {
		t.Error("subnets were not swept")
	}
}

// TestMoreIDs: a caller that does not know how many nodes a quote has mints for the most; the first ones are used.
func TestMoreIDs(t *testing.T) {
	w, tenant := small(t, "10")
	w.must(w.quoteOf("more", tenant, 1, "mone", "mtwo"), createOf("more", tenant, MaxNodes))
	if c := w.s.Clusters[id[raylink.ClusterID]("c", "more")]; len(c.Leases) != 2 || len(w.s.Leases) != 2 {
		t.Errorf("%d leases", len(w.s.Leases))
	}
	w.must(w.quoteOf("dup", tenant, 1, "mone", "mtwo"))
	twice := createOf("dup", tenant, 3)
	twice.Leases[2] = twice.Leases[0]
	w.refused("an id twice", twice, raylink.CodeInvalid)
}

func TestQuoteLimit(t *testing.T) {
	w, tenant := small(t, "10")
	for i := range MaxQuotes + 1 {
		q := w.quoteOf("many", tenant, 1, "mone")
		q.ID = raylink.QuoteID(fmt.Sprintf("q-aaaaaaaa%c%c", 'a'+i/20, 'a'+i%20))
		if i < MaxQuotes {
			w.must(q)
		} else {
			w.refused("one quote too many", q, raylink.CodeConflict)
		}
	}
	w.now = w.now.Add(QuoteLife)
	w.must(w.quoteOf("then", tenant, 1, "mone"))
}

// TestFreeMachine: free of charge is free of postings.
func TestFreeMachine(t *testing.T) {
	w := newWorld(t)
	tenant := w.account("ada", "")
	w.machine("mone", tenant, offerOf(4, 8, "0"))
	w.gateway("gone")
	c := w.cluster("free", tenant, 1, "mone")
	w.now = w.now.Add(time.Minute)
	if done := w.settle(w.minute(leaseOf("free", 0), 0, "mone", "gone", 60, 60)); done.Charged != 1 {
		t.Errorf("%+v", done)
	}
	if r := w.s.Runway(w.s.Clusters[c]); r.Costs || r.Held != HoldMinutes || w.s.Ledger.Balance(ledger.Fees, money.USD) != 0 {
		t.Errorf("%+v", r)
	}
}

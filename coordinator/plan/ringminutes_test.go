package plan

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// word is one side's word about minute 0 of a lease.
func word(who string, lease raylink.LeaseID, seconds int, statement func(string, int64, int, string) []byte) wire.MinuteRecord {
	return wire.MinuteRecord{Lease: lease, Seconds: seconds, RayNode: "r", Signature: identity.Sign(ringKey(who), statement(string(lease), 0, seconds, "r"))}
}

// TestRingJudge is the table of what becomes of a minute by the words that are there, the time since its end and since the leader began.
func TestRingJudge(t *testing.T) {
	const none = -1
	m, c := ready(t, "10", 0)
	lease := m.s.ClusterLeases(c)[0]
	owner := m.s.Machines[lease.Machine].Name
	forged := 1000 // seconds above this: the same word, signed by somebody else
	say := func(who string, seconds int, statement func(string, int64, int, string) []byte) []wire.MinuteRecord {
		if seconds == none {
			return nil
		}
		r := word(who, lease.ID, seconds%forged, statement)
		if seconds >= forged {
			r.Signature = word("somebody", lease.ID, seconds%forged, statement).Signature
		}
		return []wire.MinuteRecord{r}
	}
	for _, row := range []struct {
		what             string
		agent, one, two  int           // seconds by the agent and by two gateways
		after, listening time.Duration // since the minute's end; since the leader began
		want             string        // wait, or what the command carries
	}{
		{"both good", 60, 60, none, 0, 0, "60/60"},
		{"both just good", 45, 45, none, 0, 0, "45/45"},
		{"gateway poor, at once", 60, 44, none, 19 * time.Second, time.Hour, "wait"},
		{"gateway poor, nobody better came", 60, 44, none, VerdictWait, time.Hour, "60/44"},
		{"gateway poor, a better one has just spoken", 60, 44, 50, 0, time.Hour, "60/50"},
		{"gateway poor, a new leader", 60, 44, none, 10 * time.Minute, VerdictWait - time.Second, "wait"},
		{"gateway poor, a leader that has listened", 60, 44, none, 10 * time.Minute, VerdictWait, "60/44"},
		{"agent poor", 0, 60, none, VerdictWait, time.Hour, "0/60"},
		{"no gateway, before the deadline", 60, none, none, EvidenceWait - time.Second, time.Hour, "wait"},
		{"no gateway, after it", 60, none, none, EvidenceWait, time.Hour, "60/-"},
		{"no gateway, a new leader", 60, none, none, time.Hour, ListenFor - time.Second, "wait"},
		{"no gateway, a leader that has listened", 60, none, none, time.Hour, ListenFor, "60/-"},
		{"no agent, before the deadline", none, 60, none, EvidenceWait - time.Second, time.Hour, "wait"},
		{"no agent, after it", none, 60, none, EvidenceWait, time.Hour, "-/60"},
		{"nobody, after it", none, none, none, EvidenceWait, time.Hour, "-/-"},
		{"a forged agent is no agent", 1060, 60, none, VerdictWait, time.Hour, "wait"},
		{"a forged gateway does not hide a true one", 60, 1060, 50, 0, time.Hour, "60/50"},
		{"too many seconds", 61, 60, none, VerdictWait, time.Hour, "wait"},
	} {
		now := lease.ReadyAt.Add(time.Minute + row.after)
		seen := Seen{Since: now.Add(-row.listening), Machines: map[raylink.MachineID]MachineSeen{
			lease.Machine: {At: now, Report: wire.AgentReport{Leases: []wire.LeaseReport{{Lease: lease.ID, Minutes: say(owner, row.agent, identity.MinuteBytes)}}}}},
			Gateways: map[raylink.GatewayID]GatewaySeen{}}
		for name, seconds := range map[string]int{"gone": row.one, "gtwo": row.two} {
			seen.Gateways[gatewayOf(name)] = GatewaySeen{At: now, Report: wire.GatewayReport{Clusters: []wire.ClusterReport{
				{Cluster: c, Minutes: say(name, seconds, identity.ConfirmBytes)}}}}
		}
		got := "wait"
		for _, step := range minutes(m.s, seen, now) {
			for _, minute := range step.(*state.SettleMinutes).Minutes {
				if minute.Ordinal == 0 {
					got = "-/"
					if minute.Agent != nil {
						got = fmt.Sprint(minute.Agent.Seconds, "/")
					}
					if minute.Gateway == nil {
						got += "-"
					} else {
						got += fmt.Sprint(minute.Gateway.Seconds)
					}
				}
			}
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}

// TestRingWords: what Words names is all that the look asks for, so that the answers need not be found while the state is held; and what is no word about a due
// minute of its machine's lease is not named.
func TestRingWords(t *testing.T) {
	m, c := ready(t, "10", 1)
	lease, other := m.s.ClusterLeases(c)[0], m.s.ClusterLeases(c)[1]
	now := lease.ReadyAt.Add(time.Minute)
	name := func(l *state.Lease) string { return m.s.Machines[l.Machine].Name }
	later := func(r wire.MinuteRecord, ordinal int64) wire.MinuteRecord { r.Ordinal = ordinal; return r }
	mine, forged := word(name(lease), lease.ID, 60, identity.MinuteBytes), word("somebody", lease.ID, 60, identity.MinuteBytes)
	confirmed := word("gone", lease.ID, 60, identity.ConfirmBytes)
	report := func(l *state.Lease, minutes ...wire.MinuteRecord) MachineSeen {
		return MachineSeen{At: now, Report: wire.AgentReport{Leases: []wire.LeaseReport{{Lease: lease.ID, Minutes: minutes}, {Lease: "l-unheard", Minutes: []wire.MinuteRecord{{Lease: "l-unheard"}}}}}}
	}
	seen := Seen{Since: now.Add(-time.Hour), Machines: map[raylink.MachineID]MachineSeen{
		lease.Machine: report(lease, mine, forged, later(mine, 1), later(mine, -1), word(name(lease), other.ID, 60, identity.MinuteBytes)),
		other.Machine: report(other, word(name(other), lease.ID, 60, identity.MinuteBytes))},
		Gateways: map[raylink.GatewayID]GatewaySeen{gatewayOf("gone"): {At: now, Report: wire.GatewayReport{Clusters: []wire.ClusterReport{
			{Cluster: c, Minutes: []wire.MinuteRecord{confirmed, later(confirmed, 9), {Lease: "l-unheard"}}}}}},
			"g-unheard": {At: now, Report: wire.GatewayReport{Clusters: []wire.ClusterReport{{Cluster: c, Minutes: []wire.MinuteRecord{confirmed}}}}}}}
	seen.Checked = map[state.Word]bool{}
	for _, w := range Words(m.s, seen, now) {
		if seen.Checked[w] = false; w.Lease != lease.ID || w.Ordinal != 0 || !w.Holds() {
			t.Errorf("named: %+v", w)
		}
	}
	if len(seen.Checked) != 2 {
		t.Errorf("%d words are named, not the machine's and the gateway's", len(seen.Checked))
	}
	if steps := minutes(m.s, seen, now); len(steps) != 0 { // the answer that none holds is taken for all
		t.Errorf("settled: %+v", steps[0])
	}
	seen.Checked = nil
	if steps := minutes(m.s, seen, now); len(steps) != 1 {
		t.Errorf("%d commands without answers", len(steps))
	}
}

// TestRingBacklog: a day of minutes of many leases comes in commands that fit into the log, the leases of a cluster in turns.
func TestRingBacklog(t *testing.T) {
	m, c := ready(t, "1000", 1)
	for _, a := range m.agents {
		a.quiet = true
	}
	for _, g := range m.gateways {
		g.quiet = true
	}
	m.now = m.now.Add(24 * time.Hour)
	m.lead()
	for _, a := range m.agents {
		a.quiet = false
	}
	for _, g := range m.gateways {
		g.quiet = false
	}
	before := len(m.steps)
	m.tick()
	settled, last := 0, int64(0)
	for _, text := range m.steps[before:] {
		if len(text) > 400<<10 {
			t.Errorf("a command of %d bytes", len(text))
		}
		_, step, err := state.Decode(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := step.(*state.SettleMinutes); ok {
			for _, minute := range s.Minutes {
				if minute.Ordinal < last {
					t.Fatalf("minute %d comes after minute %d", minute.Ordinal, last)
				}
				last = minute.Ordinal
			}
			settled += len(s.Minutes)
		}
	}
	if settled < 2*1440 {
		t.Errorf("%d minutes were settled", settled)
	}
	for _, l := range m.s.ClusterLeases(c) {
		if l.Meter.Waived != 0 {
			t.Errorf("%s: %+v", l.Node, l.Meter)
		}
	}
	if m.s.Clusters[c].Phase != raylink.PhaseReady {
		t.Errorf("the cluster is %s: %s", m.s.Clusters[c].Phase, m.s.Clusters[c].Reason)
	}
}

// TestRingFunds: the balance runs out; there is a warning, it goes when credit comes, and at the end the cluster ends in order.
func TestRingFunds(t *testing.T) {
	m, c := ready(t, "0.07", 0) // 0.0612 an hour with its fee
	cluster := m.s.Clusters[c]
	m.run(50 * time.Minute)
	if cluster.Warning != "" {
		t.Errorf("after 50 minutes: %q", cluster.Warning)
	}
	m.run(10 * time.Minute)
	if !strings.Contains(cluster.Warning, "10 minutes or less") {
		t.Errorf("after an hour: %q", cluster.Warning)
	}
	grant := &state.GrantCredit{ID: "more", Account: cluster.Owner, Reason: "x"}
	if err := json.Unmarshal([]byte(`"0.020000 USD"`), &grant.Amount); err != nil {
		t.Fatal(err)
	}
	m.apply(grant)
	m.run(time.Minute)
	if cluster.Warning != "" {
		t.Errorf("with fresh credit: %q", cluster.Warning)
	}
	m.until(c, raylink.PhaseEnded, time.Hour)
	if cluster.Reason != "the balance is used up" || cluster.Failure != nil {
		t.Errorf("%q %v", cluster.Reason, cluster.Failure)
	}
	if l := m.s.ClusterLeases(c)[0]; l.Meter.Waived != 0 || l.Meter.Charged < 86 || l.Meter.Charged > 88 {
		t.Errorf("%+v of 0.09 USD at 0.06 USD/h", l.Meter)
	}
}

// TestRingOrders: who is told what about whom.
func TestRingOrders(t *testing.T) {
	m, c := ready(t, "10", 1)
	cluster := m.s.Clusters[c]
	leases := m.s.ClusterLeases(c)
	for i, l := range leases {
		orders := Orders(m.s, l.Machine)
		if len(orders) != 1 || orders[0].Lease != l.ID || orders[0].Want != raylink.WantRun {
			t.Fatalf("%+v", orders)
		}
		o := orders[0]
		names := []string{}
		for _, p := range o.Mesh.Peers {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		want := []string{string(leases[1-i].ID), string(gatewayOf("gone")), string(gatewayOf("gtwo"))}
		slices.Sort(want)
		if !slices.Equal(names, want) || o.Mesh.Address != netip.PrefixFrom(l.Address, 24) {
			t.Errorf("%s sees %v as %s", l.Node, names, o.Mesh.Address)
		}
		if o.RayToken != "" || len(o.Command) == 0 || o.ReadyAt == nil || o.RayNode != rayID(l.ID) {
			t.Errorf("%+v", o)
		}
	}
	// A gateway keeps its place when others come and go, and its key when it falls silent.
	first, _ := gatewayAddress(cluster, 0)
	m.gateways["gone"].quiet = true
	m.run(time.Minute)
	if again, _ := gatewayAddress(cluster, 0); again != first || cluster.Gateways[0].PublicKey == "" || len(cluster.Gateways) != 2 {
		t.Errorf("%+v", cluster.Gateways)
	}
	m.apply(&state.EndCluster{ID: c, Reason: "x"})
	for _, l := range leases {
		if o := Orders(m.s, l.Machine)[0]; o.Want != raylink.WantEnd || len(o.Mesh.Peers) != 0 {
			t.Errorf("an ending lease is told %s with %d peers", o.Want, len(o.Mesh.Peers))
		}
	}
	if r := Routes(m.s, gatewayOf("gtwo"), m.now)[0]; len(r.Mesh.Peers) != 0 || r.Phase != raylink.PhaseEnding {
		t.Errorf("%+v", r)
	}
}

// TestRingAccess: an endpoint opens to its owner's own tokens, while they last, and to nobody else's.
func TestRingAccess(t *testing.T) {
	m, c := ready(t, "10", 0)
	owner := m.s.Clusters[c].Owner
	issue := func(name string, account raylink.AccountID, role raylink.Role, ttl time.Duration) {
		m.apply(&state.IssueToken{ID: mint[raylink.TokenID]("tok", name), Account: account, Role: role, Hash: identity.HashToken(name), TTL: ttl})
	}
	issue("own", owner, raylink.RoleTenant, 0)
	issue("short", owner, raylink.RoleTenant, time.Minute)
	issue("revoked", owner, raylink.RoleTenant, 0)
	issue("supply", owner, raylink.RoleSupplier, 0)
	issue("other", mint[raylink.AccountID]("acc", "sam"), raylink.RoleTenant, 0)
	issue("admin", mint[raylink.AccountID]("acc", "sam"), raylink.RoleAdmin, 0)
	m.apply(&state.RevokeToken{ID: mint[raylink.TokenID]("tok", "revoked")})
	want := []string{identity.HashToken("own"), identity.HashToken("short")}
	slices.Sort(want)
	if got := Routes(m.s, gatewayOf("gone"), m.now)[0].Access; !slices.Equal(got, want) {
		t.Errorf("%d tokens open it: %v", len(got), got)
	}
	if got := Routes(m.s, gatewayOf("gone"), m.now.Add(time.Minute))[0].Access; !slices.Equal(got, []string{identity.HashToken("own")}) {
		t.Errorf("later %d tokens open it", len(got))
	}
	if got := Routes(m.s, "g-aaaaaaaaaa", m.now); len(got) != 0 {
		t.Errorf("a stranger is told of %d clusters", len(got))
	}
}

// TestRingHostile: what a machine says of other machines' leases, of absurd endpoints and in endless words does not enter the log.
func TestRingHostile(t *testing.T) {
	m, c := ready(t, "10", 1)
	leases := m.s.ClusterLeases(c)
	victim, liar := leases[0], leases[1]
	name := m.s.Machines[liar.Machine].Name
	key, signature := ringOverlay(name, string(liar.ID))
	for what, r := range map[string]wire.LeaseReport{
		"another's lease":      {Lease: victim.ID, Stage: raylink.StageNone, Failure: &raylink.Failure{Reason: "x"}},
		"gone, without an end": {Lease: liar.ID, Stage: raylink.StageGone},
		"a stage of its own":   {Lease: liar.ID, Stage: "flying"},
		"a key unsigned":       {Lease: liar.ID, Stage: raylink.StageRunning, PublicKey: key, Signature: "x", Endpoint: netip.MustParseAddrPort("192.0.2.7:7")},
		"a zone":               {Lease: liar.ID, Stage: raylink.StageRunning, PublicKey: key, Signature: signature, Endpoint: netip.MustParseAddrPort("[fe80::1%" + strings.Repeat("z", 1000) + "]:7")},
		"nowhere":              {Lease: liar.ID, Stage: raylink.StageRunning, PublicKey: key, Signature: signature, Endpoint: netip.MustParseAddrPort("0.0.0.0:7")},
		"no port":              {Lease: liar.ID, Stage: raylink.StageRunning, PublicKey: key, Signature: signature, Endpoint: netip.MustParseAddrPort("192.0.2.7:0")},
	} {
		m.seen.Machines[liar.Machine] = MachineSeen{At: m.now, Report: wire.AgentReport{Leases: []wire.LeaseReport{r}}}
		if steps := Next(m.s, m.seen, m.now); len(steps) != 0 {
			t.Errorf("%s: %s", what, inWordsOf(steps[0]))
		}
	}
	long := strings.Repeat("<\x00\u202e", 1<<20)
	m.seen.Machines[liar.Machine] = MachineSeen{At: m.now, Report: wire.AgentReport{Leases: []wire.LeaseReport{
		{Lease: liar.ID, Stage: raylink.StageRunning, Failure: &raylink.Failure{Stage: long, Machine: victim.Machine, Reason: long, Hint: long}}}}}
	m.settle()
	if f := liar.Failure; f == nil || f.Machine != liar.Machine || len(f.Reason) > maxReason || strings.ContainsAny(f.Reason, "\x00\u202e") {
		t.Errorf("%.200v", f)
	}
	if c := m.s.Clusters[c]; c.Phase != raylink.PhaseReady || len(c.Warning) == 0 || len(c.Warning) > maxReason+200 {
		t.Errorf("%s %.200q", c.Phase, c.Warning)
	}
	var many []state.LeaseFact
	for range 2000 {
		many = append(many, state.LeaseFact{Lease: liar.ID, Stage: raylink.StageNone, Failure: trimFailure(&raylink.Failure{Reason: long, Hint: long}, liar.Machine)})
	}
	total := 0
	for _, step := range records(many) {
		total += len(step.(*state.RecordLeases).Facts)
		if n := len(inWordsOf(step)); n > 400<<10 {
			t.Errorf("a command of %d bytes", n)
		}
	}
	if total != len(many) {
		t.Errorf("%d facts of %d", total, len(many))
	}
}

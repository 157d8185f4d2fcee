package plan

import (
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// alive is a ready cluster of a head and a worker on machines of their own.
func alive(t *testing.T, credit string) (*world, *state.Cluster, []*state.Lease) {
	t.Helper()
	w := newWorld(t)
	owner, tenant := w.account("sam", ""), w.account("ada", credit)
	w.machine("mone", owner, offerOf(2, 8, 600_000))
	w.machine("mtwo", owner, offerOf(2, 8, 600_000))
	hash := identity.HashToken("join gate")
	w.apply(&state.IssueJoinToken{ID: id[raylink.TokenID]("tok", "gate"), Kind: state.JoinKindGateway, Hash: hash, TTL: time.Hour},
		&state.JoinGateway{TokenHash: hash, ID: identity.GatewayID(publicOf("gate")), PublicKey: identity.EncodeKey(publicOf("gate")), Name: "gate", URL: "https://gate:8443"})
	w.seen.Gateways = map[raylink.GatewayID]GatewaySeen{}
	c := w.create(tenant, specOf("keep", 1, 1))
	w.apply(&state.AdvanceCluster{ID: c.ID, Phase: raylink.PhaseReady})
	return w, c, w.s.ClusterLeases(c.ID)
}

// next applies the plan until it rests.
func (w *world) next() {
	w.t.Helper()
	for range 20 {
		steps := Next(w.s, w.seen, w.now)
		if len(steps) == 0 {
			return
		}
		w.apply(steps...)
	}
	w.t.Fatalf("the plan does not come to rest: %+v", Next(w.s, w.seen, w.now))
}

// says lets a lease's agent report a failure, or that it is well again, and both sides vouch for so many seconds of minute k.
func (w *world) says(l *state.Lease, failure *raylink.Failure, k int64, agent, gateway int) {
	sign := func(who string, statement []byte) string { return identity.Sign(keyOf(who), statement) }
	r := wire.LeaseReport{Lease: l.ID, Stage: raylink.StageRunning, Failure: failure}
	if agent >= 0 {
		r.Minutes = []wire.MinuteRecord{{Lease: l.ID, Ordinal: k, Seconds: agent, RayNode: "ray",
			Signature: sign(w.s.Machines[l.Machine].Name, identity.MinuteBytes(string(l.ID), k, agent, "ray"))}}
	}
	w.seen.Machines[l.Machine] = MachineSeen{At: w.now, Report: wire.AgentReport{Leases: []wire.LeaseReport{r}}}
	if gateway >= 0 {
		gate := identity.GatewayID(publicOf("gate"))
		words := w.seen.Gateways[gate].Report.Clusters
		words = append(words[:len(words):len(words)], wire.ClusterReport{Cluster: l.Cluster, Minutes: []wire.MinuteRecord{{Lease: l.ID, Ordinal: k, Seconds: gateway, RayNode: "ray",
			Signature: sign("gate", identity.ConfirmBytes(string(l.ID), k, gateway, "ray"))}}})
		w.seen.Gateways[gate] = GatewaySeen{At: w.now, Report: wire.GatewayReport{Clusters: words}}
	}
}

// A worker that is lost leaves a warning behind, which goes when it is well again; the cluster goes on.
func TestWorkerLost(t *testing.T) {
	w, c, leases := alive(t, "10")
	worker := leases[1]
	w.says(worker, &raylink.Failure{Stage: "run", Reason: "killed for memory"}, 0, -1, -1)
	w.next()
	got := w.s.Clusters[c.ID]
	if got.Phase != raylink.PhaseReady || !strings.Contains(got.Warning, worker.Node) || !strings.Contains(got.Warning, string(worker.Machine)) || !strings.Contains(got.Warning, "killed for memory") {
		t.Errorf("%s, warning %q", got.Phase, got.Warning)
	}
	w.says(worker, nil, 0, -1, -1)
	w.next()
	if got.Phase != raylink.PhaseReady || got.Warning != "" {
		t.Errorf("well again: %s, warning %q", got.Phase, got.Warning)
	}
}

// A head that is lost is the end, with its machine's name and words.
func TestHeadLost(t *testing.T) {
	w, c, leases := alive(t, "10")
	w.says(leases[0], &raylink.Failure{Stage: "run", Reason: "the disk is full", Hint: "free some"}, 0, -1, -1)
	w.next()
	got := w.s.Clusters[c.ID]
	if got.Phase != raylink.PhaseEnding || got.Failure == nil || got.Failure.Machine != leases[0].Machine || got.Failure.Hint != "free some" || !strings.Contains(got.Reason, "the disk is full") {
		t.Errorf("%s %+v %q", got.Phase, got.Failure, got.Reason)
	}
}

// A lease whose data plane stood still is not charged for the minute, and the journal says why; its neighbour is.
func TestStandstillIsWaived(t *testing.T) {
	w, _, leases := alive(t, "10")
	w.now = w.now.Add(time.Minute)
	w.says(leases[0], nil, 0, 60, 60)
	w.says(leases[1], nil, 0, 0, 60)
	w.next()
	if m := leases[0].Meter; m.Charged != 1 || m.Waived != 0 {
		t.Errorf("the head, at once: %+v", m)
	}
	if m := leases[1].Meter; m.Next != 0 {
		t.Errorf("the worker, before a better word could have come: %+v", m)
	}
	w.now = w.now.Add(VerdictWait)
	w.next()
	if m := leases[1].Meter; m.Charged != 0 || m.Waived != 1 {
		t.Fatalf("the worker, after %s: %+v", VerdictWait, m)
	}
	entry, ok := w.s.Ledger.Find(meter.KindWaived, meter.Ref(string(leases[1].ID), 0))
	if !ok || !strings.Contains(string(entry.Note), "the agent saw 0 s of 60") || len(entry.Postings) != 0 {
		t.Errorf("the journal says %s (%v)", entry.Note, ok)
	}
}

// However the money ends, nobody's account goes below zero, and what is left of the hold goes back.
func TestNeverNegative(t *testing.T) {
	for _, credit := range []string{"1.224004", "1.230000", "1.300000"} {
		w, c, leases := alive(t, credit)
		warned := false
		for k := int64(0); w.s.Clusters[c.ID].Phase == raylink.PhaseReady; k++ {
			if k > 100 {
				t.Fatalf("%s USD last for more than %d minutes of 0.0204", credit, k)
			}
			w.now = w.now.Add(time.Minute)
			w.seen.Gateways = map[raylink.GatewayID]GatewaySeen{}
			w.says(leases[0], nil, k, 60, 60)
			w.says(leases[1], nil, k, 60, 60)
			w.next()
			warned = warned || w.s.Clusters[c.ID].Warning != ""
			for _, a := range w.s.Ledger.Accounts() {
				if a.Balance.Minor < 0 && !ledger.MayBeNegative(a.Name) {
					t.Fatalf("minute %d: %s holds %s", k, a.Name, a.Balance)
				}
			}
		}
		for _, l := range leases {
			w.seen.Machines[l.Machine] = MachineSeen{At: w.now, Report: wire.AgentReport{Leases: []wire.LeaseReport{{Lease: l.ID, Stage: raylink.StageGone}}}}
		}
		w.next()
		got := w.s.Clusters[c.ID]
		if !warned || got.Phase != raylink.PhaseEnded || got.Reason != "the balance is used up" {
			t.Errorf("%s: warned is %v, %s: %s", credit, warned, got.Phase, got.Reason)
		}
		if left := w.s.Ledger.Balance(ledger.Hold(string(c.ID)), "USD"); left != 0 || leases[0].Meter.Charged < 57 || leases[0].Meter.Waived != 0 {
			t.Errorf("%s: the hold keeps %d; %+v", credit, left, leases[0].Meter)
		}
	}
}

// A machine that falls silent under a ready cluster is named in a warning, which goes when it is heard again. A new leader listens first.
func TestSilentMachineWarns(t *testing.T) {
	w, c, leases := alive(t, "10")
	head, worker := leases[0], leases[1]
	w.says(head, nil, 0, -1, -1)
	w.says(worker, nil, 0, -1, -1)
	w.now = w.now.Add(UpFor + time.Second)
	w.says(head, nil, 0, -1, -1)
	w.seen.Since = w.now
	w.next()
	got := w.s.Clusters[c.ID]
	if got.Warning != "" {
		t.Errorf("a leader that has only begun to listen warns: %q", got.Warning)
	}
	w.seen.Since = w.now.Add(-ListenFor)
	w.next()
	if !strings.Contains(got.Warning, string(worker.Machine)) || !strings.Contains(got.Warning, worker.Node) || strings.Contains(got.Warning, string(head.Machine)) {
		t.Errorf("warning %q", got.Warning)
	}
	w.says(worker, nil, 0, -1, -1)
	w.next()
	if got.Warning != "" {
		t.Errorf("heard again: %q", got.Warning)
	}
}

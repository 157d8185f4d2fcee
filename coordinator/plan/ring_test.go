package plan

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

var updateRing = flag.Bool("update-ring", false, "rewrite the transcripts")

// goldenRing compares a text with a file of testdata, or rewrites it.
func goldenRing(t *testing.T, file, got string) {
	t.Helper()
	if *updateRing {
		if err := os.WriteFile("testdata/"+file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s reads otherwise (-update-ring rewrites it):\n%s", file, got)
	}
}

// TestRingWalk writes down a whole life of a cluster: every step that the plan proposes, and when.
func TestRingWalk(t *testing.T) {
	m := newModel(t)
	m.open("1", []string{"mone", "mtwo"}, "gone")
	m.steps = nil
	c := m.create("walk", 1)
	var out strings.Builder
	out.WriteString("# What the leader proposes for a cluster of two nodes, second by second.\n")
	tell := func() {
		for _, s := range m.steps {
			fmt.Fprintf(&out, "%s  %s\n", m.now.Format("04:05"), m.words(s))
		}
		m.steps = nil
	}
	for m.s.Clusters[c].Phase != raylink.PhaseReady {
		m.tick()
		tell()
	}
	out.WriteString("# ready: two minutes pass, in the second the data plane of mtwo stands still for half of it.\n")
	for i := range 150 {
		m.agents["mtwo"].frozen = i >= 70 && i < 100
		m.tick()
		tell()
	}
	out.WriteString("# its owner ends it.\n")
	m.apply(&state.EndCluster{ID: c, Reason: "deleted by ada"})
	for m.s.Clusters[c].Phase != raylink.PhaseEnded {
		m.tick()
		tell()
	}
	goldenRing(t, "ring.txt", out.String())
}

// words shortens a step.
func (m *model) words(step string) string {
	var env state.Envelope
	if err := json.Unmarshal([]byte(step), &env); err != nil {
		panic(err)
	}
	_, c, err := state.Decode(json.RawMessage(step))
	if err != nil {
		panic(err)
	}
	text := env.Kind
	switch c := c.(type) {
	case *state.RecordLeases:
		for _, f := range c.Facts {
			text += fmt.Sprintf(" %s=%s", m.s.Leases[f.Lease].Node, f.Stage)
			if f.PublicKey != "" {
				text += "+key"
			}
			if f.RayNode != "" {
				text += "+ray"
			}
		}
	case *state.RecordGateway:
		text += fmt.Sprintf(" key=%v", c.PublicKey != "")
	case *state.AdvanceCluster:
		text += " " + string(c.Phase)
	case *state.EndCluster:
		text += " " + c.Reason
	case *state.WarnCluster:
		text += " " + c.Warning
	case *state.SettleMinutes:
		for _, s := range c.Minutes {
			text += fmt.Sprintf(" %s/%d", m.s.Leases[s.Lease].Node, s.Ordinal)
			if s.Agent != nil {
				text += fmt.Sprintf(" agent %d", s.Agent.Seconds)
			}
			if s.Gateway != nil {
				text += fmt.Sprintf(" gateway %d", s.Gateway.Seconds)
			}
		}
	}
	return text
}

// TestRingRests: an assembled, an ending and an ended cluster leave nothing to do, whoever leads; settle checks every second that the plan
// comes to rest.
func TestRingRests(t *testing.T) {
	m, c := ready(t, "10", 1)
	other := m.create("more", 3) // two nodes on each machine
	m.until(other, raylink.PhaseReady, 2*time.Minute)
	m.run(5 * time.Minute)
	m.lead()
	m.run(5 * time.Minute)
	m.apply(&state.EndCluster{ID: c, Reason: "x"})
	m.until(c, raylink.PhaseEnded, time.Minute)
	m.run(time.Minute)
	for _, l := range m.s.ClusterLeases(c) {
		if l.Meter.Waived != 0 || l.Meter.Charged < 10 {
			t.Errorf("%s: %+v", l.Node, l.Meter)
		}
	}
	for _, name := range []string{"mone", "mtwo"} {
		if n := len(Orders(m.s, machineOf(name))); n != 2 {
			t.Errorf("%s has %d orders, wanted are those of the living cluster", name, n)
		}
	}
	if routes := Routes(m.s, gatewayOf("gone"), m.now); len(routes) != 1 || routes[0].Cluster != other {
		t.Errorf("routes %v", routes)
	}
}

// TestRingStuck: whoever holds a cluster up is named, and a cluster does not wait longer than it must.
func TestRingStuck(t *testing.T) {
	for _, c := range []struct {
		what   string
		break_ func(*model)
		stage  raylink.Phase
		want   string // in the reason
		hint   string
		named  string // machine
		within time.Duration
	}{
		{"no image", func(m *model) { m.agents["mone"].stuck = raylink.StageImage }, raylink.PhaseImage, "run-w-0 on machine", "create the cluster again", "mone", 21 * time.Minute},
		{"a machine falls silent", func(m *model) { m.agents["mone"].quiet = true }, raylink.PhaseImage, "(mone) of node run-w-0 has fallen silent", "create", "mone", 21 * time.Minute},
		{"no TUN", func(m *model) { m.agents["mtwo"].stuck = raylink.StageMesh }, raylink.PhaseOverlay, "run-headgroup on machine", "create", "mtwo", 3 * time.Minute},
		{"no gateway", func(m *model) { m.gateways["gone"].quiet = true }, raylink.PhaseOverlay, "no gateway has joined", "raylink gateway", "", 3 * time.Minute},
		{"a blocked pair", func(m *model) {
			m.agents["mtwo"].stuck, m.agents["mtwo"].blocks = raylink.StagePreflight, []string{"100.64.0.10", "100.64.0.3"}
		}, raylink.PhasePreflight, "blocked between run-headgroup and run-w-0, run-headgroup and 100.64.0.3", "UDP", "", 3 * time.Minute},
		{"no head in Ray's view", func(m *model) { m.gateways["gone"].blind = true }, raylink.PhaseHead, "Ray's head does not answer on 100.64.0.2", "create", "mtwo", 5 * time.Minute},
		{"a worker that sleeps instead of Ray", func(m *model) { m.agents["mone"].frozen = true }, raylink.PhaseWorkers, "run-w-0 on machine " + string(machineOf("mone")) + " is not alive in Ray's view", "create", "mone", 5 * time.Minute},
		{"a failure is reported", func(m *model) {
			m.agents["mone"].fails = &raylink.Failure{Stage: "image", Reason: "no space\x1b[31m left", Hint: "free some"}
		}, raylink.PhaseImage, "no space [31m left", "free some", "mone", 10 * time.Second},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newModel(t)
			m.open("1", []string{"mone", "mtwo"}, "gone")
			m.run(90 * time.Second) // the leader has listened long enough
			cluster := m.create("run", 1)
			c.break_(m)
			m.until(cluster, raylink.PhaseEnding, c.within)
			f := m.s.Clusters[cluster].Failure
			if f == nil || f.Stage != string(c.stage) || !strings.Contains(f.Reason, c.want) || !strings.Contains(f.Hint, c.hint) {
				t.Fatalf("failure %+v, wanted is stage %s, %q", f, c.stage, c.want)
			}
			if c.named != "" && f.Machine != machineOf(c.named) {
				t.Errorf("named is machine %s, not %s", f.Machine, c.named)
			}
			if entered := m.s.Clusters[cluster].Stages; m.now.Sub(entered[len(entered)-2].At) > Deadline(c.stage)+2*time.Second {
				t.Errorf("it waited %v", m.now.Sub(entered[len(entered)-2].At))
			}
			m.until(cluster, raylink.PhaseFailed, GoneAfter+2*time.Minute)
			if left := m.s.Used(machineOf("mone")); left.CPU != 0 {
				t.Errorf("the failed cluster still takes %+v", left)
			}
		})
	}
}

// TestRingNewLeader: a leader that has heard nobody yet blames nobody.
func TestRingNewLeader(t *testing.T) {
	m := newModel(t)
	m.open("1", []string{"mone", "mtwo"}, "gone")
	c := m.create("run", 1)
	m.until(c, raylink.PhaseOverlay, time.Minute)
	m.agents["mone"].quiet, m.agents["mtwo"].quiet, m.gateways["gone"].quiet = true, true, true
	m.now = m.now.Add(10 * time.Minute) // long after the deadline
	m.lead()
	m.run(ListenFor - time.Second)
	if p := m.s.Clusters[c].Phase; p != raylink.PhaseOverlay {
		t.Fatalf("a leader that has just begun made it %s", p)
	}
	m.agents["mone"].quiet, m.agents["mtwo"].quiet, m.gateways["gone"].quiet = false, false, false
	m.until(c, raylink.PhaseReady, 30*time.Second)
}

// TestRingSilent: a machine that died does not keep a cluster open for ever, whatever it said last; a living one is waited for.
func TestRingSilent(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprint("new leader ", fresh), func(t *testing.T) {
			m, c := ready(t, "10", 1)
			m.run(3 * time.Minute)
			m.agents["mtwo"].quiet = true
			m.run(30 * time.Second)
			m.apply(&state.EndCluster{ID: c, Reason: "x"})
			begun := m.now
			if fresh {
				m.run(time.Second)
				m.lead()
			}
			m.run(GoneAfter - 40*time.Second)
			if m.s.Clusters[c].Phase != raylink.PhaseEnding {
				t.Fatal("it was not waited for")
			}
			m.until(c, raylink.PhaseEnded, 5*time.Minute)
			if took := m.now.Sub(begun); took < GoneAfter-30*time.Second || took > GoneAfter+5*time.Second {
				t.Errorf("it took %v", took)
			}
			if l := m.s.ClusterLeases(c)[1]; l.Meter.Charged != 3 || l.Meter.Next != l.Due(m.now, m.s.Clusters[c].EndingAt) {
				t.Errorf("%+v", l.Meter)
			}
		})
	}
}

// TestRingBusy: a cluster whose facts change all the time does not keep another one from its end.
func TestRingBusy(t *testing.T) {
	m, c := ready(t, "10", 1)
	busy := m.create("abc", 1)
	m.agents["mone"].stuck = raylink.StageMesh
	m.run(10 * time.Second)
	m.apply(&state.EndCluster{ID: c, Reason: "x"})
	flapping := leasesOf(m, busy)[1]
	for range 20 {
		m.now = m.now.Add(time.Second)
		for name, a := range m.agents {
			a.obey(Orders(m.s, machineOf(name)))
			a.step(m.now)
		}
		for _, a := range m.agents {
			if h := a.leases[flapping]; h != nil {
				h.report.Restarts++ // a new fact each time
			}
		}
		for name, a := range m.agents {
			seen := MachineSeen{At: m.now}
			for _, h := range a.leases {
				seen.Report.Leases = append(seen.Report.Leases, h.report)
			}
			m.seen.Machines[machineOf(name)] = seen
		}
		for _, step := range Next(m.s, m.seen, m.now) { // one round only
			m.apply(step)
		}
	}
	if p := m.s.Clusters[c].Phase; p != raylink.PhaseEnded {
		t.Errorf("after 20 rounds it is %s", p)
	}
}

func leasesOf(m *model, c raylink.ClusterID) []raylink.LeaseID {
	return slices.Clone(m.s.Clusters[c].Leases)
}

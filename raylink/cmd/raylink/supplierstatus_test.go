package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/supplier"
)

// TestStatusTellsOfABrokenWayOut: bytes alone would look as if the lease's way to the Internet worked.
func TestStatusTellsOfABrokenWayOut(t *testing.T) {
	var out bytes.Buffer
	showView(&out, supplier.View{Leases: []supplier.ViewLease{
		{Lease: "l-aaaaaaaaaa", Node: "well", Egress: 5 << 20},
		{Lease: "l-bbbbbbbbbb", Node: "broken", Egress: 5 << 20, Trouble: "set-mesh went wrong", EgressTrouble: "address already in use"},
	}}, true)
	for line := range strings.Lines(out.String()) {
		told := strings.Contains(line, "(see TROUBLE)") && strings.Contains(line, "set-mesh went wrong; Internet: address already in use")
		if strings.Contains(line, "l-") && told != strings.Contains(line, "broken") {
			t.Errorf("%q", line)
		}
	}
	if strings.Count(out.String(), "l-") != 2 {
		t.Error(out.String())
	}
}

// TestVerdicts: the sentence of each pair of views. None says that all is well where they differ.
func TestVerdicts(t *testing.T) {
	now := time.Now()
	since := now.Add(-time.Minute)
	fresh, silent, stale := &supplier.View{At: now}, &supplier.View{At: now, SilentSince: &since}, &supplier.View{At: now.Add(-time.Hour)}
	market := func(s raylink.MachineState) groupView { return groupView{Standing: &raylink.Standing{State: s}} }
	waits := func(s raylink.MachineState, n int64) groupView {
		return groupView{Standing: &raylink.Standing{State: s, GPUs: 4, ProvenGPUs: 4 - n, WaitingGPUs: n, GPUReason: raylink.ReasonProofRunning}}
	}
	for _, c := range []struct {
		runs  bool
		agent *supplier.View
		group groupView
		want  string
	}{
		{false, stale, groupView{}, "does not run, and no coordinator answers"},
		{false, stale, market(raylink.MachineDown), "does not run: what is leased goes on"},
		{true, nil, market(raylink.MachineDown), "it starts, or it hangs"},
		{true, stale, market(raylink.MachineReady), "it starts, or it hangs"},
		{true, silent, groupView{}, "neither the agent nor this command"},
		{true, fresh, groupView{}, "though one took the agent's last report"},
		{true, silent, market(raylink.MachineReady), "none takes the agent's reports since"},
		{true, fresh, market(raylink.MachineDown), "believes that it is heard, and the group does not hear it"},
		{true, fresh, market(raylink.MachineBlocked), "the market does not take this machine"},
		{true, fresh, market(raylink.MachineQuarantined), "the market does not take this machine"},
		{true, fresh, market(raylink.MachineJoining), "nothing for it yet"},
		{true, fresh, market(raylink.MachineProving), "nothing for it yet"},
		{true, fresh, market(raylink.MachineDraining), "gets nothing new"},
		{true, fresh, market(""), "does not say how it sees the machine"},
		{true, fresh, market(raylink.MachineReady), "All is well: the machine is in the market"},
		{true, fresh, market(raylink.MachineHired), "All is well: the machine earns"},
		{true, fresh, waits(raylink.MachineReady, 1), "in the market, but 1 of 4 GPUs is not to be had: a challenge is under way"},
		{true, fresh, waits(raylink.MachineHired, 2), "in the market, but 2 of 4 GPUs are not to be had"},
		{true, fresh, waits(raylink.MachineReady, 0), "All is well: the machine is in the market"},
		{true, fresh, waits(raylink.MachineQuarantined, 4), "the market does not take this machine"},
	} {
		if got := verdict(machineStatus{Runs: c.runs, Agent: c.agent, Group: c.group}, now); !strings.Contains(got, c.want) {
			t.Errorf("runs %v, agent %+v, group %+v: %q, and not %q", c.runs, c.agent, c.group.Standing, got, c.want)
		}
	}
}

// TestStatusShowsGPUs: what the agent's last look at its GPUs found, and of what a driver does not tell nothing.
func TestStatusShowsGPUs(t *testing.T) {
	var out bytes.Buffer
	at := time.Now().Add(-12 * time.Second)
	showView(&out, supplier.View{GPUs: []supplier.ViewGPU{
		{Device: "GPU-1", Name: "A100", At: at, Temperature: 41, Power: 61_500, PowerLimit: 400_000, Used: 2 << 30, Memory: 40 << 30, Processes: []int{17, 4}},
		{Device: "GPU-2", Name: "T4", At: at},
	}}, true)
	for _, want := range []string{"A100, 41 °C, 61 W of 400 W, 2 GiB of 40 GiB in use, computing: [17 4], seen 1", "T4, seen 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

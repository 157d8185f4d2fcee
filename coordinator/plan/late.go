package plan

import (
	"fmt"
	"strings"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// late says why a cluster has not left its phase in time: which machine holds it up, and what to do.
func late(s *state.State, seen Seen, now time.Time, c *state.Cluster, leases []*state.Lease) raylink.Failure {
	f := raylink.Failure{Stage: string(c.Phase), Hint: "create the cluster again; it will be placed anew"}
	for _, l := range leases {
		if !seen.Up(l.Machine, now) {
			f.Machine, f.Reason = l.Machine, fmt.Sprintf("machine %s (%s) of node %s has fallen silent", l.Machine, s.Machines[l.Machine].Name, l.Node)
			return f
		}
	}
	if blocked := blockedPairs(seen, leases); blocked != "" {
		f.Reason, f.Hint = "blocked between "+blocked, "the machines cannot reach each other by UDP; a firewall between them is the usual cause"
		return f
	}
	if c.Phase == raylink.PhaseOverlay && !gatewayIn(seen, c, now) {
		f.Reason, f.Hint = "no gateway has joined the cluster's overlay", "start a gateway: `raylink gateway --help`"
		return f
	}
	if c.Phase == raylink.PhaseHead {
		f.Machine, f.Reason = leases[0].Machine, "Ray's head does not answer on "+leases[0].Address.String()
		return f
	}
	var names []string
	for _, l := range leases {
		if l.Stage.Order() < stageFor(c.Phase).Order() {
			name := fmt.Sprintf("%s on machine %s", l.Node, l.Machine)
			if r, ok := seen.lease(l.Machine, l.ID); ok && r.Progress != nil && c.Phase == raylink.PhaseImage {
				name += " (" + FetchWords(*r.Progress, now) + ")"
			}
			names = append(names, name)
			f.Machine = l.Machine
		}
	}
	if c.Phase == raylink.PhaseWorkers {
		names = nil
		for _, l := range missing(seen, now, c, leases) {
			names = append(names, fmt.Sprintf("%s on machine %s is not alive in Ray's view", l.Node, l.Machine))
			f.Machine = l.Machine
		}
	}
	f.Reason = fmt.Sprintf("not done after %s: %s", deadline(s, c, leases), strings.Join(names, ", "))
	return f
}

func stageFor(p raylink.Phase) raylink.Stage {
	switch p {
	case raylink.PhaseImage:
		return raylink.StageImage
	case raylink.PhaseOverlay:
		return raylink.StageMesh
	case raylink.PhasePreflight:
		return raylink.StagePreflight
	}
	return raylink.StageRunning
}

func blockedPairs(seen Seen, leases []*state.Lease) string {
	names := map[string]string{}
	for _, l := range leases {
		names[l.Address.String()] = l.Node
	}
	var pairs []string
	for _, l := range leases {
		r, _ := seen.lease(l.Machine, l.ID)
		for _, b := range r.Blocked {
			if to := names[b]; to != "" {
				b = to
			}
			pairs = append(pairs, l.Node+" and "+b)
		}
	}
	return strings.Join(pairs, ", ")
}

// Detail says in words what a cluster waits for now.
func Detail(s *state.State, c *state.Cluster) string {
	if c.Phase == raylink.PhaseReady || c.Phase.Over() || c.Phase == raylink.PhasePlaced {
		return c.Reason
	}
	if c.Phase == raylink.PhaseEnding {
		return c.Reason + "; machines clean up and the last minutes are settled"
	}
	var waiting []string
	for _, l := range s.ClusterLeases(c.ID) {
		if l.Stage.Order() < stageFor(c.Phase).Order() {
			waiting = append(waiting, l.Node)
		}
	}
	if len(waiting) == 0 {
		return "waiting for Ray's own view"
	}
	return "waiting for " + strings.Join(waiting, ", ")
}

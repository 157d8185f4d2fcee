package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Next is what the leader proposes now. Facts come before the conclusions from them, so a later call draws those.
func Next(s *state.State, seen Seen, now time.Time) []state.Command {
	seen.loss = lossOf(s, seen, now)
	var steps []state.Command
	moved := map[raylink.ClusterID]bool{}
	facts := leaseFacts(s, seen, now)
	for _, f := range facts {
		moved[s.Leases[f.Lease].Cluster] = true
	}
	steps = append(steps, records(facts)...)
	for _, id := range slices.Sorted(maps.Keys(s.Clusters)) {
		c := s.Clusters[id]
		if c.Phase.Over() {
			continue
		}
		own := gatewayFacts(s, seen, now, c)
		steps = append(steps, own...)
		if (moved[id] || len(own) > 0) && c.Phase != raylink.PhaseReady {
			continue
		}
		steps = append(steps, nextOfCluster(s, seen, now, c)...)
	}
	steps = append(steps, minutes(s, seen, now)...)
	steps = append(steps, offers(s, seen, now)...)
	steps = append(steps, supply(s, seen, now)...)
	steps = append(steps, proofs(s, seen, now)...)
	steps = append(steps, Money(s, now)...)
	if s.Sweepable(now) {
		steps = append(steps, &state.Sweep{})
	}
	return steps
}

// offers follows what agents and gateways say of themselves.
func offers(s *state.State, seen Seen, now time.Time) []state.Command {
	var steps []state.Command
	for _, id := range hits(seen.Machines, func(id raylink.MachineID, said MachineSeen) bool {
		offer, m := said.Report.Offer, s.Machines[id]
		return m != nil && offer != nil && now.Sub(m.OfferedAt) >= OfferRest && !sameOffer(*offer, m.Offer) && offer.Check() == nil
	}) {
		steps = append(steps, &state.SetOffer{ID: id, Offer: *seen.Machines[id].Report.Offer})
	}
	for _, id := range slices.Sorted(maps.Keys(seen.Gateways)) {
		r, g := seen.Gateways[id].Report, s.Gateways[id]
		if state.CheckBeside(r.Beside) != nil {
			r.Beside = ""
		}
		if g != nil && r.URL != "" && (r.URL != g.URL || r.Beside != g.Beside) && state.CheckURL(r.URL) == nil {
			steps = append(steps, &state.SetGatewayURL{ID: id, URL: r.URL, Beside: r.Beside})
		}
	}
	return steps
}

func sameOffer(a, b raylink.Offer) bool {
	return a.Resources.CPU == b.Resources.CPU && a.Resources.Memory == b.Resources.Memory && a.Resources.GPU == b.Resources.GPU &&
		maps.Equal(a.Resources.Custom, b.Resources.Custom) && a.Arch == b.Arch && a.Accelerator == b.Accelerator &&
		maps.Equal(a.Labels, b.Labels) && a.CPUHour == b.CPUHour && a.GPUHour == b.GPUHour
}

// leaseFacts are what agents and gateways report of leases and the log does not have yet.
func leaseFacts(s *state.State, seen Seen, now time.Time) []state.LeaseFact {
	var facts []state.LeaseFact
	for _, id := range slices.Sorted(maps.Keys(s.Leases)) {
		l := s.Leases[id]
		if l.Gone {
			continue
		}
		c := s.Clusters[l.Cluster]
		fact := l.Fact()
		r, ok := seen.lease(l.Machine, id)
		switch {
		case c.Phase == raylink.PhaseEnding && silent(seen, l.Machine, c, now): // whatever it said last
			fact.Stage = raylink.StageGone
		case ok && r.Stage.Order() >= 0:
			fact.Stage, fact.Restarts, fact.Failure = r.Stage, r.Restarts, trimFailure(r.Failure, l.Machine)
			if known := r.PublicKey == l.PublicKey && r.Signature == l.Signature; reachable(r.Endpoint) && r.PublicKey != "" &&
				(known || keyHolds(s.Machines[l.Machine].PublicKey, string(id), r.PublicKey, r.Signature)) {
				fact.PublicKey, fact.Signature, fact.Endpoint = r.PublicKey, r.Signature, r.Endpoint
			}
			// Gone counts only for what is to end: an agent that lost its memory reports nothing, not "gone".
			if r.Stage == raylink.StageGone && c.Phase != raylink.PhaseEnding {
				fact.Stage = l.Stage
			}
		}
		if node := rayNode(seen.reports(c.ID, now), l); node != "" {
			fact.RayNode = node
		}
		if !sameFact(fact, l.Fact()) {
			facts = append(facts, fact)
		}
	}
	return facts
}

func silent(seen Seen, m raylink.MachineID, c *state.Cluster, now time.Time) bool {
	last := seen.Since
	if heard, ok := seen.Machines[m]; ok {
		last = heard.At
	}
	return !seen.loss.has(m) && now.Sub(last) >= GoneAfter && now.Sub(*c.EndingAt) >= GoneAfter
}

func sameFact(a, b state.LeaseFact) bool {
	fa, fb := a.Failure, b.Failure
	a.Failure, b.Failure = nil, nil
	return a == b && (fa == nil) == (fb == nil) && (fa == nil || *fa == *fb)
}

// rayNode is Ray's id of a lease's living node, by any gateway's word.
func rayNode(reports []wire.ClusterReport, l *state.Lease) string {
	for _, r := range reports {
		for _, n := range r.Nodes {
			if n.Alive && n.Address == l.Address && len(n.RayNode) <= state.MaxName {
				return n.RayNode
			}
		}
	}
	return ""
}

// gatewayFacts gives every living gateway a place in a cluster's overlay, and records its key and endpoint once it has told them.
func gatewayFacts(s *state.State, seen Seen, now time.Time, c *state.Cluster) []state.Command {
	if c.Phase == raylink.PhaseEnding {
		return nil
	}
	var steps []state.Command
	known := map[raylink.GatewayID]state.GatewayNode{}
	for _, g := range c.Gateways {
		known[g.Gateway] = g
	}
	room := state.MaxGateways - len(c.Gateways)
	for _, id := range slices.Sorted(maps.Keys(seen.Gateways)) {
		g, ok := s.Gateways[id]
		if !ok {
			continue
		}
		want, member := known[id]
		if !member {
			if room <= 0 || now.Sub(seen.Gateways[id].At) > UpFor {
				continue
			}
			room--
		}
		want.Gateway = id
		for _, r := range seen.Gateways[id].Report.Clusters {
			if r.Cluster != c.ID || !reachable(r.Endpoint) {
				continue
			}
			same := r.PublicKey == want.PublicKey && r.Signature == want.Signature && r.PublicKey != ""
			if same || keyHolds(g.PublicKey, string(c.ID), r.PublicKey, r.Signature) {
				want.PublicKey, want.Signature, want.Endpoint = r.PublicKey, r.Signature, r.Endpoint
			}
		}
		if !member || want != known[id] {
			steps = append(steps, &state.RecordGateway{Cluster: c.ID, Gateway: id, PublicKey: want.PublicKey, Signature: want.Signature, Endpoint: want.Endpoint})
		}
	}
	return steps
}

func nextOfCluster(s *state.State, seen Seen, now time.Time, c *state.Cluster) []state.Command {
	switch c.Phase {
	case raylink.PhaseReady:
		return keep(s, seen, now, c)
	case raylink.PhaseEnding:
		if s.Closable(c) {
			return []state.Command{&state.CloseCluster{ID: c.ID}}
		}
		return nil
	}
	leases := s.ClusterLeases(c.ID)
	if why := takenBack(s, seen, now, c); why != "" {
		return []state.Command{&state.EndCluster{ID: c.ID, Reason: why}}
	}
	for _, l := range leases {
		if l.Failure != nil {
			return fail(c, *l.Failure)
		}
	}
	if next := advance(s, seen, now, c, leases); next != c.Phase {
		return []state.Command{&state.AdvanceCluster{ID: c.ID, Phase: next}}
	}
	entered := c.Stages[len(c.Stages)-1].At
	if now.Sub(entered) > deadline(s, c, leases) && now.Sub(seen.Since) > ListenFor && !seen.loss.hits(leases) {
		return fail(c, late(s, seen, now, c, leases))
	}
	return nil
}

func fail(c *state.Cluster, f raylink.Failure) []state.Command {
	return []state.Command{&state.EndCluster{ID: c.ID, Reason: fmt.Sprintf("failed in stage %s: %s", f.Stage, f.Reason), Failure: &f}}
}

// advance is the phase that a cluster has earned by the facts.
func advance(s *state.State, seen Seen, now time.Time, c *state.Cluster, leases []*state.Lease) raylink.Phase {
	reached := func(stage raylink.Stage, which func(*state.Lease) bool) bool {
		for _, l := range leases {
			if which(l) && (l.Stage.Order() < stage.Order() || l.Stage == raylink.StageGone) {
				return false
			}
		}
		return true
	}
	all := func(*state.Lease) bool { return true }
	head := func(l *state.Lease) bool { return l.Role == raylink.NodeHead }
	switch c.Phase {
	case raylink.PhasePlaced:
		return raylink.PhaseImage
	case raylink.PhaseImage:
		if reached(raylink.StageImage, all) {
			return raylink.PhaseOverlay
		}
	case raylink.PhaseOverlay:
		if reached(raylink.StageMesh, all) && keyed(leases) && gatewayIn(seen, c, now) {
			return raylink.PhasePreflight
		}
	case raylink.PhasePreflight:
		if reached(raylink.StagePreflight, all) {
			return raylink.PhaseHead
		}
	case raylink.PhaseHead:
		if reached(raylink.StageRunning, head) && headUp(seen.reports(c.ID, now)) {
			return raylink.PhaseWorkers
		}
	case raylink.PhaseWorkers:
		if reached(raylink.StageRunning, all) && len(missing(seen, now, c, leases)) == 0 {
			return raylink.PhaseReady
		}
	}
	return c.Phase
}

func keyed(leases []*state.Lease) bool {
	return !slices.ContainsFunc(leases, func(l *state.Lease) bool { return l.PublicKey == "" })
}

func gatewayIn(seen Seen, c *state.Cluster, now time.Time) bool {
	return slices.ContainsFunc(c.Gateways, func(g state.GatewayNode) bool {
		return g.PublicKey != "" && now.Sub(seen.Gateways[g.Gateway].At) <= UpFor
	})
}

func headUp(reports []wire.ClusterReport) bool {
	return slices.ContainsFunc(reports, func(r wire.ClusterReport) bool { return r.HeadUp })
}

// missing are the leases that no gateway sees alive in Ray's own view.
func missing(seen Seen, now time.Time, c *state.Cluster, leases []*state.Lease) []*state.Lease {
	reports := seen.reports(c.ID, now)
	var list []*state.Lease
	for _, l := range leases {
		if rayNode(reports, l) == "" || l.RayNode == "" {
			list = append(list, l)
		}
	}
	return list
}

// keep looks after a ready cluster: it ends without money or without its head, and warns before.
func keep(s *state.State, seen Seen, now time.Time, c *state.Cluster) []state.Command {
	if why := takenBack(s, seen, now, c); why != "" {
		return []state.Command{&state.EndCluster{ID: c.ID, Reason: why}}
	}
	warnings := leaving(s, seen, now, c)
	for _, l := range s.ClusterLeases(c.ID) {
		if l.Failure == nil {
			if now.Sub(seen.Since) >= ListenFor && !seen.Up(l.Machine, now) {
				warnings = append(warnings, fmt.Sprintf("machine %s of %s has fallen silent; minutes without its word are not charged", l.Machine, l.Node))
			}
			if warning := unanswered(s, l); warning != "" {
				warnings = append(warnings, warning)
			}
			continue
		}
		if l.Role == raylink.NodeHead {
			return fail(c, *l.Failure)
		}
		warnings = append(warnings, fmt.Sprintf("%s on machine %s is lost and not charged: %s", l.Node, l.Machine, l.Failure.Reason))
	}
	end, warning := funds(s, now, c)
	if end != "" {
		return []state.Command{&state.EndCluster{ID: c.ID, Reason: end}}
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	if warning := strings.Join(warnings, "; "); warning != c.Warning {
		return []state.Command{&state.WarnCluster{ID: c.ID, Warning: warning}}
	}
	return nil
}

// funds says why a cluster has to end for want of money, or what its owner should know before.
func funds(s *state.State, now time.Time, c *state.Cluster) (end, warning string) {
	r := s.Runway(c)
	if !r.Costs {
		return "", ""
	}
	// The hold is filled up whenever a minute is settled, so the purse counts; minutes that were used and wait for evidence count against it.
	pending := int64(0)
	for _, l := range s.ClusterLeases(c.ID) {
		pending = max(pending, l.Due(now, nil)-l.Meter.Next)
	}
	limited := r.Budget < r.Held+r.Purse
	switch left := r.Minutes() - pending; {
	case left < 1 && limited:
		return usedUp(c, r), ""
	case left < 1 && r.Halt != "":
		return "the price of IO cannot be believed (" + r.Halt + ") and what was held is used up", ""
	case left < 1:
		return "the balance is used up", ""
	case left <= WarnRunway && limited:
		return "", lastsFor(c, r)
	case r.Halt != "":
		return "", fmt.Sprintf("the price of IO cannot be believed (%s): the hold is used up, and then the cluster ends in order", r.Halt)
	case left <= WarnRunway:
		return "", fmt.Sprintf("the balance lasts for %d minutes or less; top it up, or the cluster ends in order", WarnRunway)
	}
	return "", alarms(s, c)
}

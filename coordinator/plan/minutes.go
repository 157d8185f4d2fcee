package plan

import (
	"maps"
	"slices"
	"time"

	"raylink/billing/meter"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// minutes settles what can be settled: each lease's next minutes in order, while the evidence of both sides is there or overdue.
func minutes(s *state.State, seen Seen, now time.Time) []state.Command {
	index := confirmations(seen)
	var steps []state.Command
	var batch []state.SettleMinute
	for _, id := range slices.Sorted(maps.Keys(s.Leases)) {
		l := s.Leases[id]
		due := l.Due(now, s.Clusters[l.Cluster].EndingAt)
		for ordinal := l.Meter.Next; ordinal < due; ordinal++ {
			m, ok := judge(seen, index, now, l, ordinal)
			if !ok {
				break
			}
			batch = append(batch, m)
			if len(batch) == state.MaxMinutes {
				steps = append(steps, &state.SettleMinutes{Minutes: batch})
				batch = nil
			}
		}
	}
	if len(batch) > 0 {
		steps = append(steps, &state.SettleMinutes{Minutes: batch})
	}
	return steps
}

type minuteKey struct {
	lease   raylink.LeaseID
	ordinal int64
}

// confirmations are every gateway's words by minute, in the order of the gateways' ids.
func confirmations(seen Seen) map[minuteKey][]meter.Confirmation {
	index := map[minuteKey][]meter.Confirmation{}
	for _, id := range slices.Sorted(maps.Keys(seen.Gateways)) {
		for _, c := range seen.Gateways[id].Report.Clusters {
			for _, r := range c.Minutes {
				k := minuteKey{r.Lease, r.Ordinal}
				index[k] = append(index[k], meter.Confirmation{Gateway: string(id), Seconds: r.Seconds, RayNode: r.RayNode, Signature: r.Signature})
			}
		}
	}
	return index
}

// judge decides about one minute that has passed: settle it with this evidence, or wait.
func judge(seen Seen, index map[minuteKey][]meter.Confirmation, now time.Time, l *state.Lease, ordinal int64) (state.SettleMinute, bool) {
	m := state.SettleMinute{Lease: l.ID, Ordinal: ordinal}
	if r, ok := record(seen, l, ordinal); ok {
		m.Agent = &meter.Evidence{Seconds: r.Seconds, RayNode: r.RayNode, Machine: string(l.Machine), Signature: r.Signature}
	}
	for _, c := range index[minuteKey{l.ID, ordinal}] {
		if m.Gateway == nil || c.Seconds > m.Gateway.Seconds {
			m.Gateway = &c
		}
	}
	over := now.Sub(l.ReadyAt.Add(time.Duration(ordinal+1) * state.Minute))
	if m.Agent != nil && m.Gateway != nil {
		charge, _ := meter.Verdict(m.Agent.Seconds, m.Gateway.Seconds)
		return m, charge || over >= VerdictWait
	}
	return m, over >= EvidenceWait && now.Sub(seen.Since) >= ListenFor
}

func record(seen Seen, l *state.Lease, ordinal int64) (wire.MinuteRecord, bool) {
	r, _ := seen.lease(l.Machine, l.ID)
	for _, m := range r.Minutes {
		if m.Lease == l.ID && m.Ordinal == ordinal {
			return m, true
		}
	}
	return wire.MinuteRecord{}, false
}

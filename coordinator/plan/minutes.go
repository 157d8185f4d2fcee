package plan

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"raylink/billing/meter"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// minutesAtOnce is how many minutes stand in one command, under one signature of the leader. One entry must not hold up the state machine, and all that reads
// it, for more than a few milliseconds: BenchmarkTick shows what a command of so many does.
const minutesAtOnce = 20

// minutes settles what can be settled: each lease's next minutes in order, while the evidence of both sides is there or overdue. The
// leases of a cluster take turns, so that a purse which runs dry fails all of them at the same minute.
func minutes(s *state.State, seen Seen, now time.Time) []state.Command {
	index := confirmations(seen)
	var batch []state.SettleMinute
	for _, id := range slices.Sorted(maps.Keys(s.Leases)) {
		l := s.Leases[id]
		due := l.Due(now, s.Clusters[l.Cluster].EndingAt)
		for ordinal := l.Meter.Next; ordinal < due; ordinal++ {
			m, ok := judge(s, seen, index, now, l, ordinal)
			if !ok {
				break
			}
			batch = append(batch, m)
		}
	}
	slices.SortStableFunc(batch, func(a, b state.SettleMinute) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	var steps []state.Command
	for part := range slices.Chunk(batch, minutesAtOnce) {
		steps = append(steps, &state.SettleMinutes{Minutes: part})
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
				index[k] = append(index[k], *confirmation(id, r))
			}
		}
	}
	return index
}

// judge decides about one minute that has passed: settle it with this evidence, or wait.
func judge(s *state.State, seen Seen, index map[minuteKey][]meter.Confirmation, now time.Time, l *state.Lease, ordinal int64) (state.SettleMinute, bool) {
	m := state.SettleMinute{Lease: l.ID, Ordinal: ordinal}
	if r, ok := record(seen, l, ordinal); ok {
		m.Agent = evidence(l.Machine, r)
	}
	for _, c := range index[minuteKey{l.ID, ordinal}] {
		try := state.SettleMinute{Lease: l.ID, Ordinal: ordinal, Gateway: &c}
		if (m.Gateway == nil || c.Seconds > m.Gateway.Seconds) && s.Counted(try, seen.holds).Gateway != nil {
			m.Gateway = &c
		}
	}
	m = s.Counted(m, seen.holds) // a forged word must not stand in the way of a true one that is still to come
	end := l.ReadyAt.Add(time.Duration(ordinal+1) * state.Minute)
	m.Excused = seen.loss.has(l.Machine) && end.After(seen.loss.From)
	over := now.Sub(end)
	if m.Agent != nil && m.Gateway != nil {
		charge, _ := meter.Verdict(m.Agent.Seconds, m.Gateway.Seconds)
		return m, charge || over >= VerdictWait && now.Sub(seen.Since) >= VerdictWait
	}
	return m, over >= EvidenceWait && now.Sub(seen.Since) >= ListenFor
}

// Words are those about minutes that have passed and are not settled: the ones whose signatures the next look asks for. Who checks them before, and gives
// the answers as Seen.Checked, does not do it under the state's lock.
func Words(s *state.State, seen Seen, now time.Time) []state.Word {
	var words []state.Word
	due := func(lease raylink.LeaseID, ordinal int64) bool {
		l, ok := s.Leases[lease]
		return ok && ordinal >= l.Meter.Next && ordinal < l.Due(now, s.Clusters[l.Cluster].EndingAt)
	}
	for id, said := range seen.Machines {
		for _, lease := range said.Report.Leases {
			last := int64(-1)
			for _, r := range lease.Minutes {
				if r.Lease != lease.Lease || r.Ordinal == last || !due(r.Lease, r.Ordinal) {
					continue
				}
				last = r.Ordinal // of several about one minute the first counts (record)
				if w, ok := s.AgentsWord(state.SettleMinute{Lease: r.Lease, Ordinal: r.Ordinal, Agent: evidence(id, r)}); ok {
					words = append(words, w)
				}
			}
		}
	}
	for id, said := range seen.Gateways {
		for _, c := range said.Report.Clusters {
			for _, r := range c.Minutes {
				if !due(r.Lease, r.Ordinal) {
					continue
				}
				if w, ok := s.GatewaysWord(state.SettleMinute{Lease: r.Lease, Ordinal: r.Ordinal, Gateway: confirmation(id, r)}); ok {
					words = append(words, w)
				}
			}
		}
	}
	return words
}

// holds says whether a word's signature does: as it was found before, or by checking it now.
func (s Seen) holds(w state.Word) bool {
	if holds, checked := s.Checked[w]; checked {
		return holds
	}
	return w.Holds()
}

func evidence(id raylink.MachineID, r wire.MinuteRecord) *meter.Evidence {
	return &meter.Evidence{Seconds: r.Seconds, RayNode: r.RayNode, Machine: string(id), Signature: r.Signature}
}

func confirmation(id raylink.GatewayID, r wire.MinuteRecord) *meter.Confirmation {
	return &meter.Confirmation{Gateway: string(id), Seconds: r.Seconds, RayNode: r.RayNode, Signature: r.Signature}
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

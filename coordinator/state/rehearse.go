package state

import (
	"encoding/json"
	"time"

	"raylink/billing/lot"
	"raylink/raylink"
)

// rehearsal is what the commands of minutes that an entry begins with have done on a stage: a state of its own, with copies of the little that they change. So
// postings, notes and hashes are made while others read the state, which is held only to take them over.
type rehearsal struct {
	stage   *State
	results []json.RawMessage // of the entry's first commands
}

// rehearse carries out the commands of minutes that an entry of that time begins with; nil if it begins with another. The state is only read.
func (s *State) rehearse(at time.Time, list []decoded) *rehearsal {
	var minutes []SettleMinute
	commands := 0
	for _, d := range list {
		settle, is := d.cmd.(*SettleMinutes)
		if !is || d.env.Key != "" {
			break
		}
		minutes = append(minutes, settle.Minutes...)
		commands++
	}
	if commands == 0 {
		return nil
	}
	r := &rehearsal{stage: s.stageOf(minutes)}
	r.stage.tell(at)
	for _, d := range list[:commands] {
		r.results = append(r.results, r.stage.applyOnce(d.env, d.cmd))
	}
	return r
}

// stageOf is a state with all that settling these minutes looks at. What it changes are copies: leases, machines, caps, ledger, and an empty book of lots. Whoever
// makes settling look at or change more has to see to it here and in perform: TestReplicas and TestMoneyWalk hold replicas that rehearse against one that does not.
func (s *State) stageOf(minutes []SettleMinute) *State {
	stage := *s
	stage.Clusters, stage.Leases = make(map[raylink.ClusterID]*Cluster, len(minutes)), make(map[raylink.LeaseID]*Lease, len(minutes))
	stage.Machines, stage.Caps = map[raylink.MachineID]*Machine{}, map[raylink.AccountID]*Cap{}
	stage.Ledger, stage.Lots = s.Ledger.Draft(), lot.NewBook()
	for _, m := range minutes {
		l, known := s.Leases[m.Lease]
		if !known || stage.Clusters[l.Cluster] != nil {
			continue
		}
		c := s.Clusters[l.Cluster]
		stage.Clusters[c.ID] = c
		for _, id := range c.Leases {
			of := *s.Leases[id]
			stage.Leases[id] = &of
			if stage.Machines[of.Machine] == nil {
				machine := *s.Machines[of.Machine]
				stage.Machines[of.Machine] = &machine
			}
		}
		if limit := s.Caps[c.Owner]; limit != nil {
			limit := *limit
			stage.Caps[c.Owner] = &limit
		}
	}
	return &stage
}

// perform takes over what was rehearsed, and gives the results; none if the state is not at the time that was rehearsed for.
func (r *rehearsal) perform(s *State) []json.RawMessage {
	if r == nil || !r.stage.Now.Equal(s.Now) {
		return nil
	}
	s.SealKey = r.stage.SealKey
	for id, l := range r.stage.Leases {
		s.Leases[id].Meter = l.Meter
	}
	for id, m := range r.stage.Machines {
		s.Machines[id].Record = m.Record
	}
	for id, limit := range r.stage.Caps {
		*s.cap(id) = *limit
	}
	s.Ledger.Take(r.stage.Ledger)
	_ = s.Lots.AddAll(r.stage.Lots) // it cannot refuse: see awaitLot
	return r.results
}

package state

import (
	"errors"
	"fmt"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/raylink"
)

// MaxMinutes is how many minutes one SettleMinutes carries.
const MaxMinutes = 1000

// SettleMinutes ends minutes of use: each as charged or as waived with a reason, in the order of its lease's ordinals.
// A minute that is settled already, or that comes out of turn, is passed over: the leader may have died between two proposals.
// A leader that has checked both sides' words signs for all of them (Sign), and they are not checked again here.
type SettleMinutes struct {
	Minutes   []SettleMinute `json:"minutes"`
	Key       string         `json:"key,omitempty"`       // the group's, standard base64
	Signature string         `json:"signature,omitempty"` // by Key over meter.SealBytes of the minutes; absent in old logs

	sealed bool         // the signature was found to hold
	parts  []meter.Seal // what each minute carries of it
}

// SettleMinute is one minute of one lease with both sides' evidence. Where a side is missing the minute is waived.
type SettleMinute struct {
	Lease   raylink.LeaseID     `json:"lease"`
	Ordinal int64               `json:"ordinal"`
	Agent   *meter.Evidence     `json:"agent,omitempty"`
	Gateway *meter.Confirmation `json:"gateway,omitempty"`
	Excused bool                `json:"excused,omitempty"` // many machines were lost at once: it does not count against this one
}

// Settled counts what a SettleMinutes did.
type Settled struct {
	Charged int `json:"charged"`
	Waived  int `json:"waived"`
	Skipped int `json:"skipped"`
}

func (*SettleMinutes) kind() string { return "minutes.settle" }

func (c *SettleMinutes) apply(s *State) (any, error) {
	if len(c.Minutes) > MaxMinutes {
		return nil, raylink.Errorf(raylink.CodeTooLarge, "%d minutes in one command; at most %d are taken", len(c.Minutes), MaxMinutes)
	}
	seals, err := c.seals(s)
	if err != nil {
		return nil, err
	}
	var done Settled
	touched := map[raylink.ClusterID]bool{}
	var order []raylink.ClusterID
	for i, m := range c.Minutes {
		l, ok := s.Leases[m.Lease]
		if !ok || m.Ordinal != l.Meter.Next || m.Ordinal >= l.Due(s.Now, s.Clusters[l.Cluster].EndingAt) {
			done.Skipped++
			continue
		}
		var seal *meter.Seal
		holds := Word.Holds
		if seals != nil {
			seal, holds = &seals[i], believed
			if !s.couldBe(m) { // a word that cannot count, and that no honest leader signs for: nothing is settled by it
				done.Skipped++
				continue
			}
		}
		charged, err := s.settle(l, s.Counted(m, holds), seal)
		switch {
		case err != nil: // arithmetic that cannot be done; the minutes before stand, so this is no refusal of them
			done.Skipped++
			continue
		case charged:
			done.Charged++
		default:
			done.Waived++
		}
		if !touched[l.Cluster] {
			touched[l.Cluster] = true
			order = append(order, l.Cluster)
		}
	}
	for _, id := range order {
		if c := s.Clusters[id]; c.Phase == raylink.PhaseReady {
			s.refill(c)
		}
	}
	return done, nil
}

// settle posts one minute, of which only what counts is left.
func (s *State) settle(l *Lease, m SettleMinute, seal *meter.Seal) (charged bool, err error) {
	c := s.Clusters[l.Cluster]
	note := meter.MinuteNote{Cluster: string(c.ID), Lease: string(l.ID), Node: l.Node, Machine: string(l.Machine), Ordinal: m.Ordinal,
		Rate: l.Meter.Rate, FeeBasisPoints: l.Meter.FeeBasisPoints, Agent: m.Agent, Gateway: m.Gateway, Coordinator: seal}
	ref := meter.Ref(string(l.ID), m.Ordinal)
	charge, reason := note.Verdict()
	if charge {
		next := l.Meter
		use, fee, err := next.Charge(m.Ordinal)
		if err != nil {
			return false, refusal(err)
		}
		paid := note
		paid.Budget = c.Budget
		moves, err := s.minuteMoves(l, c, &next, use, fee, &paid)
		if err != nil {
			return false, refusal(err)
		}
		if c.Budget > 0 && s.Spent(c)+use+fee > c.Budget {
			return false, s.waive(l, ref, paid, meter.ReasonBudget, m.Excused)
		}
		_, err = s.Ledger.Post(s.Now, meter.KindCharged, ref, moves, paid)
		if errors.Is(err, ledger.ErrInsufficient) && s.refill(c) { // many minutes at once, after a time without a leader
			_, err = s.Ledger.Post(s.Now, meter.KindCharged, ref, moves, paid)
		}
		if err == nil {
			l.Meter = next
			s.awaitLot(purse(c.Purse), l.Supplier, moves)
			s.spend(c.Owner, use+fee)
			s.measure(l, note, m.Excused)
			return true, nil
		}
		if !errors.Is(err, ledger.ErrInsufficient) {
			return false, refusal(err)
		}
		note, reason = paid, meter.ReasonUnfunded
	}
	return false, s.waive(l, ref, note, reason, m.Excused)
}

// waive settles a minute at no cost.
func (s *State) waive(l *Lease, ref string, note meter.MinuteNote, reason string, excused bool) error {
	note.Reason = reason
	next := l.Meter
	if err := next.Waive(note.Ordinal); err != nil {
		return refusal(err)
	}
	if _, err := s.Ledger.Post(s.Now, meter.KindWaived, ref, nil, note); err != nil {
		return refusal(err)
	}
	l.Meter = next
	s.measure(l, note, excused)
	return nil
}

// minuteMoves are the postings of a minute: payer and supplier convert at one price, into the assets that they have chosen. The note says which.
func (s *State) minuteMoves(l *Lease, c *Cluster, next *meter.Lease, use, fee int64, note *meter.MinuteNote) ([]ledger.Posting, error) {
	m := exchange.Minute{Cluster: string(c.ID), Supplier: string(l.Supplier), Purse: purse(c.Purse), Takes: s.Takes(l.Supplier), Use: use, Fee: fee}
	last, err := s.Prices.Snapshot(s.Now)
	if err != nil {
		m.Halted, note.PriceHalt = true, haltCode(err)
		last, _ = s.Prices.Last()
	}
	if !m.Halted || m.Purse.Asset() == money.IO {
		m.Price, note.Price, note.PriceID = last.Price, last.Price, last.ID
	}
	note.Purse, note.Takes = string(m.Purse), m.Takes
	if m.Takes == money.USDC && !m.Paused() {
		note.SupplierFeeBasisPoints = exchange.SupplierFeeBasisPoints(m.Takes)
		if m.SupplierFee, err = next.SupplierFee(use, note.SupplierFeeBasisPoints); err != nil {
			return nil, err
		}
	}
	return exchange.Postings(m)
}

func refillRef(s *State, c *Cluster) string {
	seq, _ := s.Ledger.Head()
	return fmt.Sprintf("%s/%d", c.ID, seq+1)
}

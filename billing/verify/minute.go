package verify

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// lease is what the minutes of one lease have in common, and its meter.
type lease struct {
	first    meter.MinuteNote
	supplier string // bare id; empty until something was paid to one
	purse    string // empty until a note has one
	meter    meter.Lease
	paid     money.Amount // out of the hold, in the purse's asset
}

// minute judges an entry that settles a minute.
func (v *verifier) minute(entry ledger.Entry) {
	var note meter.MinuteNote
	if err := readStrict(entry.Note, &note); err != nil {
		v.problem(entry.Seq, "note of a minute: %v", err)
		return
	}
	if entry.Ref != meter.Ref(note.Lease, note.Ordinal) {
		v.problem(entry.Seq, "ref %s, but the note is of minute %d of lease %s", entry.Ref, note.Ordinal, note.Lease)
		return
	}
	v.evidence(entry.Seq, note)
	known := v.leases[note.Lease]
	if known == nil {
		known = &lease{first: note, meter: meter.Lease{Rate: note.Rate, FeeBasisPoints: note.FeeBasisPoints}}
		v.leases[note.Lease] = known
	}
	first := known.first
	if note.Cluster != first.Cluster || note.Node != first.Node || note.Machine != first.Machine ||
		note.Rate != first.Rate || note.FeeBasisPoints != first.FeeBasisPoints {
		v.problem(entry.Seq, "cluster, node, machine, rate or fee of lease %s differ from its first minute's", note.Lease)
	}
	if entry.Kind == meter.KindCharged {
		v.charged(entry, note, known)
	} else {
		v.waived(entry, note, known)
	}
}

// evidence checks the two signed statements, where there.
func (v *verifier) evidence(seq uint64, note meter.MinuteNote) {
	if agent := note.Agent; agent != nil {
		if agent.Machine != note.Machine {
			v.problem(seq, "evidence is machine %s's, but the lease is on %s", agent.Machine, note.Machine)
		}
		message := minuteBytes(note.Lease, note.Ordinal, agent.Seconds, agent.RayNode)
		v.statement(seq, "machine "+agent.Machine, v.header.Machines[agent.Machine], message, agent.Signature, agent.Seconds)
	}
	if gateway := note.Gateway; gateway != nil {
		message := confirmBytes(note.Lease, note.Ordinal, gateway.Seconds, gateway.RayNode)
		v.statement(seq, "gateway "+gateway.Gateway, v.header.Gateways[gateway.Gateway], message, gateway.Signature, gateway.Seconds)
	}
	if note.Coordinator != nil {
		v.sealed(seq, note)
	} else if v.seals {
		v.problem(seq, "no coordinator signed this minute, though the minutes before are signed")
	}
}

// sealed judges the coordinator's signature, which is under all minutes that were settled together: of these, the signature is checked once.
func (v *verifier) sealed(seq uint64, note meter.MinuteNote) {
	v.seals = true
	seal := note.Coordinator
	if seal.Of > maxSealed {
		v.problem(seq, "coordinator signed for %d minutes at once, at most %d can be", seal.Of, maxSealed)
		return
	}
	root, err := seal.Root(meter.Leaf(note.Lease, note.Ordinal, note.Agent, note.Gateway))
	if err != nil {
		v.problem(seq, "coordinator's signature: %v", err)
		return
	}
	message := meter.SealBytes(seal.Of, root)
	if statement := string(message) + seal.Signature; statement != v.lastSeal {
		v.lastSeal = statement
		v.statement(seq, "the coordinators", v.header.GroupKey, message, seal.Signature, 0)
	}
}

// maxSealed is the most minutes that coordinators settle, and sign for, at once.
const maxSealed = 1000

func (v *verifier) statement(seq uint64, who string, key ed25519.PublicKey, message []byte, signature string, seconds int) {
	if seconds < 0 || seconds > meter.SecondsPerMinute {
		v.problem(seq, "%s claims %d seconds of a minute", who, seconds)
	}
	if key == nil {
		v.problem(seq, "%s signed, but the header has no key of it", who)
		return
	}
	v.pending = append(v.pending, signed{seq: seq, line: v.line, who: who, key: key, message: message, signature: signature})
	if len(v.pending) >= signaturesAtOnce {
		v.signatures()
	}
}

// signaturesAtOnce is how many signatures are checked together: enough to share, little to keep.
const signaturesAtOnce = 4096

// signed is a statement whose signature is still to be checked.
type signed struct {
	seq       uint64
	line      int
	who       string
	key       ed25519.PublicKey
	message   []byte
	signature string
}

// signatures checks those that are pending.
func (v *verifier) signatures() {
	bad := make([]bool, len(v.pending))
	v.many(len(v.pending), func(i int) {
		raw, err := base64.StdEncoding.Strict().DecodeString(v.pending[i].signature)
		bad[i] = err != nil || !fits(v.pending[i].key, v.pending[i].message, raw)
	})
	line := v.line
	for i, s := range v.pending {
		if bad[i] {
			v.line = s.line
			v.problem(s.seq, "statement of %s: signature does not fit", s.who)
		}
	}
	v.line, v.pending = line, v.pending[:0]
}

// charged checks rule, order and price of a charged minute.
func (v *verifier) charged(entry ledger.Entry, note meter.MinuteNote, known *lease) {
	if charge, reason := note.Verdict(); !charge {
		v.problem(entry.Seq, "charged, though to be waived: %s", reason)
	}
	if note.Coordinator == nil {
		v.report.Unsigned++
	}
	if note.Reason != "" {
		v.problem(entry.Seq, "charged, yet with a reason to waive: %.100q", note.Reason)
	}
	v.purse(entry.Seq, note, known)
	m, err := minuteOf(note, &known.meter)
	if err != nil {
		v.problem(entry.Seq, "lease %s: %v", note.Lease, err)
		return
	}
	for _, posting := range entry.Postings {
		if supplier, earned := ledger.EarnedBy(posting.Account); earned && known.supplier == "" {
			known.supplier = supplier
		}
	}
	if v.spent[note.Cluster] += m.Use + m.Fee; note.Budget < 0 || (note.Budget > 0 && v.spent[note.Cluster] > note.Budget) {
		v.problem(entry.Seq, "cluster %s has cost %v, more than its budget of %v", note.Cluster, money.MicroUSD(v.spent[note.Cluster]), money.MicroUSD(note.Budget))
	}
	m.Supplier = known.supplier
	want, err := postingsOf(note, m)
	if err != nil || !slices.Equal(want, entry.Postings) {
		v.problem(entry.Seq, "postings are not those of minute %d at %v and a fee of %d/10000: use %v, fee %v, supplier's fee %v, at %v, from %s to the supplier of the minutes before",
			note.Ordinal, note.Rate, note.FeeBasisPoints, money.MicroUSD(m.Use), money.MicroUSD(m.Fee), money.MicroUSD(m.SupplierFee), note.Price, ledger.Hold(note.Cluster))
		return
	}
	if note.Purse != "" {
		v.pay(entry.Seq, known, m)
	}
}

// pay adds up what the hold paid.
func (v *verifier) pay(seq uint64, known *lease, m exchange.Minute) {
	cost, err := exchange.Cost(m)
	if err == nil {
		cost.Minor, err = money.AddMinor(cost.Minor, known.paid.Minor)
	}
	if err != nil {
		v.problem(seq, "sum of what was paid: %v", err)
		return
	}
	known.paid = cost
}

// purse checks what the note says of purse, fees and price. A cluster has one purse; a lease may have
// begun before there were any, and then it was granted credit.
func (v *verifier) purse(seq uint64, note meter.MinuteNote, known *lease) {
	before := known.purse
	known.purse = note.Purse
	if note.Purse == "" {
		if before != "" || note.Takes != "" || note.SupplierFeeBasisPoints != 0 || note.Price != 0 || note.PriceID != 0 || note.PriceHalt != "" {
			v.problem(seq, "minute of lease %s has no purse", note.Lease)
		}
		return
	}
	purse, err := exchange.ParsePurse(note.Purse)
	if err != nil {
		v.problem(seq, "%v", err)
		return
	}
	if before == "" && known.meter.Charged > 0 {
		before = string(exchange.Grant)
	}
	if before != "" && note.Purse != before {
		v.problem(seq, "lease %s is paid from %s, but was from %s before", note.Lease, note.Purse, before)
	}
	if rule := purse.FeeBasisPoints(); note.FeeBasisPoints != rule {
		v.problem(seq, "payer's fee of %d/10000, where the rule for %s is %d", note.FeeBasisPoints, purse, rule)
	}
	m := exchange.Minute{Purse: purse, Takes: note.Takes, Price: note.Price, Halted: note.PriceHalt != ""}
	if rule := m.SupplierFeeBasisPoints(); note.SupplierFeeBasisPoints != rule {
		v.problem(seq, "supplier's fee of %d/10000, where the rule for %s is %d", note.SupplierFeeBasisPoints, note.Takes, rule)
	}
	if note.Price == 0 && note.PriceHalt == "" {
		v.problem(seq, "neither a price nor a reason why there is none")
	}
	v.price(seq, note.Price, note.PriceID)
}

// minuteOf charges the meter with the minute, and is the minute but for its supplier.
func minuteOf(note meter.MinuteNote, l *meter.Lease) (exchange.Minute, error) {
	use, fee, err := l.Charge(note.Ordinal)
	if err != nil {
		return exchange.Minute{}, err
	}
	m := exchange.Minute{Cluster: note.Cluster, Purse: exchange.Purse(note.Purse), Takes: note.Takes, Use: use, Fee: fee,
		Price: note.Price, Halted: note.PriceHalt != ""}
	if points := note.SupplierFeeBasisPoints; points != 0 {
		m.SupplierFee, err = l.SupplierFee(use, points)
	}
	return m, err
}

// postingsOf are the postings that the minute has to have; those of a note without a purse go
// straight from the hold to the supplier, in USD.
func postingsOf(note meter.MinuteNote, m exchange.Minute) ([]ledger.Posting, error) {
	if note.Purse == "" {
		return ledger.MinutePostings(ledger.Hold(m.Cluster), ledger.Supplier(m.Supplier), m.Use, m.Fee)
	}
	return exchange.Postings(m)
}

// waived checks rule and order of a waived minute.
func (v *verifier) waived(entry ledger.Entry, note meter.MinuteNote, known *lease) {
	if len(entry.Postings) != 0 {
		v.problem(entry.Seq, "waived, yet with postings")
	}
	charge, reason := note.Verdict()
	if charge || note.Purse != "" {
		v.purse(entry.Seq, note, known)
	}
	switch {
	case charge && note.Reason == meter.ReasonBudget && v.overBudget(note, *known):
	case charge && (note.Reason != meter.ReasonUnfunded || !v.unfunded(note, *known)):
		v.problem(entry.Seq, "waived (%.100q), though proven and paid for", note.Reason)
	case !charge && note.Reason != reason:
		v.problem(entry.Seq, "waived with the reason %.100q, but the evidence says %q", note.Reason, reason)
	}
	if err := known.meter.Waive(note.Ordinal); err != nil {
		v.problem(entry.Seq, "lease %s: %v", note.Lease, err)
	}
}

// overBudget says whether the minute really would have cost the cluster more than it may.
func (v *verifier) overBudget(note meter.MinuteNote, known lease) bool {
	m, err := minuteOf(note, &known.meter)
	if !v.scope.whole(ledger.Hold(note.Cluster)) {
		return err == nil && note.Budget > 0 // a supplier does not see what the cluster's other leases have cost
	}
	return err == nil && note.Budget > 0 && v.spent[note.Cluster]+m.Use+m.Fee > note.Budget
}

// unfunded says whether the cluster's hold really could not pay the minute in the purse's asset.
func (v *verifier) unfunded(note meter.MinuteNote, known lease) bool {
	m, err := minuteOf(note, &known.meter)
	if err != nil {
		return false
	}
	cost := money.MicroUSD(0)
	if note.Purse != "" {
		cost, err = exchange.Cost(m)
	} else {
		cost.Minor, err = money.AddMinor(m.Use, m.Fee)
	}
	if !v.scope.whole(ledger.Hold(note.Cluster)) {
		return err == nil // nor what was in its hold
	}
	return err == nil && v.balances[slot{ledger.Hold(note.Cluster), cost.Asset}] < cost.Minor
}

package verify

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// lease is what the minutes of one lease have in common, and its meter.
type lease struct {
	first    meter.MinuteNote
	supplier string // account; empty until something was paid to one
	meter    meter.Lease
}

// rules judges what the entry means, with the balances as they stand before it.
func (v *verifier) rules(entry ledger.Entry) {
	if entry.Kind == meter.KindCharged || entry.Kind == meter.KindWaived {
		v.minute(entry)
		return
	}
	// A hold is spent by minutes only; otherwise a charge in disguise would need no evidence.
	if !slices.ContainsFunc(entry.Postings, fromHold) {
		return
	}
	for _, posting := range entry.Postings {
		if !strings.HasPrefix(posting.Account, ledger.Hold("")) && !strings.HasPrefix(posting.Account, ledger.Tenant("")) {
			v.problem(entry.Seq, "%s moves money from a hold to %s; only a charged minute may", entry.Kind, posting.Account)
		}
	}
}

func fromHold(posting ledger.Posting) bool {
	return strings.HasPrefix(posting.Account, ledger.Hold("")) && posting.Amount.Sign() < 0
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
}

func (v *verifier) statement(seq uint64, who string, key ed25519.PublicKey, message []byte, signature string, seconds int) {
	if seconds < 0 || seconds > meter.SecondsPerMinute {
		v.problem(seq, "%s claims %d seconds of a minute", who, seconds)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	switch {
	case key == nil:
		v.problem(seq, "%s signed, but the header has no key of it", who)
	case err != nil || !fits(key, message, raw):
		v.problem(seq, "statement of %s: signature does not fit", who)
	}
}

// charged checks rule, order and price of a charged minute.
func (v *verifier) charged(entry ledger.Entry, note meter.MinuteNote, known *lease) {
	if charge, reason := note.Verdict(); !charge {
		v.problem(entry.Seq, "charged, though to be waived: %s", reason)
	}
	if note.Reason != "" {
		v.problem(entry.Seq, "charged, yet with a reason to waive: %.100q", note.Reason)
	}
	use, fee, err := known.meter.Charge(note.Ordinal)
	if err != nil {
		v.problem(entry.Seq, "lease %s: %v", note.Lease, err)
		return
	}
	supplier := known.supplier
	for _, posting := range entry.Postings {
		if supplier == "" && ledger.IsSupplier(posting.Account) {
			supplier = posting.Account
		}
	}
	known.supplier = supplier
	want, err := ledger.MinutePostings(ledger.Hold(note.Cluster), supplier, use, fee)
	if err != nil || !slices.Equal(want, entry.Postings) {
		v.problem(entry.Seq, "postings are not those of minute %d at %v and a fee of %d/10000: use %v to the supplier of the minutes before, fee %v, both from %s",
			note.Ordinal, note.Rate, note.FeeBasisPoints, money.MicroUSD(use), money.MicroUSD(fee), ledger.Hold(note.Cluster))
	}
}

// waived checks rule and order of a waived minute.
func (v *verifier) waived(entry ledger.Entry, note meter.MinuteNote, known *lease) {
	if len(entry.Postings) != 0 {
		v.problem(entry.Seq, "waived, yet with postings")
	}
	switch charge, reason := note.Verdict(); {
	case charge && (note.Reason != meter.ReasonUnfunded || !v.unfunded(note, *known)):
		v.problem(entry.Seq, "waived (%.100q), though proven and paid for", note.Reason)
	case !charge && note.Reason != reason:
		v.problem(entry.Seq, "waived with the reason %.100q, but the evidence says %q", note.Reason, reason)
	}
	if err := known.meter.Waive(note.Ordinal); err != nil {
		v.problem(entry.Seq, "lease %s: %v", note.Lease, err)
	}
}

// unfunded says whether the cluster's hold really could not pay the minute.
func (v *verifier) unfunded(note meter.MinuteNote, known lease) bool {
	use, fee, err := known.meter.Charge(note.Ordinal)
	if err != nil {
		return false
	}
	cost, err := money.AddMinor(use, fee)
	return err == nil && v.balances[slot{ledger.Hold(note.Cluster), money.USD}] < cost
}

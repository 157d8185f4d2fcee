package verify

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"

	"raylink/billing/ledger"
	"raylink/billing/meter"
)

// scope is whose part of the journal a file has: one cluster's, one supplier's, or everybody's.
type scope struct {
	cluster, supplier string // bare ids; both empty for the whole journal
	payer             string // of a cluster's, whose deposits are in it as well; empty for nobody's
	machines          map[string]ed25519.PublicKey
	payouts           map[string]bool         // accounts of payouts that took from the supplier, of the entries seen so far
	leases            func(lease string) bool // whether a lease is the supplier's; nil for who only has the file, and takes those of the machines that it names
}

func scopeOf(h Header) *scope {
	return &scope{cluster: h.Cluster, supplier: h.Supplier, payer: h.Payer, machines: h.Machines, payouts: map[string]bool{}}
}

// part says whether the file is one of somebody's entries only, with gaps between.
func (s *scope) part() bool { return s.cluster != "" || s.supplier != "" }

func (s *scope) String() string {
	if s.supplier != "" {
		return "supplier " + s.supplier
	}
	return "cluster " + s.cluster
}

// has says whether an entry is of the scope. Of a cluster: it fills, spends or empties its hold, or settles one of its minutes; or it is a deposit of the payer's. Of a supplier: it touches what he has
// earned, or a payout of that, or settles a minute of one of his leases. Entries have to come in the journal's order.
func (s *scope) has(entry ledger.Entry) bool {
	if !s.part() {
		return true
	}
	mine := false
	for _, posting := range entry.Postings {
		supplier, earned := ledger.EarnedBy(posting.Account)
		mine = mine || (s.payer != "" && entry.Kind == "deposit" && posting.Account == ledger.Tenant(s.payer))
		mine = mine || (s.cluster != "" && posting.Account == ledger.Hold(s.cluster)) || (s.supplier != "" && earned && supplier == s.supplier) || s.payouts[posting.Account]
	}
	if mine && s.supplier != "" && entry.Kind == "payout.reserve" {
		s.payouts[ledger.Payout(entry.Ref)] = true
	}
	return mine || (len(entry.Postings) == 0 && s.settles(entry))
}

// settles says whether the entry settles a minute of the scope: one that is waived, or that its tiny rate lets be charged at nothing, has no postings to tell.
func (s *scope) settles(entry ledger.Entry) bool {
	if entry.Kind != meter.KindWaived && entry.Kind != meter.KindCharged {
		return false
	}
	var note struct {
		Cluster string `json:"cluster"`
		Lease   string `json:"lease"`
		Machine string `json:"machine"`
	}
	if json.Unmarshal(entry.Note, &note) != nil {
		return false
	}
	_, his := s.machines[note.Machine]
	if s.leases != nil { // a machine may have changed hands
		his = s.leases(note.Lease)
	}
	return (s.cluster != "" && note.Cluster == s.cluster) || (s.supplier != "" && his)
}

// whole says whether the file holds all that an account ever got: of others it knows only what those of the scope gave them and took.
func (s *scope) whole(account string) bool {
	if s.supplier != "" {
		supplier, earned := ledger.EarnedBy(account)
		return (earned && supplier == s.supplier) || strings.HasPrefix(account, payouts) // others' payouts are not in it
	}
	return s.cluster == "" || account == ledger.Hold(s.cluster)
}

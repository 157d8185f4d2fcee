package verify

import (
	"slices"
	"strings"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// rules judges what the entry means, with the balances as they stand before it.
func (v *verifier) rules(entry ledger.Entry) {
	if entry.Kind == meter.KindCharged || entry.Kind == meter.KindWaived {
		v.minute(entry)
		return
	}
	v.spentHold(entry)
	v.root(entry)
	if len(entry.Postings) == 0 {
		return
	}
	may, known := v.kinds[entry.Kind]
	if !known {
		v.problem(entry.Seq, "%s is not a kind that moves money, but it touches %s", entry.Kind, entry.Postings[0].Account)
		return
	}
	for _, posting := range entry.Postings {
		switch {
		case posting.Amount.Sign() < 0 && !covers(may.debits, posting.Account):
			v.problem(entry.Seq, "%s takes from %s, which it may not", entry.Kind, posting.Account)
		case posting.Amount.Sign() > 0 && !covers(may.credits, posting.Account):
			v.problem(entry.Seq, "%s gives to %s, which it may not", entry.Kind, posting.Account)
		}
	}
	switch {
	case entry.Kind == exchange.KindResume:
		v.resume(entry)
	case entry.Kind == "release":
		v.release(entry)
	case entry.Kind == "deposit":
		v.deposit(entry)
	case strings.HasPrefix(entry.Kind, "payout."):
		v.payout(entry)
	}
}

// spentHold: a hold is spent by minutes only; otherwise a charge in disguise would need no evidence.
func (v *verifier) spentHold(entry ledger.Entry) {
	if !slices.ContainsFunc(entry.Postings, fromHold) {
		return
	}
	for _, posting := range entry.Postings {
		if !covers([]string{holds, tenants, tenantCards}, posting.Account) {
			v.problem(entry.Seq, "%s moves money from a hold to %s; only a charged minute may", entry.Kind, posting.Account)
		}
	}
}

func fromHold(posting ledger.Posting) bool {
	return strings.HasPrefix(posting.Account, holds) && posting.Amount.Sign() < 0
}

// resume derives the conversion of paused earnings anew from its note.
func (v *verifier) resume(entry ledger.Entry) {
	var note exchange.Paused
	if err := readStrict(entry.Note, &note); err != nil {
		v.problem(entry.Seq, "note of a resumption: %v", err)
		return
	}
	v.price(entry.Seq, note.Price, note.PriceID)
	if rule := exchange.SupplierFeeBasisPoints(note.Takes); note.SupplierFeeBasisPoints != rule {
		v.problem(entry.Seq, "supplier's fee of %d/10000, where the rule is %d", note.SupplierFeeBasisPoints, rule)
	}
	if want, err := exchange.Resume(note); err != nil || !slices.Equal(want, entry.Postings) {
		v.problem(entry.Seq, "postings are not those of resuming %v of %s at %v into %s", note.Amount, note.Supplier, note.Price, note.Takes)
	}
}

// release: what waits for a lot goes to who earned it, in the lot's own tokens, or not at all.
func (v *verifier) release(entry ledger.Entry) {
	list := entry.Postings
	if slices.ContainsFunc(list, fromHold) {
		return
	}
	if len(list) == 4 {
		supplier, _ := ledger.EarnedBy(list[3].Account)
		got := list[3].Amount
		minus := money.Amount{Minor: -got.Minor, Asset: got.Asset}
		for lot, held := range map[string]string{ledger.Lot("grants"): ledger.SupplierGrant(supplier), ledger.Lot("card"): ledger.SupplierCard(supplier)} {
			want := []ledger.Posting{{Account: lot, Amount: minus}, {Account: ledger.FxIn, Amount: got}, {Account: held, Amount: minus}, {Account: ledger.Supplier(supplier), Amount: got}}
			if got.Sign() > 0 && supplier != "" && slices.Equal(list, want) {
				return
			}
		}
	}
	v.problem(entry.Seq, "release is neither of a hold nor of a lot to the supplier who earned what it covers")
}

// deposit: named by transaction and token account, so that the same one cannot be credited twice.
func (v *verifier) deposit(entry ledger.Entry) {
	signature, account, found := strings.Cut(entry.Ref, "/")
	if !found || signature == "" || account == "" || strings.Contains(account, "/") {
		v.problem(entry.Seq, "deposit %s is not named <signature>/<token account>", entry.Ref)
	}
	if len(entry.Postings) != 2 || entry.Postings[0].Account != ledger.TreasuryChain {
		v.problem(entry.Seq, "a deposit is one amount from %s to one account", ledger.TreasuryChain)
	}
}

// payout: one flight each, out of one account, and back only into that.
func (v *verifier) payout(entry ledger.Entry) {
	flight := ledger.Payout(entry.Ref)
	if len(entry.Postings) != 2 {
		v.problem(entry.Seq, "a payout moves one amount between two accounts")
		return
	}
	from, to := entry.Postings[0].Account, entry.Postings[1].Account
	if entry.Kind == "payout.reserve" {
		v.flights[flight] = from
		if to != flight {
			v.problem(entry.Seq, "payout %s is reserved on %s", entry.Ref, to)
		}
		return
	}
	if from != flight {
		v.problem(entry.Seq, "payout %s takes from %s", entry.Ref, from)
	}
	if entry.Kind == "payout.paid" {
		v.paid(entry.Seq, entry.Postings[1].Amount)
	}
	if source := v.flights[flight]; entry.Kind == "payout.release" && to != source {
		v.problem(entry.Seq, "payout %s was reserved from %s and is released to %s", entry.Ref, source, to)
	}
}

// paid adds up what a supplier was paid.
func (v *verifier) paid(seq uint64, amount money.Amount) {
	if v.scope.supplier == "" {
		return
	}
	sums := v.report.PaidOut
	i := slices.IndexFunc(sums, func(sum money.Amount) bool { return sum.Asset == amount.Asset })
	if i < 0 {
		v.report.PaidOut = append(sums, amount)
		return
	}
	sum, err := sums[i].Add(amount)
	if err != nil {
		v.problem(seq, "sum of what was paid: %v", err)
		return
	}
	sums[i] = sum
}

// price: prices only have numbers that rise, and each number has one price.
func (v *verifier) price(seq uint64, price money.Price, id uint64) {
	switch {
	case price == 0 && id == 0:
		return
	case price == 0 || id == 0:
		v.problem(seq, "price %v has the number %d", price, id)
	case id < v.priceID:
		v.problem(seq, "price number %d comes after number %d", id, v.priceID)
	case id == v.priceID && price != v.priced:
		v.problem(seq, "price number %d is %v, but was %v before", id, price, v.priced)
	default:
		v.priceID, v.priced = id, price
	}
}

// root judges a checkpoint: it is of one of the ledger.RootLag entries before it, and signed by the key of the group. An anchor is of such a checkpoint.
func (v *verifier) root(entry ledger.Entry) {
	switch entry.Kind {
	case ledger.KindCheckpoint:
		var root ledger.Root
		if err := readStrict(entry.Note, &root); err != nil {
			v.problem(entry.Seq, "note of a checkpoint: %v", err)
			return
		}
		if !root.Signed() || (v.header.GroupKey != nil && !v.header.GroupKey.Equal(root.Key)) {
			v.problem(entry.Seq, "checkpoint of entry %d: not signed by the group", root.Seq)
		}
		if hash, ok := v.recent[root.Seq]; !ok || hash != root.Hash {
			v.problem(entry.Seq, "checkpoint of entry %d: hash %.64s is not that entry's", root.Seq, root.Hash)
		}
		v.roots[root.Seq] = root.Hash
	case ledger.KindAnchor:
		var anchor ledger.Anchor
		if err := readStrict(entry.Note, &anchor); err != nil {
			v.problem(entry.Seq, "note of an anchor: %v", err)
			return
		}
		if v.roots[anchor.Seq] == "" || v.roots[anchor.Seq] != anchor.Hash {
			v.problem(entry.Seq, "anchor of entry %d: no checkpoint before it says so", anchor.Seq)
		}
	}
}

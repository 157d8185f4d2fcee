package deposit

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// The ledger accounts that deposits touch.
func chainAccount() string              { return "treasury:chain" }
func suspenseAccount() string           { return "suspense" }
func tenantAccount(owner string) string { return ledger.Tenant(owner) }
func lotAccount(name string) string     { return "lot:" + name }

// attribute finds out whose the deposit is: To is a ledger account in any case, for the tokens have arrived.
func (b *Book) attribute(now time.Time, d *Deposit, o Observation, ownersOf func(string) []string) {
	d.To = suspenseAccount()
	if t, via := b.named(o); t != nil {
		d.Topup, d.Account, d.Via = t.ID, t.Account, via
		if d.Amount < b.Rules.Min[d.Asset] {
			d.Reasons = []Reason{Dust}
			return
		}
		d.Reasons = remarks(now, t, d)
		switch {
		case t.Lot == "":
			d.To = tenantAccount(t.Account)
		case d.Asset == t.Asset:
			d.To = lotAccount(t.Lot)
		}
		return
	}
	owner, reason := ownerOf(o.Senders, ownersOf)
	if d.Account = owner; owner != "" {
		d.Via = ViaWallet
	}
	switch {
	case d.Amount < b.Rules.Min[d.Asset]:
		d.Reasons = []Reason{Dust}
	case reason != "":
		d.Reasons = []Reason{reason}
	default:
		d.To = tenantAccount(owner)
	}
}

// named is the top-up that the transaction names: by a reference, else by its memo.
func (b *Book) named(o Observation) (*Topup, string) {
	for _, reference := range o.References {
		if id, ok := b.References[reference]; ok {
			return b.Topups[id], ViaReference
		}
	}
	if t, ok := b.Topups[strings.TrimSpace(o.Memo)]; ok {
		return t, ViaMemo
	}
	return nil, ""
}

// ownerOf is the one account whose proven wallets all senders are.
func ownerOf(senders []string, ownersOf func(string) []string) (string, Reason) {
	owner := ""
	for _, sender := range senders {
		owners := ownersOf(sender)
		switch {
		case len(owners) == 0:
			return "", UnknownSender
		case len(owners) > 1 || owner != "" && owners[0] != owner:
			return "", Ambiguous
		}
		owner = owners[0]
	}
	if owner == "" {
		return "", UnknownSender
	}
	return owner, ""
}

// remarks are what is to be said of a deposit that its top-up takes in.
func remarks(now time.Time, t *Topup, d *Deposit) []Reason {
	if d.Asset != t.Asset {
		return []Reason{OtherAsset}
	}
	var list []Reason
	if !now.Before(t.ExpiresAt) {
		list = append(list, Late)
	}
	if len(t.Deposits) > 0 {
		list = append(list, Twice)
	}
	// The treasury's holdings are one int64, so that their sum cannot overflow.
	switch sum := t.Received + d.Amount; {
	case t.Expected > 0 && sum > t.Expected:
		list = append(list, Over)
	case t.Expected > 0 && sum < t.Expected:
		list = append(list, Under)
	}
	return list
}

// record keeps the deposit and tells its top-up. Dust does not count for the top-up: it was not credited.
func (b *Book) record(d *Deposit) {
	b.Deposits[d.Key] = d
	if d.To == suspenseAccount() {
		b.Suspense = append(b.Suspense, d.Key)
		return
	}
	t, ok := b.Topups[d.Topup]
	if !ok {
		return
	}
	if t.Deposits = append(t.Deposits, d.Key); d.Asset == t.Asset {
		t.Received += d.Amount
	}
	open := slices.DeleteFunc(slices.Clone(b.Open[t.Account]), func(id string) bool { return id == t.ID })
	if b.Open[t.Account] = open; len(open) == 0 {
		delete(b.Open, t.Account)
	}
}

// waiting is a deposit in suspense.
func (b *Book) waiting(key string) (*Deposit, error) {
	d, ok := b.Deposits[key]
	if !ok || !slices.Contains(b.Suspense, key) {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no deposit %.150q waits in suspense", key).WithHint("list what is in suspense")
	}
	return d, nil
}

// Assign credits a deposit in suspense to an account: kind `suspense.assign`, ref its key. The same once more changes nothing.
func (b *Book) Assign(key, account, by string) ([]ledger.Entry, error) {
	if d, ok := b.Deposits[key]; ok && d.Via == ViaAdmin && d.Account == account {
		return nil, nil
	}
	d, err := b.waiting(key)
	if err != nil {
		return nil, err
	}
	if !short(account) || !short(by) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a deposit is assigned to an account, by somebody")
	}
	assigned := *d
	assigned.To, assigned.Account, assigned.Via, assigned.By = tenantAccount(account), account, ViaAdmin, by
	b.settle(&assigned)
	return entry("suspense.assign", key, assigned, suspenseAccount(), assigned.To), nil
}

// Refundable is what a deposit in suspense amounts to.
func (b *Book) Refundable(key string) (money.Amount, error) {
	d, err := b.waiting(key)
	if err != nil {
		return money.Amount{}, err
	}
	return money.Amount{Minor: d.Amount, Asset: d.Asset}, nil
}

// Refund takes a deposit out of suspense for a payout that returns it; the payout's own entry moves the money.
func (b *Book) Refund(key, payout, by string) error {
	if d, ok := b.Deposits[key]; ok && d.Refund == payout && payout != "" {
		return nil
	}
	d, err := b.waiting(key)
	if err != nil {
		return err
	}
	if !short(payout) || !short(by) {
		return raylink.Errorf(raylink.CodeInvalid, "a deposit is refunded by a payout, by somebody")
	}
	refunded := *d
	refunded.Refund, refunded.By = payout, by
	b.settle(&refunded)
	return nil
}

// Reopen puts a deposit back into suspense after its refund was cancelled.
func (b *Book) Reopen(key, payout string) {
	if d, ok := b.Deposits[key]; ok && d.Refund == payout && payout != "" {
		d.Refund, d.By = "", ""
		b.Suspense = append(b.Suspense, key)
	}
}

func (b *Book) settle(d *Deposit) {
	b.Deposits[d.Key] = d
	b.Suspense = slices.DeleteFunc(slices.Clone(b.Suspense), func(k string) bool { return k == d.Key })
}

// Waiting are the deposits in suspense, at most limit: the newest first, and all dust after the rest. Dust costs its sender next to nothing, and must hide
// nobody's money.
func (b *Book) Waiting(limit int) []Deposit {
	var list, dust []Deposit
	for _, key := range slices.Backward(b.Suspense) {
		if d := b.Deposits[key]; slices.Contains(d.Reasons, Dust) {
			dust = append(dust, *d)
		} else {
			list = append(list, *d)
		}
	}
	list = append(list, dust...)
	return list[:max(0, min(limit, len(list)))]
}

// entry moves the deposit's amount between two ledger accounts.
func entry(kind, ref string, d Deposit, from, to string) []ledger.Entry {
	note, err := json.Marshal(d)
	if err != nil {
		panic("writing a deposit: " + err.Error()) // strings and integers always can be
	}
	return []ledger.Entry{{Kind: kind, Ref: ref, Note: note, Postings: []ledger.Posting{
		{Account: from, Amount: money.Amount{Minor: -d.Amount, Asset: d.Asset}},
		{Account: to, Amount: money.Amount{Minor: d.Amount, Asset: d.Asset}},
	}}}
}

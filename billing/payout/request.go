package payout

import (
	"cmp"
	"slices"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// Request asks for a payout.
type Request struct {
	ID      string      `json:"id"`
	Kind    Kind        `json:"kind"`
	Account string      `json:"account"`
	Asset   money.Asset `json:"asset"`
	Amount  int64       `json:"amount"`           // minor units
	Wallet  string      `json:"wallet,omitempty"` // none for a burn
	Item    string      `json:"item,omitempty"`   // of a refund: the deposit's key
}

// Request reserves the money: kind `payout.reserve`, ref the id, from Source to payout:<id>. Available is the balance of Source in the asset,
// and proven says that the wallet is one of the account's. The same request once more changes nothing.
func (b *Book) Request(now time.Time, r Request, available int64, proven bool) ([]ledger.Entry, error) {
	if was, ok := b.Payouts[r.ID]; ok {
		if (Request{was.ID, was.Kind, was.Account, was.Asset, was.Amount, was.Wallet, was.Item}) == r {
			return nil, nil
		}
		return nil, raylink.Errorf(raylink.CodeConflict, "the payout id %q is taken", r.ID)
	}
	if err := b.checkRequest(now, r, available, proven); err != nil {
		return nil, err
	}
	p := &Payout{ID: r.ID, Kind: r.Kind, Account: r.Account, Asset: r.Asset, Amount: r.Amount, Wallet: r.Wallet, Item: r.Item,
		RequestedAt: now.UTC(), Solo: r.Kind == Burn}
	b.Payouts[p.ID] = p
	b.Active[p.Account] = append(b.Active[p.Account], p.ID)
	b.enqueue(now, p)
	return []ledger.Entry{entry("payout.reserve", p, Source(p.Kind, p.Account), flightAccount(p.ID), r)}, nil
}

func (b *Book) checkRequest(now time.Time, r Request, available int64, proven bool) error {
	amount, has := money.Amount{Minor: r.Amount, Asset: r.Asset}, money.Amount{Minor: available, Asset: r.Asset}
	least := int64(1)
	if r.Kind == Settlement || r.Kind == Withdrawal {
		least = max(1, b.Policy.Minimum[r.Asset])
	}
	switch {
	case !short(r.ID) || len(r.ID) > 64 || !short(r.Account) || Source(r.Kind, r.Account) == "":
		return raylink.Errorf(raylink.CodeInvalid, "a payout needs an id, a kind and an account")
	case r.Asset != money.USDC && r.Asset != money.IO:
		return raylink.Errorf(raylink.CodeUnsupported, "%q cannot leave by the chain", r.Asset).WithHint("USDC and IO can; money from a card goes back to the card")
	case r.Amount < least:
		return raylink.Errorf(raylink.CodeInvalid, "%v is below the minimum of %v", amount, money.Amount{Minor: least, Asset: r.Asset}).WithHint("wait until there is more")
	case r.Amount > available:
		return raylink.Errorf(raylink.CodeFunds, "%s has %v, the payout is of %v", Source(r.Kind, r.Account), has, amount).WithHint("ask for %v or less", has)
	case (r.Kind == Refund) != (r.Item != "") || len(r.Item) > 200:
		return raylink.Errorf(raylink.CodeInvalid, "a refund, and nothing else, names a deposit")
	case r.Kind == Burn:
		if r.Asset != money.IO || r.Wallet != "" {
			return raylink.Errorf(raylink.CodeInvalid, "only IO is burnt, and nobody receives it")
		}
		return nil
	case !proven || !short(r.Wallet):
		return raylink.Errorf(raylink.CodeForbidden, "%.60q is no proven wallet of account %s", r.Wallet, r.Account).WithHint("prove it first, by signing a message with it")
	case slices.Contains(b.Policy.Own, r.Wallet):
		return raylink.Errorf(raylink.CodeInvalid, "%s is the treasury's own", r.Wallet)
	case !b.payable(now, r.Wallet, r.Asset):
		return raylink.Errorf(raylink.CodeConflict, "wallet %s has no token account for %s that could be paid", r.Wallet, r.Asset).
			WithHint("open one with your wallet (it costs a small deposit in SOL), then ask again")
	}
	return nil
}

// Due is the request that pays out all that a supplier has earned in the asset, or the code of what stands in its way.
func (b *Book) Due(now time.Time, id, account string, asset money.Asset, available int64) (Request, Code) {
	setting := b.Setting(account)
	_, halted := b.Halted(asset)
	switch {
	case available <= 0:
		return Request{}, NothingEarned
	case halted:
		return Request{}, Halted
	case setting.Wallet == "":
		return Request{}, NoWallet
	case available < b.minimum(account, asset):
		return Request{}, BelowMinimum
	case !b.payable(now, setting.Wallet, asset):
		return Request{}, NoTokenAccount
	}
	return Request{ID: id, Kind: Settlement, Account: account, Asset: asset, Amount: available, Wallet: setting.Wallet}, ""
}

// Approve lets a payout exceed the caps.
func (b *Book) Approve(now time.Time, id, by string) error {
	p, err := b.payout(id)
	if err != nil {
		return err
	}
	if p.ApprovedBy != "" {
		return nil
	}
	if !short(by) || p.State != Waiting && p.State != WaitingApproval {
		return raylink.Errorf(raylink.CodeConflict, "payout %s is %s and needs no approval", id, p.State)
	}
	p.ApprovedBy, p.State, p.ChangedAt = by, Waiting, now.UTC()
	return nil
}

// Retry queues a blocked payout again, after its receiver's token account was seen to be good. Tries begin anew.
func (b *Book) Retry(now time.Time, id string) error {
	p, err := b.payout(id)
	if err != nil {
		return err
	}
	if p.State == Waiting || p.State == WaitingApproval {
		return nil
	}
	if p.State != Blocked {
		return raylink.Errorf(raylink.CodeConflict, "payout %s is %s, not blocked", id, p.State)
	}
	if p.Kind != Burn && !b.payable(now, p.Wallet, p.Asset) {
		return raylink.Errorf(raylink.CodeConflict, "wallet %s still has no token account for %s that could be paid", p.Wallet, p.Asset).
			WithHint("open or thaw it, let it be checked, then retry")
	}
	b.Blocked = without(b.Blocked, id)
	p.Tries, p.Code, p.Reason = 0, "", ""
	b.enqueue(now, p)
	return nil
}

// Cancel gives the money of a payout back where it came from: kind `payout.release`, ref the id. It is refused while an attempt could
// still pay it. Others of its batch are queued again. A refund's deposit is to be put back into suspense by the caller.
func (b *Book) Cancel(now time.Time, id string) ([]ledger.Entry, error) {
	p, err := b.payout(id)
	if err != nil {
		return nil, err
	}
	switch p.State {
	case Cancelled:
		return nil, nil
	case Paid:
		return nil, raylink.Errorf(raylink.CodeConflict, "payout %s is paid, by transaction %s", id, p.Signature)
	case Batched:
		batch := b.Batches[p.Batch]
		if a := batch.Landed(); a != nil {
			return nil, raylink.Errorf(raylink.CodeConflict, "payout %s is paid, by transaction %s", id, a.Signature).WithHint("it is posted when the attempt after it has ended")
		}
		if a := batch.Live(); a != nil {
			return nil, raylink.Errorf(raylink.CodeConflict, "payout %s may be paid any moment by transaction %s", id, a.Signature).
				WithHint("try again when that has ended: it takes about two minutes")
		}
		b.finish(batch, Dropped, now)
		for _, t := range batch.Transfers {
			if t.Payout != id {
				b.enqueue(now, b.Payouts[t.Payout])
			}
		}
	}
	b.Queue[p.Asset] = without(b.Queue[p.Asset], id)
	b.Blocked = without(b.Blocked, id)
	b.end(p, Cancelled, now)
	return []ledger.Entry{entry("payout.release", p, flightAccount(id), Source(p.Kind, p.Account), p)}, nil
}

func (b *Book) payout(id string) (*Payout, error) {
	p, ok := b.Payouts[id]
	if !ok {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no payout %.60q", id)
	}
	return p, nil
}

// enqueue puts a payout back into its asset's queue, in the order of the requests.
func (b *Book) enqueue(now time.Time, p *Payout) {
	p.State, p.ChangedAt = b.queued(p), now.UTC()
	queue := b.Queue[p.Asset]
	at, found := slices.BinarySearchFunc(queue, p, func(id string, p *Payout) int {
		q := b.Payouts[id]
		if c := q.RequestedAt.Compare(p.RequestedAt); c != 0 {
			return c
		}
		return cmp.Compare(q.ID, p.ID)
	})
	if !found {
		b.Queue[p.Asset] = slices.Insert(slices.Clone(queue), at, p.ID)
	}
}

// end brings a payout to a state that is not left any more.
func (b *Book) end(p *Payout, state State, now time.Time) {
	p.State, p.ChangedAt = state, now.UTC()
	if active := without(b.Active[p.Account], p.ID); len(active) > 0 {
		b.Active[p.Account] = active
	} else {
		delete(b.Active, p.Account)
	}
}

func without(list []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(other string) bool { return other == id })
}

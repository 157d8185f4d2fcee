package payout

import (
	"cmp"
	"slices"
	"time"

	"raylink/billing/money"
)

// Earned is what a supplier has earned in one asset and not been paid, in minor units.
type Earned struct {
	Payable   int64 // supplier:<a>
	HeldGrant int64 // supplier-grant:<a>
	HeldCard  int64 // supplier-card:<a>
	Paused    int64 // supplier-paused:<purse>:<a>, of the payer's asset
}

// Line is one part of a supplier's earnings, and why it has not gone out.
type Line struct {
	Amount money.Amount `json:"amount"`
	Code   Code         `json:"code,omitempty"`
	Payout string       `json:"payout,omitempty"` // its id, where it is one
	State  State        `json:"state,omitempty"`
	Reason string       `json:"reason,omitempty"`
}

// Explain gives each part of what an account has earned in the asset with the code of what stands in its way. There is at least one line: a
// zero has its reason too. Free is as in NextBatch.
func (b *Book) Explain(now time.Time, account string, asset money.Asset, e Earned, free int64) []Line {
	var lines []Line
	add := func(minor int64, code Code) {
		if minor > 0 {
			lines = append(lines, Line{Amount: money.Amount{Minor: minor, Asset: asset}, Code: code})
		}
	}
	_, code := b.Due(now, "", account, asset, e.Payable)
	add(e.Payable, code)
	for _, id := range b.Active[account] {
		if p := b.Payouts[id]; p.Kind == Settlement && p.Asset == asset {
			lines = append(lines, Line{Amount: money.Amount{Minor: p.Amount, Asset: asset}, Code: b.Why(now, p, free), Payout: id, State: p.State, Reason: p.Reason})
		}
	}
	add(e.HeldGrant, HeldGrant)
	add(e.HeldCard, HeldCard)
	add(e.Paused, PricePaused)
	if lines == nil {
		lines = []Line{{Amount: money.Amount{Asset: asset}, Code: NothingEarned}}
	}
	return lines
}

// Why is the code of what stands in a payout's way; empty for one that is paid or about to go out.
func (b *Book) Why(now time.Time, p *Payout, free int64) Code {
	_, halted := b.Halted(p.Asset)
	switch {
	case p.State == Batched:
		_, unsigned := b.Batches[p.Batch].Unsigned()
		switch {
		case unsigned && halted:
			return Halted
		case unsigned:
			return WaitsForSigner
		}
		return InFlight
	case p.State == Blocked:
		return p.Code
	case p.State != Waiting && p.State != WaitingApproval:
		return ""
	case halted:
		return Halted
	}
	return b.obstacle(now, p, b.room(now, p.Asset, free))
}

// Awaiting are the payouts that only an admin, or for some of them the end of the hour, lets out: oldest first. Free is as in NextBatch.
func (b *Book) Awaiting(now time.Time, asset money.Asset, free int64) []Payout {
	left := b.room(now, asset, free)
	var list []Payout
	for _, id := range b.Queue[asset] {
		if code := b.obstacle(now, b.Payouts[id], left); code == NeedsApproval || code == CapHour {
			p := *b.Payouts[id]
			p.Code = code
			list = append(list, p)
		}
	}
	return list
}

// Late are the batches that have waited for a signer's signature for longer than patience, oldest first, of assets that are not halted: none runs, or its own
// policy refuses them, which only its log says.
func (b *Book) Late(now time.Time, patience time.Duration) []Batch {
	var list []Batch
	for _, w := range b.Work() {
		if since, _ := w.Batch.Unsigned(); now.Sub(since) > patience {
			list = append(list, w.Batch)
		}
	}
	return list
}

// Destination is a wallet whose token account is to be looked at.
type Destination struct {
	Wallet string      `json:"wallet"`
	Asset  money.Asset `json:"asset"`
}

// Unchecked are the destinations to look at now, at most limit: of suppliers' settings and of payouts in the queue or blocked, where nothing
// was seen within half the time for which it is believed, or what was seen was bad and is a minute old. Those longest not seen come first.
func (b *Book) Unchecked(now time.Time, limit int) []Destination {
	var list []Destination
	seenAt := func(d Destination) time.Time { return b.Seen[destination(d.Wallet, d.Asset)].At }
	seldom := func(wallet string, asset money.Asset, bad time.Duration) {
		seen, ok := b.Seen[destination(wallet, asset)]
		age := b.Policy.Fresh / 2
		if !seen.Exists || seen.Frozen {
			age = min(age, bad)
		}
		if wallet != "" && (!ok || now.Sub(seen.At) >= age) {
			list = append(list, Destination{Wallet: wallet, Asset: asset})
		}
	}
	want := func(wallet string, asset money.Asset) { seldom(wallet, asset, time.Minute) }
	for account, setting := range b.Settings {
		takes := b.Setting(account).Takes
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			if asset == takes {
				want(setting.Wallet, asset)
			} else { // what he earned before he changed his mind: few have it, and of most there is no such account
				seldom(setting.Wallet, asset, time.Hour)
			}
		}
	}
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		for _, id := range b.Queue[asset] {
			want(b.Payouts[id].Wallet, asset)
		}
	}
	for _, id := range b.Blocked {
		want(b.Payouts[id].Wallet, b.Payouts[id].Asset)
	}
	slices.SortFunc(list, func(x, y Destination) int {
		return cmp.Or(seenAt(x).Compare(seenAt(y)), cmp.Compare(x.Wallet, y.Wallet), cmp.Compare(x.Asset, y.Asset))
	})
	list = slices.Compact(list)
	return list[:max(0, min(limit, len(list)))]
}

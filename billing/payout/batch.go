package payout

import (
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// Limits of a batch.
const (
	MaxTransfers = 15   // payments
	MaxRaw       = 4096 // bytes of an attempt
)

// Limits of last valid heights, in blocks. An attempt that no height ever ends would lock all payouts of its batch for good.
const (
	maxFirst  = 1 << 48 // what the first is below: nothing is known to hold it against
	maxAhead  = 10_000  // above the greatest one so far
	maxPerSec = 5       // and as many more for each second since that one: twice as fast as the chain makes blocks
)

// Height is a last valid height and when it was recorded.
type Height struct {
	Blocks uint64    `json:"blocks"`
	At     time.Time `json:"at"`
}

// bound is the greatest last valid height that is believed now.
func (h Height) bound(now time.Time) uint64 {
	if h.Blocks == 0 {
		return maxFirst - 1
	}
	return h.Blocks + maxAhead + maxPerSec*uint64(max(0, now.Sub(h.At)/time.Second))
}

// BatchState is how far a batch has come.
type BatchState string

// The states of a batch. Only an open one is tried.
const (
	Open    BatchState = "open"
	Done    BatchState = "done"    // paid, all of it
	Split   BatchState = "split"   // failed; its payouts go on alone
	Dropped BatchState = "dropped" // a payout of it was cancelled; the others go on
)

// Batch is one transaction that pays up to MaxTransfers payouts of one asset, all or none.
type Batch struct {
	ID        string      `json:"id"`
	Asset     money.Asset `json:"asset"`
	State     BatchState  `json:"state"`
	MadeAt    time.Time   `json:"made_at"`
	EndedAt   time.Time   `json:"ended_at,omitzero"`
	Transfers []Transfer  `json:"transfers"`      // of a burn one, to nobody
	Burn      bool        `json:"burn,omitempty"` // it burns instead of paying
	Attempts  []Attempt   `json:"attempts,omitempty"`
}

// Transfer is one payment of a batch.
type Transfer struct {
	Payout       string `json:"payout"`
	Wallet       string `json:"wallet,omitempty"`
	TokenAccount string `json:"token_account,omitempty"`
	Amount       int64  `json:"amount"` // minor units
}

// Attempt is one signed transaction for a batch.
type Attempt struct {
	N               int       `json:"n"` // from 1
	Signature       string    `json:"signature"`
	Raw             string    `json:"raw,omitempty"` // base64; the bytes to be sent, as often as one likes; empty once the batch has ended
	LastValidHeight uint64    `json:"last_valid_height"`
	At              time.Time `json:"at"`
	Stage           Stage     `json:"stage,omitempty"` // empty: alive
	Height          uint64    `json:"height,omitempty"`
	Slot            uint64    `json:"slot,omitempty"`
	Code            Code      `json:"code,omitempty"`
	Reason          string    `json:"reason,omitempty"`
	EndedAt         time.Time `json:"ended_at,omitzero"`
}

// Stage is how an attempt ended.
type Stage string

// The ends of an attempt.
const (
	Finalized Stage = "finalized"
	Expired   Stage = "expired" // not known to the chain at a finalized height above its last valid one
	Failed    Stage = "failed"  // finalized with an error: nothing moved
)

// Memo is the text that the batch's transaction carries, so that no two batches have one signature.
func (t *Batch) Memo() string { return "rl:po:" + t.ID }

// Total is what the batch pays, in minor units.
func (t *Batch) Total() int64 {
	sum := int64(0)
	for _, transfer := range t.Transfers {
		sum += transfer.Amount
	}
	return sum
}

// Live is the attempt that may still pay the batch, nil if there is none.
func (t *Batch) Live() *Attempt {
	if len(t.Attempts) == 0 || t.Attempts[len(t.Attempts)-1].Stage != "" {
		return nil
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// Unsigned says whether the batch waits for a signature, and since when: it has no attempt yet, or the last one is dead.
func (t *Batch) Unsigned() (since time.Time, waits bool) {
	if t.State != Open || t.Live() != nil || t.Landed() != nil {
		return time.Time{}, false
	}
	if len(t.Attempts) > 0 {
		return t.Attempts[len(t.Attempts)-1].EndedAt, true
	}
	return t.MadeAt, true
}

// Landed is the attempt that took effect, nil if none is known to have. It can be one that was said to be dead.
func (t *Batch) Landed() *Attempt {
	if i := slices.IndexFunc(t.Attempts, func(a Attempt) bool { return a.Stage == Finalized }); i >= 0 {
		return &t.Attempts[i]
	}
	return nil
}

// Ready says whether NextBatch would make a batch.
func (b *Book) Ready(now time.Time, asset money.Asset, free int64) bool {
	return len(b.choose(now, asset, b.room(now, asset, free))) > 0
}

// NextBatch makes a batch of the payouts of the asset that can go out now, oldest first. Free is what the treasury holds on chain less all
// that is to stay there (tenants, holds, suspense, lots other than capital), in minor units: customers' deposits are never used to pay, and no
// settlement is paid with what is kept Aside. It is nil where nothing can go out.
func (b *Book) NextBatch(now time.Time, asset money.Asset, free int64) *Batch {
	return b.batch(now, asset, b.choose(now, asset, b.room(now, asset, free)))
}

// NextBatchUnguarded is NextBatch as it was before money was kept aside: an old settlement may be paid with what a withdrawal waits for. It is there
// for logs that were written by that rule: their attempts pay the batches that it made.
func (b *Book) NextBatchUnguarded(now time.Time, asset money.Asset, free int64) *Batch {
	left := b.room(now, asset, free)
	left.settle = left.free
	return b.batch(now, asset, b.choose(now, asset, left))
}

func (b *Book) batch(now time.Time, asset money.Asset, chosen []*Payout) *Batch {
	if len(chosen) == 0 {
		return nil
	}
	b.Made++
	batch := &Batch{ID: fmt.Sprintf("pb-%08d", b.Made), Asset: asset, State: Open, MadeAt: now.UTC(), Burn: chosen[0].Kind == Burn}
	spend := Spend{At: now.UTC()}
	for _, p := range chosen {
		p.State, p.Batch, p.ChangedAt = Batched, batch.ID, now.UTC()
		if !p.Counted {
			p.Counted, spend.Amount = true, spend.Amount+p.Amount
		}
		batch.Transfers = append(batch.Transfers, Transfer{Payout: p.ID, Wallet: p.Wallet, Amount: p.Amount,
			TokenAccount: b.Seen[destination(p.Wallet, asset)].TokenAccount})
	}
	b.Queue[asset] = slices.DeleteFunc(slices.Clone(b.Queue[asset]), func(id string) bool { return b.Payouts[id].State == Batched })
	b.Spent[asset] = append(b.lastHour(now, asset), spend)
	b.Batches[batch.ID] = batch
	b.Open = append(b.Open, batch.ID)
	return batch
}

// Aside is what no settlement may be paid with of all that is reserved, in minor units: what is on its way in open batches, and what withdrawals,
// refunds and burns wait for, those that are blocked or await approval too. It was taken from those who are to get it.
func (b *Book) Aside(asset money.Asset) int64 { return b.flying(asset) + b.promised(asset) }

// flying is what the open batches pay.
func (b *Book) flying(asset money.Asset) int64 {
	sum := int64(0)
	for _, id := range b.Open {
		if b.Batches[id].Asset == asset {
			sum += b.Batches[id].Total()
		}
	}
	return sum
}

// promised is what is reserved for others than suppliers, and in no open batch.
func (b *Book) promised(asset money.Asset) int64 {
	sum := int64(0)
	for _, list := range [][]string{b.Queue[asset], b.Blocked} {
		for _, id := range list {
			if p := b.Payouts[id]; p.Asset == asset && p.Kind != Settlement {
				sum += p.Amount
			}
		}
	}
	return sum
}

// room is what the caps of the hour and the treasury leave for new batches, in minor units.
type room struct {
	hour   int64
	free   int64 // for all payouts together
	settle int64 // for settlements
}

func (b *Book) room(now time.Time, asset money.Asset, free int64) room {
	r := room{hour: b.Policy.PerHour[asset], free: free - b.flying(asset)}
	r.settle = r.free - b.promised(asset)
	for _, spend := range b.lastHour(now, asset) {
		r.hour -= spend.Amount
	}
	return r
}

func (b *Book) lastHour(now time.Time, asset money.Asset) []Spend {
	return slices.DeleteFunc(slices.Clone(b.Spent[asset]), func(s Spend) bool { return now.Sub(s.At) >= time.Hour })
}

// choose picks the payouts of the next batch: the first that can go out, alone if it must, else with those after it.
func (b *Book) choose(now time.Time, asset money.Asset, left room) []*Payout {
	if _, halted := b.Halted(asset); halted || len(b.Queue[asset]) == 0 {
		return nil
	}
	var chosen []*Payout
	for _, id := range b.Queue[asset] {
		p := b.Payouts[id]
		if len(chosen) > 0 && p.Solo || b.obstacle(now, p, left) != "" {
			continue
		}
		chosen = append(chosen, p)
		left.free -= p.Amount
		if p.Kind == Settlement {
			left.settle -= p.Amount
		}
		if !p.Counted {
			left.hour -= p.Amount
		}
		if p.Solo || len(chosen) == MaxTransfers {
			break
		}
	}
	return chosen
}

// obstacle is why a payout in the queue cannot go out.
func (b *Book) obstacle(now time.Time, p *Payout, left room) Code {
	switch {
	case p.State == WaitingApproval:
		return NeedsApproval
	case p.Kind != Burn && !b.payable(now, p.Wallet, p.Asset):
		return NoTokenAccount
	case p.Amount > left.hour && p.ApprovedBy == "" && !p.Counted:
		return CapHour
	case p.Amount > left.free, p.Kind == Settlement && p.Amount > left.settle:
		return TreasuryShort
	}
	return ""
}

// Attempted is a signed transaction for a batch, before it is sent.
type Attempted struct {
	Batch           string `json:"batch"`
	N               int    `json:"n"` // from 1
	Signature       string `json:"signature"`
	Raw             string `json:"raw"` // base64
	LastValidHeight uint64 `json:"last_valid_height"`
}

// Attempt records a signed transaction. It must be the batch's next, the one before must be dead, nothing may be halted, and it must be sure to
// expire soon. The same once more changes nothing; only after it has been recorded may the bytes be sent.
func (b *Book) Attempt(now time.Time, a Attempted) error {
	batch, ok := b.Batches[a.Batch]
	if !ok {
		return raylink.Errorf(raylink.CodeNotFound, "no batch %.60q", a.Batch)
	}
	if a.N >= 1 && a.N <= len(batch.Attempts) {
		if was := batch.Attempts[a.N-1]; was.Signature == a.Signature && (was.Raw == a.Raw || was.Raw == "") && was.LastValidHeight == a.LastValidHeight {
			return nil
		}
		return raylink.Errorf(raylink.CodeConflict, "attempt %d of batch %s is another transaction", a.N, a.Batch)
	}
	if batch.State != Open || batch.Live() != nil || batch.Landed() != nil || a.N != len(batch.Attempts)+1 {
		return raylink.Errorf(raylink.CodeConflict, "batch %s takes no attempt %d now: it is %s, after %d", a.Batch, a.N, batch.State, len(batch.Attempts)).
			WithHint("throw the transaction away unsent and ask for work again")
	}
	if h, halted := b.Halted(batch.Asset); halted {
		return raylink.Errorf(raylink.CodeConflict, "payouts of %s are halted: %s", batch.Asset, h.Reason)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(a.Raw)
	if err != nil || len(raw) == 0 || len(raw) > MaxRaw || !short(a.Signature) || a.LastValidHeight == 0 {
		return raylink.Errorf(raylink.CodeInvalid, "attempt %d of batch %s is malformed", a.N, a.Batch)
	}
	if bound := b.Highest.bound(now); a.LastValidHeight > bound {
		return raylink.Errorf(raylink.CodeInvalid, "attempt %d of batch %s could be taken up to height %d, and no transaction of now lives beyond %d", a.N, a.Batch, a.LastValidHeight, bound).
			WithHint("check the node that the signer asks for blockhashes")
	}
	if other, taken := b.Signatures[a.Signature]; taken {
		return raylink.Errorf(raylink.CodeConflict, "transaction %s belongs to batch %s", a.Signature, other)
	}
	if a.LastValidHeight > b.Highest.Blocks {
		b.Highest = Height{Blocks: a.LastValidHeight, At: now.UTC()}
	}
	b.Signatures[a.Signature] = a.Batch
	batch.Attempts = append(batch.Attempts, Attempt{N: a.N, Signature: a.Signature, Raw: a.Raw, LastValidHeight: a.LastValidHeight, At: now.UTC()})
	return nil
}

// Ours says whether a transaction is one that a batch has tried: what leaves the treasury by any other is theft.
func (b *Book) Ours(signature string) bool { return b.Signatures[signature] != "" }

// Work is a batch that wants its attempt N signed.
type Work struct {
	Batch Batch `json:"batch"`
	N     int   `json:"n"`
}

// Work are the open batches without a live attempt, oldest first, of assets that are not halted.
func (b *Book) Work() []Work {
	var list []Work
	for _, id := range b.Open {
		batch := b.Batches[id]
		_, halted := b.Halted(batch.Asset)
		if _, unsigned := batch.Unsigned(); unsigned && !halted {
			list = append(list, Work{Batch: batch.clone(), N: len(batch.Attempts) + 1})
		}
	}
	return list
}

// Alive are the open batches with a live attempt, oldest first: to be sent and watched, halted or not.
func (b *Book) Alive() []Batch {
	var list []Batch
	for _, id := range b.Open {
		if batch := b.Batches[id]; batch.Live() != nil {
			list = append(list, batch.clone())
		}
	}
	return list
}

func (t *Batch) clone() Batch {
	c := *t
	c.Transfers, c.Attempts = slices.Clone(t.Transfers), slices.Clone(t.Attempts)
	return c
}

// finish closes a batch. Bytes that nobody sends any more need no room in every snapshot.
func (b *Book) finish(batch *Batch, state BatchState, now time.Time) {
	batch.State, batch.EndedAt = state, now.UTC()
	for i := range batch.Attempts {
		batch.Attempts[i].Raw = ""
	}
	b.Open = without(b.Open, batch.ID)
}

// paid posts one payout of a finalized batch.
func paid(p *Payout, batch *Batch, a *Attempt) ledger.Entry {
	note := struct {
		Payout    *Payout `json:"payout"`
		Attempt   int     `json:"attempt"`
		Signature string  `json:"signature"`
		Slot      uint64  `json:"slot"`
	}{p, a.N, a.Signature, a.Slot}
	return entry("payout.paid", p, flightAccount(p.ID), chainAccount(), note)
}

package payout

import (
	"fmt"
	"time"

	"raylink/billing/ledger"
	"raylink/raylink"
)

// Result is how an attempt ended, with the evidence.
type Result struct {
	Batch     string `json:"batch"`
	N         int    `json:"n"`
	Signature string `json:"signature"` // of the attempt, so that nothing is mixed up
	Stage     Stage  `json:"stage"`
	Height    uint64 `json:"height,omitempty"` // of an expired one: the finalized height at which the chain did not know it
	Slot      uint64 `json:"slot,omitempty"`
	Code      Code   `json:"code,omitempty"`   // of a failed one, or the refusal that an expired one met in preflight
	Reason    string `json:"reason,omitempty"` // in words
}

// Outcome ends an attempt. Finalized posts each payout of the batch (kind `payout.paid`, ref its id, payout:<id> to treasury:chain). Failed
// on chain splits the batch; one that failed alone is blocked, or tried again a few times. Expired leaves the batch open for its next attempt,
// unless the node had refused it for a reason, which then counts like a failure. The same result once more changes nothing.
func (b *Book) Outcome(now time.Time, r Result) ([]ledger.Entry, error) {
	batch, ok := b.Batches[r.Batch]
	if !ok || r.N < 1 || r.N > len(batch.Attempts) || batch.Attempts[r.N-1].Signature != r.Signature {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no attempt %d of batch %.60q is transaction %.100q", r.N, r.Batch, r.Signature)
	}
	if err := r.check(batch.Attempts[r.N-1]); err != nil {
		return nil, err
	}
	a := &batch.Attempts[r.N-1]
	switch {
	case a.Stage == r.Stage:
		return nil, nil
	case a.Stage == Expired && r.Stage == Finalized:
		return b.resurrect(now, batch, a, r)
	case a.Stage != "":
		return nil, raylink.Errorf(raylink.CodeConflict, "transaction %s is %s already", a.Signature, a.Stage)
	}
	a.conclude(now, r)
	switch landed := batch.Landed(); {
	case r.Stage == Finalized:
		return b.pay(now, batch, a), nil
	case landed != nil: // an earlier one that was said to be dead: this was the last that could pay the batch again
		return b.pay(now, batch, landed), nil
	case r.Stage == Failed || refused(r.Code):
		b.split(now, batch, a)
	}
	return nil, nil
}

func (r Result) check(a Attempt) error {
	switch {
	case r.Stage != Finalized && r.Stage != Expired && r.Stage != Failed:
		return raylink.Errorf(raylink.CodeInvalid, "%.60q is no end of an attempt", r.Stage)
	case r.Stage == Expired && r.Height <= a.LastValidHeight:
		return raylink.Errorf(raylink.CodeConflict, "transaction %s may be taken up to height %d, and the finalized one is %d", a.Signature, a.LastValidHeight, r.Height).
			WithHint("send the same bytes again, and wait")
	case len(r.Reason) > 1000 || len(r.Code) > 64:
		return raylink.Errorf(raylink.CodeInvalid, "the reason why transaction %s failed is too long", a.Signature)
	}
	return nil
}

func (a *Attempt) conclude(now time.Time, r Result) {
	a.Stage, a.Height, a.Slot, a.Code, a.Reason, a.EndedAt = r.Stage, r.Height, r.Slot, r.Code, r.Reason, now.UTC()
}

// refused says whether the code is a refusal of what the transaction does, rather than of its age.
func refused(code Code) bool { return code != "" && code != ChainExpired && code != ChainReplayed }

func (b *Book) pay(now time.Time, batch *Batch, a *Attempt) []ledger.Entry {
	b.finish(batch, Done, now)
	var entries []ledger.Entry
	for _, t := range batch.Transfers {
		p := b.Payouts[t.Payout]
		p.Signature, p.Code, p.Reason = a.Signature, "", ""
		b.end(p, Paid, now)
		entries = append(entries, paid(p, batch, a))
	}
	return entries
}

// resurrect takes in that a transaction took effect which a node had not known when it was said to be dead. Where nothing that was tried in
// its place is alive, it has paid. Else the batch may be paid twice: everything stops until an admin has looked, and nothing is signed for the batch any more.
func (b *Book) resurrect(now time.Time, batch *Batch, a *Attempt, r Result) ([]ledger.Entry, error) {
	a.conclude(now, r)
	if batch.State == Open && batch.Live() == nil {
		return b.pay(now, batch, a), nil
	}
	reason := fmt.Sprintf("transaction %s of batch %s took effect after it was said to have expired; later ones may pay the same", a.Signature, batch.ID)
	b.Halts[""] = Halt{Reason: reason, By: "coordinator", At: now.UTC()}
	return nil, nil
}

// split takes a failed batch apart. What was several goes on one by one; what was alone is the cause itself.
func (b *Book) split(now time.Time, batch *Batch, a *Attempt) {
	b.finish(batch, Split, now)
	for _, t := range batch.Transfers {
		p := b.Payouts[t.Payout]
		p.Solo = true
		if len(batch.Transfers) > 1 {
			b.enqueue(now, p)
			continue
		}
		p.Tries++
		p.Code, p.Reason = a.Code, a.Reason
		gone := a.Code == ChainNoAccount || a.Code == ChainFrozen
		if seen, ok := b.Seen[destination(t.Wallet, batch.Asset)]; gone && ok {
			seen.Exists, seen.Frozen, seen.At = a.Code == ChainFrozen, a.Code == ChainFrozen, now.UTC()
			b.Seen[destination(t.Wallet, batch.Asset)] = seen
		}
		if !gone && p.Tries < b.Policy.MaxTries {
			b.enqueue(now, p)
			continue
		}
		if p.Code == "" {
			p.Code = "other"
		}
		p.State, p.ChangedAt = Blocked, now.UTC()
		b.Blocked = append(b.Blocked, p.ID)
	}
}

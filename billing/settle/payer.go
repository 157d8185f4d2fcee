package settle

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
)

// PayoutBooks are the books as a Payer sees them.
type PayoutBooks interface {
	// Alive are the open batches with a live attempt, which is committed.
	Alive(ctx context.Context) ([]payout.Batch, error)
	// Outcome proposes how an attempt ended and returns when it is taken in or refused. One that is known already is no error.
	Outcome(ctx context.Context, r payout.Result) error
}

// Purse is where batches of one asset are paid from.
type Purse struct {
	Mint    chain.Mint    `json:"mint"`
	Account chain.Address `json:"account"` // our token account
	Wallet  chain.Address `json:"wallet"`  // our wallet
}

// BatchOf is what a batch of the books is on the chain.
func (p Purse) BatchOf(b payout.Batch) chain.Batch {
	batch := chain.Batch{Mint: p.Mint, From: p.Account, Owner: p.Wallet, Memo: b.Memo()}
	if b.Burn {
		batch.Burn = b.Total()
		return batch
	}
	for _, t := range b.Transfers {
		batch.Transfers = append(batch.Transfers, chain.Transfer{Account: chain.Address(t.TokenAccount), Amount: t.Amount})
	}
	return batch
}

// Payer sends committed attempts, the same bytes again and again, until they have ended. It needs no key.
type Payer struct {
	Books   PayoutBooks
	Node    chain.Sender
	Second  chain.Sender // nil where there is none; else both must agree on how an attempt ended
	Builder chain.Builder
	Purses  map[money.Asset]Purse
	Margin  uint64 // blocks beyond the last valid height before an attempt is dead: nodes behind one address may differ
	Every   time.Duration
	Log     *slog.Logger

	refusals map[string]chain.RefusedError // by signature, what preflight said: a hint for what follows expiry
}

// Run pays until the context ends.
func (p *Payer) Run(ctx context.Context) error {
	return loop(ctx, p.Every, p.Log, "paying", p.Step)
}

// Step looks once at every live attempt. An error of one does not keep it from the others. It is not for several goroutines at once; several
// Payers are harmless.
func (p *Payer) Step(ctx context.Context) error {
	batches, err := p.Books.Alive(ctx)
	if err != nil {
		return fmt.Errorf("reading the live attempts: %w", err)
	}
	known := map[string]chain.RefusedError{}
	var failures []error
	for _, batch := range batches {
		attempt := batch.Live()
		if attempt == nil {
			continue
		}
		if refusal, ok := p.refusals[attempt.Signature]; ok {
			known[attempt.Signature] = refusal
		}
		if err := p.attempt(ctx, batch, *attempt, known); err != nil {
			failures = append(failures, fmt.Errorf("paying batch %s by transaction %s: %w", batch.ID, attempt.Signature, err))
		}
	}
	p.refusals = known
	return errors.Join(failures...)
}

func (p *Payer) attempt(ctx context.Context, batch payout.Batch, a payout.Attempt, refusals map[string]chain.RefusedError) error {
	result, ended, err := Ended(ctx, p.Node, p.Second, chain.Signature(a.Signature), a.LastValidHeight+p.Margin)
	if err != nil {
		return err
	}
	if ended {
		result.Batch, result.N = batch.ID, a.N
		if refusal, ok := refusals[a.Signature]; ok && result.Stage == payout.Expired {
			result.Code, result.Reason = payout.Code(refusal.Code), cut(refusal.Reason)
		}
		if err := p.Books.Outcome(ctx, result); err != nil {
			return fmt.Errorf("proposing that it %s: %w", result.Stage, err)
		}
		return nil
	}
	return p.send(ctx, batch, a, refusals)
}

// send gives the bytes to the node once more, if they do what the batch says.
func (p *Payer) send(ctx context.Context, batch payout.Batch, a payout.Attempt, refusals map[string]chain.RefusedError) error {
	raw, err := base64.StdEncoding.DecodeString(a.Raw)
	if err != nil {
		return fmt.Errorf("reading the attempt's bytes: %w", err)
	}
	purse, ok := p.Purses[batch.Asset]
	if !ok {
		return fmt.Errorf("no purse of %s is configured", batch.Asset)
	}
	does, _, err := p.Builder.Read(raw)
	if err != nil {
		return fmt.Errorf("reading what the bytes do: %w", err)
	}
	if !SameBatch(does, purse.BatchOf(batch)) {
		return errors.New("the signed bytes do something else than the batch: they are not sent")
	}
	err = p.Node.Send(ctx, raw)
	var refusal *chain.RefusedError
	if errors.As(err, &refusal) {
		if refusal.Code != chain.Expired && refusal.Code != chain.Replayed {
			refusals[a.Signature] = *refusal
			p.Log.Warn("a payout was refused", "batch", batch.ID, "transaction", a.Signature, "code", refusal.Code)
		}
		return nil
	}
	delete(refusals, a.Signature)
	if err != nil {
		return fmt.Errorf("sending: %w", err) // it may have been taken all the same
	}
	return nil
}

// SameBatch compares what two batches do.
func SameBatch(a, b chain.Batch) bool {
	return a.Mint.Address == b.Mint.Address && a.Mint.Program == b.Mint.Program && a.From == b.From && a.Owner == b.Owner &&
		a.Burn == b.Burn && a.Memo == b.Memo && slices.Equal(a.Transfers, b.Transfers)
}

// Ended asks whether a transaction has come to its end. It is dead when the chain does not know it after a finalized height above lastValid was
// seen: the height is asked first, for what is asked second may be newer but not older. Second, where given, must agree.
func Ended(ctx context.Context, node, second chain.Sender, signature chain.Signature, lastValid uint64) (payout.Result, bool, error) {
	result, ended, err := endedAt(ctx, node, signature, lastValid)
	if err != nil || !ended || second == nil {
		return result, ended, err
	}
	other, ended, err := endedAt(ctx, second, signature, lastValid)
	if err != nil {
		return payout.Result{}, false, fmt.Errorf("asking the second node: %w", err)
	}
	if !ended {
		return payout.Result{}, false, nil // it may be behind
	}
	if other.Stage != result.Stage {
		return payout.Result{}, false, fmt.Errorf("one node says %s, the other %s", result.Stage, other.Stage)
	}
	result.Height = min(result.Height, other.Height)
	return result, true, nil
}

func endedAt(ctx context.Context, node chain.Sender, signature chain.Signature, lastValid uint64) (payout.Result, bool, error) {
	height, err := node.Height(ctx)
	if err != nil {
		return payout.Result{}, false, fmt.Errorf("asking for the height: %w", err)
	}
	status, err := node.Status(ctx, signature)
	if err != nil {
		return payout.Result{}, false, fmt.Errorf("asking for the status: %w", err)
	}
	result := payout.Result{Signature: string(signature), Slot: status.Slot}
	switch status.Stage {
	case chain.Finalized:
		result.Stage = payout.Finalized
		return result, true, nil
	case chain.Failed:
		result.Stage, result.Code, result.Reason = payout.Failed, payout.Code(status.Code), cut(status.Reason)
		return result, true, nil
	case chain.Unknown:
		if height > lastValid {
			result.Stage, result.Height, result.Slot = payout.Expired, height, 0
			return result, true, nil
		}
	}
	return payout.Result{}, false, nil
}

func cut(reason string) string { return strings.ToValidUTF8(reason[:min(len(reason), 500)], "") }

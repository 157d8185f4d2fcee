// Package signer is the process that has the treasury's key. It asks the coordinator for batches that want a transaction, holds them against its
// own policy, signs, and proposes the attempt; others send it. The key comes from a file that only its owner may read and never leaves the
// process: it is in no log, no error and no message.
//
// The coordinator is not believed. The policy (mints, caps of a payment and of an hour) is a file here, what was signed stands in a journal here,
// and a payout is signed again only when the signer's own node says that the transaction before is dead.
package signer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
)

// Books are the coordinator's books as a signer sees them.
type Books interface {
	// Work are the batches that want an attempt.
	Work(ctx context.Context) ([]payout.Work, error)
	// Attempt proposes a signed transaction and returns when it is recorded or refused. The same once more is no error.
	Attempt(ctx context.Context, a payout.Attempted) error
}

// Config is what a signer is made of.
type Config struct {
	Key     Key
	Policy  Policy
	Journal string // path of its journal; kept for good, with mode 0600
	Books   Books
	Node    chain.Sender // its own: nothing is sent by it
	Second  chain.Sender // nil where there is none; else both must agree that a transaction is dead, and the later end of a blockhash counts
	Builder chain.Builder
	Margin  uint64  // blocks beyond the last valid height before a transaction is dead
	Anchors Anchors // nil: checkpoints are not put on the chain
	Every   time.Duration
	Log     *slog.Logger
}

// Signer signs batches.
type Signer struct {
	config  Config
	journal *journal
	dead    map[string]bool // signatures known to be dead
	anchor  *anchor         // the memo on its way
	memoAt  time.Time       // when the last memo was signed
}

// Open opens the journal. Close ends it.
func Open(c Config) (*Signer, error) {
	if err := c.Policy.Check(); err != nil {
		return nil, fmt.Errorf("checking the signer's policy: %w", err)
	}
	for _, r := range c.Policy.Rules {
		if r.Wallet != c.Key.Address() {
			return nil, fmt.Errorf("the policy pays %s from wallet %s, and the key is that of %s", r.Mint.Asset, r.Wallet, c.Key.Address())
		}
	}
	j, err := openJournal(c.Journal)
	if err != nil {
		return nil, err
	}
	return &Signer{config: c, journal: j, dead: map[string]bool{}}, nil
}

// Close closes the journal.
func (s *Signer) Close() error { return s.journal.file.Close() }

// Run signs until the context ends.
func (s *Signer) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.config.Every)
	defer ticker.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		err := s.Step(bounded)
		if s.config.Anchors != nil {
			err = errors.Join(err, s.Anchor(bounded, s.config.Anchors))
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			s.config.Log.Warn("signing payouts", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Step signs what is wanted now. A refusal of one batch does not keep it from the others. It is not for several goroutines at once.
func (s *Signer) Step(ctx context.Context) error {
	list, err := s.config.Books.Work(ctx)
	if err != nil {
		return fmt.Errorf("asking for work: %w", err)
	}
	var failures []error
	for _, work := range list {
		if err := s.work(ctx, work); err != nil {
			failures = append(failures, fmt.Errorf("signing attempt %d of batch %s: %w", work.N, work.Batch.ID, err))
		}
	}
	return errors.Join(failures...)
}

func (s *Signer) work(ctx context.Context, work payout.Work) error {
	rule, ok := s.config.Policy.rule(work.Batch.Asset)
	if !ok {
		return fmt.Errorf("the policy has no rule for %s", work.Batch.Asset)
	}
	again, err := s.before(ctx, work)
	if err != nil {
		return err
	}
	if again == nil {
		if again, err = s.sign(ctx, work, rule); err != nil {
			return err
		}
	}
	attempt := payout.Attempted{Batch: again.Batch, N: again.N, Signature: again.Signature, Raw: again.Raw, LastValidHeight: again.LastValidHeight}
	if err := s.config.Books.Attempt(ctx, attempt); err != nil {
		return fmt.Errorf("proposing transaction %s: %w", again.Signature, err) // it may have been recorded all the same: it is not signed anew while it lives
	}
	s.config.Log.Info("signed a payout", "batch", again.Batch, "attempt", again.N, "transaction", again.Signature, "asset", again.Asset)
	return nil
}

// before looks at what was signed for the same payouts. It gives the transaction of this very attempt, if that lives still: the proposal was
// lost, or its answer. Any other that is not dead forbids to sign.
func (s *Signer) before(ctx context.Context, work payout.Work) (*record, error) {
	for _, transfer := range work.Batch.Transfers {
		was := s.journal.last[transfer.Payout]
		if was == nil || s.dead[was.Signature] {
			continue
		}
		result, ended, err := settle.Ended(ctx, s.config.Node, s.config.Second, chain.Signature(was.Signature), was.LastValidHeight+s.config.Margin)
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking at transaction %s, which was signed before: %w", was.Signature, err)
		case ended && result.Stage == payout.Finalized:
			return nil, fmt.Errorf("payout %s was paid already, by transaction %s of batch %s", transfer.Payout, was.Signature, was.Batch)
		case ended:
			s.dead[was.Signature] = true
		case was.Batch == work.Batch.ID && was.N == work.N:
			return was, nil
		default:
			return nil, fmt.Errorf("payout %s may still be paid by transaction %s of batch %s", transfer.Payout, was.Signature, was.Batch)
		}
	}
	return nil, nil
}

// blockhash is the newest of the first node's. How long it lives is the more patient node's word: one that says less, and keeps the signed bytes back,
// could have them called dead, another one signed, and both taken. The second is asked later, so an honest one that keeps up says no less than is true.
func (s *Signer) blockhash(ctx context.Context) (chain.Blockhash, error) {
	newest, err := s.config.Node.Blockhash(ctx)
	if err != nil {
		return chain.Blockhash{}, fmt.Errorf("asking for a blockhash: %w", err)
	}
	if s.config.Second == nil {
		return newest, nil
	}
	other, err := s.config.Second.Blockhash(ctx)
	if err != nil {
		return chain.Blockhash{}, fmt.Errorf("asking the second node for a blockhash: %w", err)
	}
	newest.LastValidHeight = max(newest.LastValidHeight, other.LastValidHeight)
	return newest, nil
}

// sign makes a transaction, once the policy allows it, and writes it down before anybody sees it.
func (s *Signer) sign(ctx context.Context, work payout.Work, rule Rule) (*record, error) {
	now := time.Now()
	r := &record{At: now.UTC(), Batch: work.Batch.ID, N: work.N, Asset: work.Batch.Asset}
	for _, t := range work.Batch.Transfers {
		if slices.Contains(r.Payouts, t.Payout) {
			return nil, fmt.Errorf("payout %s is in the batch twice", t.Payout)
		}
		r.Payouts, r.Amounts = append(r.Payouts, t.Payout), append(r.Amounts, t.Amount)
		r.Fresh += max(0, t.Amount-s.journal.counted[t.Payout])
	}
	blockhash, err := s.blockhash(ctx)
	if err != nil {
		return nil, err
	}
	if err := rule.allows(work.Batch, s.journal.spent(now, blockhash.LastValidHeight, r.Asset), r.Fresh); err != nil {
		return nil, fmt.Errorf("the signer's policy refuses: %w", err)
	}
	want := rule.BatchOf(work.Batch)
	message, err := s.config.Builder.Message(want, blockhash.Hash)
	if err != nil {
		return nil, fmt.Errorf("building the transaction: %w", err)
	}
	raw, name, err := s.config.Builder.Assemble(message, s.config.Key.sign(message))
	if err != nil {
		return nil, fmt.Errorf("putting the transaction together: %w", err)
	}
	if does, hash, err := s.config.Builder.Read(raw); err != nil || hash != blockhash.Hash || !settle.SameBatch(does, want) {
		return nil, errors.New("the transaction does not do what the batch says")
	}
	r.Signature, r.Raw, r.LastValidHeight = string(name), base64.StdEncoding.EncodeToString(raw), blockhash.LastValidHeight
	if err := s.journal.add(r); err != nil {
		return nil, err
	}
	return r, nil
}

package signer

import (
	"context"
	"fmt"
	"time"

	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/raylink"
)

// Anchors are the coordinator's checkpoints as a signer sees them.
type Anchors interface {
	// Unanchored is the memo of the newest checkpoint that is not on the chain, with its number; 0 if there is none.
	Unanchored(ctx context.Context) (seq uint64, memo string, err error)
	// Anchored tells which finalized transaction carries a checkpoint, which need not be the newest any more.
	Anchored(ctx context.Context, seq uint64, signature string) error
}

// anchor is a memo on its way to the chain.
type anchor struct {
	seq       uint64
	signature chain.Signature
	raw       []byte
	lastValid uint64
}

// memoPrefix is what a checkpoint's memo begins with: the signer signs no other text.
const memoPrefix = "rl:cp:"

// memoEvery is the least time between two memos: each costs a fee, and a coordinator can make as many checkpoints as it likes.
const memoEvery = 30 * time.Second

// Anchor brings a checkpoint's memo onto the chain, one step further each time. The one in flight comes to its end first, whatever newer ones there
// are, for else none would where they are frequent; then the newest is taken. It is the one thing that a signer sends itself: a memo that stands
// there twice does no harm, so nothing of it is kept.
func (s *Signer) Anchor(ctx context.Context, a Anchors) error {
	if s.anchor == nil {
		if err := s.newest(ctx, a); err != nil || s.anchor == nil {
			return err
		}
	}
	result, ended, err := settle.Ended(ctx, s.config.Node, s.config.Second, s.anchor.signature, s.anchor.lastValid+s.config.Margin)
	switch {
	case err != nil:
		return err
	case !ended:
		return s.config.Node.Send(ctx, s.anchor.raw)
	case result.Stage != "finalized":
		s.anchor = nil // expired or failed: a new one with the next step
		return nil
	}
	done := s.anchor
	if err := a.Anchored(ctx, done.seq, string(done.signature)); err != nil {
		if raylink.AsError(err).Code == raylink.CodeNotFound {
			s.anchor = nil // the group has lost this checkpoint, and it will never be taken
		}
		return err
	}
	s.config.Log.Info("put a checkpoint on the chain", "entry", done.seq, "transaction", done.signature)
	s.anchor = nil
	return nil
}

// newest signs the memo of the newest checkpoint, if there is one and the last memo was not signed just now.
func (s *Signer) newest(ctx context.Context, a Anchors) error {
	seq, memo, err := a.Unanchored(ctx)
	if err != nil || seq == 0 {
		return err
	}
	if len(memo) > chain.MaxMemo || len(memo) < len(memoPrefix) || memo[:len(memoPrefix)] != memoPrefix {
		return fmt.Errorf("the text %.40q is no checkpoint's and is not signed", memo)
	}
	if time.Since(s.memoAt) < memoEvery {
		return nil
	}
	if s.anchor, err = s.memo(ctx, seq, memo); err == nil {
		s.memoAt = time.Now()
	}
	return err
}

func (s *Signer) memo(ctx context.Context, seq uint64, memo string) (*anchor, error) {
	blockhash, err := s.config.Node.Blockhash(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a blockhash: %w", err)
	}
	message, err := s.config.Builder.Message(chain.Batch{Owner: s.config.Key.Address(), Memo: memo}, blockhash.Hash)
	if err != nil {
		return nil, fmt.Errorf("building a memo: %w", err)
	}
	raw, name, err := s.config.Builder.Assemble(message, s.config.Key.sign(message))
	if err != nil {
		return nil, fmt.Errorf("putting a memo together: %w", err)
	}
	return &anchor{seq: seq, signature: name, raw: raw, lastValid: blockhash.LastValidHeight}, nil
}

package chaintest

import (
	"errors"
	"testing"

	"raylink/billing/settle/chain"
)

// window: a blockhash is taken up to its last height and not one longer.
func window(t *testing.T, s *stage) {
	to := s.account2(t)
	hash, err := s.Sender.Blockhash(t.Context())
	must(t, err)
	last, late := s.signOn(t, s.batch(to), hash), s.signOn(t, s.batch(to), hash)
	now := s.height(t) + uint64(s.Finality)
	s.Tick(t, int(hash.LastValidHeight-now))
	must(t, s.Sender.Send(t.Context(), last.raw))
	s.Tick(t, 1)
	refused(t, s.Sender.Send(t.Context(), late.raw), chain.Expired, -1)
	s.Tick(t, s.Finality)
	s.holds(t, to, 1000)
	s.stageOf(t, late.name, chain.Unknown)
	s.stageOf(t, last.name, chain.Finalized)
}

// dropped: a node takes the bytes and they never land; the same bytes may be sent again.
func dropped(t *testing.T, s *stage) {
	to := s.account2(t)
	tx := s.sign(t, s.batch(to))
	s.Drop(t, 1)
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Unknown)
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Finalized)
	s.holds(t, to, 1000)
}

// lostAnswer: the node says that something went wrong, and the transfer landed.
func lostAnswer(t *testing.T, s *stage) {
	to := s.account2(t)
	tx := s.sign(t, s.batch(to))
	s.Lose(t, 1)
	unsure(t, s.Sender.Send(t.Context(), tx.raw))
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Finalized)
	refused(t, s.Sender.Send(t.Context(), tx.raw), chain.Replayed, -1)
	s.holds(t, to, 1000)
}

// expired: dropped, over its last height, signed anew: paid once.
func expired(t *testing.T, s *stage) {
	to := s.account2(t)
	batch := s.batch(to)
	first := s.sign(t, batch)
	s.Drop(t, 1)
	must(t, s.Sender.Send(t.Context(), first.raw))
	for s.height(t) <= first.until {
		s.stageOf(t, first.name, chain.Unknown)
		s.Tick(t, 50)
	}
	s.stageOf(t, first.name, chain.Unknown)
	second := s.sign(t, batch)
	if second.name == first.name {
		t.Fatal("a new blockhash gives no new name")
	}
	refused(t, s.Sender.Send(t.Context(), first.raw), chain.Expired, -1)
	must(t, s.Sender.Send(t.Context(), second.raw))
	s.Tick(t, s.Finality)
	refused(t, s.Sender.Send(t.Context(), first.raw), chain.Expired, -1)
	s.stageOf(t, second.name, chain.Finalized)
	s.stageOf(t, first.name, chain.Unknown)
	s.holds(t, to, 1000)
}

// landedAsFailed: a transaction that no preflight stopped is on the chain and moved nothing.
func landedAsFailed(t *testing.T, s *stage) {
	to := s.account2(t)
	batch := s.batch(to)
	batch.Transfers[0].Amount = 2_000_000_000
	tx := s.sign(t, batch)
	s.Force(t)
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.stageOf(t, tx.name, chain.Seen)
	s.Tick(t, s.Finality)
	if got := s.stageOf(t, tx.name, chain.Failed); got.Code != chain.Insufficient || got.Reason == "" {
		t.Fatalf("status %+v", got)
	}
	s.holds(t, s.account, 1_000_000_000)
	got, err := s.Reader.Effect(t.Context(), tx.name, s.account)
	must(t, err)
	if !got.Failed || got.Delta != 0 {
		t.Fatalf("effect %+v", got)
	}
	history, err := s.Reader.History(t.Context(), s.account, "", 100)
	must(t, err)
	if history[len(history)-1] != tx.name {
		t.Fatal("the failed one is not in the history")
	}
	refused(t, s.Sender.Send(t.Context(), tx.raw), chain.Replayed, -1)
}

// brokenLine: every call says so, and nothing was done.
func brokenLine(t *testing.T, s *stage) {
	to := s.account2(t)
	tx := s.sign(t, s.batch(to))
	ctx := t.Context()
	calls := map[string]func() error{
		"send":      func() error { return s.Sender.Send(ctx, tx.raw) },
		"status":    func() error { _, err := s.Sender.Status(ctx, tx.name); return err },
		"height":    func() error { _, err := s.Sender.Height(ctx); return err },
		"blockhash": func() error { _, err := s.Sender.Blockhash(ctx); return err },
		"history":   func() error { _, err := s.Reader.History(ctx, s.account, "", 5); return err },
		"effect":    func() error { _, err := s.Reader.Effect(ctx, tx.name, s.account); return err },
		"account":   func() error { _, err := s.Reader.Account(ctx, s.account); return err },
		"supply":    func() error { _, err := s.Reader.Supply(ctx, s.Mint.Address); return err },
	}
	for name, call := range calls {
		s.Break(t, 1)
		err := call()
		unsure(t, err)
		for _, known := range []error{chain.ErrUnknown, chain.ErrNoAccount, chain.ErrLag} {
			if errors.Is(err, known) {
				t.Errorf("%s: a broken line answers %v", name, err)
			}
		}
	}
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Unknown)
	s.holds(t, to, 0)
}

// lagging: a node that is behind is behind in everything, heights too, so that nothing is taken for dead.
func lagging(t *testing.T, s *stage) {
	to := s.account2(t)
	s.Tick(t, s.Finality)
	tx := s.sign(t, s.batch(to))
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.Tick(t, s.Finality)
	height := s.height(t)
	s.Lag(t, s.Finality+3)
	s.stageOf(t, tx.name, chain.Unknown)
	if behind := s.height(t); behind != height-uint64(s.Finality)-3 {
		t.Fatalf("height %d of a node that is behind %d", behind, height)
	}
	if _, err := s.Reader.Effect(t.Context(), tx.name, s.account); !errors.Is(err, chain.ErrUnknown) {
		t.Fatalf("effect: %v", err)
	}
	if _, err := s.Reader.History(t.Context(), s.account, tx.name, 5); !errors.Is(err, chain.ErrLag) {
		t.Fatalf("history: %v", err)
	}
	s.holds(t, s.account, 1_000_000_000)
	s.Lag(t, 0)
	s.stageOf(t, tx.name, chain.Finalized)
	s.holds(t, s.account, 1_000_000_000-1000)
}

// staleNode: one that knows no transaction while its heights are current. Nobody can see through it; the suite shows that it can be played.
func staleNode(t *testing.T, s *stage) {
	tx := s.sign(t, s.batch(s.account2(t)))
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.Tick(t, s.Finality)
	height := s.height(t)
	s.Stale(t, true)
	s.stageOf(t, tx.name, chain.Unknown)
	if now := s.height(t); now != height {
		t.Fatalf("height %d, was %d", now, height)
	}
	if found, err := s.Reader.History(t.Context(), s.account, "", 10); err != nil || len(found) != 0 {
		t.Fatalf("history %v %v", found, err)
	}
	s.Stale(t, false)
	s.stageOf(t, tx.name, chain.Finalized)
}

// fork: seen is not finalized; what vanished may land again by the same bytes, once.
func fork(t *testing.T, s *stage) {
	to := s.account2(t)
	s.Tick(t, s.Finality)
	tx := s.sign(t, s.batch(to))
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.stageOf(t, tx.name, chain.Seen)
	s.Fork(t, tx.name)
	s.stageOf(t, tx.name, chain.Unknown)
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Unknown)
	s.holds(t, to, 0)
	must(t, s.Sender.Send(t.Context(), tx.raw))
	refused(t, s.Sender.Send(t.Context(), tx.raw), chain.Replayed, -1)
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Finalized)
	s.holds(t, to, 1000)
	s.holds(t, s.account, 1_000_000_000-1000)
}

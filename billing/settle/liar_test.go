package settle_test

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"raylink/billing/payout"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
)

// honest is the second node: it sees the same chain, in the same weather, and never lies.
type honest struct{ port }

func asked[T any](h honest, step string, do func() (T, error)) (T, error) {
	return call(h.actor, "second "+step, func() (T, error) {
		h.world.chain.Lie(fake.Lies{})
		defer func() { h.world.chain.Lie(h.world.lies) }()
		return do()
	})
}

func (h honest) History(ctx context.Context, account chain.Address, after chain.Signature, limit int) ([]chain.Signature, error) {
	return asked(h, "history", func() ([]chain.Signature, error) { return h.world.chain.History(ctx, account, after, limit) })
}

func (h honest) Effect(ctx context.Context, signature chain.Signature, account chain.Address) (chain.Effect, error) {
	return asked(h, "effect", func() (chain.Effect, error) { return h.world.chain.Effect(ctx, signature, account) })
}

func (h honest) Blockhash(ctx context.Context) (chain.Blockhash, error) {
	return asked(h, "blockhash", func() (chain.Blockhash, error) { return h.world.chain.Blockhash(ctx) })
}

func (h honest) Status(ctx context.Context, signature chain.Signature) (chain.Status, error) {
	return asked(h, "status", func() (chain.Status, error) { return h.world.chain.Status(ctx, signature) })
}

func (h honest) Height(ctx context.Context) (uint64, error) {
	return asked(h, "height", func() (uint64, error) { return h.world.chain.Height(ctx) })
}

// effects are lies about what a transaction did.
func (e *episode) effects() []func(chain.Effect) chain.Effect {
	landed, junk, other := e.chain.Landed(), addressOf("junk"), e.payers[0]
	return []func(chain.Effect) chain.Effect{
		func(x chain.Effect) chain.Effect { x.Delta = 2*x.Delta + 1; return x },
		func(x chain.Effect) chain.Effect { x.Delta = max(x.Delta, 7_000_000); return x }, // tokens out of nothing
		func(x chain.Effect) chain.Effect { x.Delta = min(x.Delta, 150_000); return x },   // a big one is small
		func(x chain.Effect) chain.Effect { x.Delta, x.Failed = 0, true; return x },
		func(x chain.Effect) chain.Effect { x.Delta = -x.Delta; return x },
		func(x chain.Effect) chain.Effect { x.Mint = junk; return x },
		func(x chain.Effect) chain.Effect { x.References, x.Memo = nil, "top-3"; return x }, // somebody else's
		func(x chain.Effect) chain.Effect {
			x.References, x.Memo, x.Senders = nil, "", []chain.Address{other}
			return x
		},
		func(x chain.Effect) chain.Effect { x.Signature = landed[0]; return x },
	}
}

// histories are lies about which transactions there are.
func (e *episode) histories() []func([]chain.Signature) []chain.Signature {
	landed := e.chain.Landed()
	foreign := landed[e.rng.IntN(len(landed))]
	return []func([]chain.Signature) []chain.Signature{
		func(h []chain.Signature) []chain.Signature { return nil },
		func(h []chain.Signature) []chain.Signature { return h[min(1, len(h)):] },
		func(h []chain.Signature) []chain.Signature { return h[max(0, len(h)-1):] },
		func(h []chain.Signature) []chain.Signature { return h[:max(0, len(h)-1)] },
		func(h []chain.Signature) []chain.Signature { slices.Reverse(h); return h },
		func(h []chain.Signature) []chain.Signature { return append([]chain.Signature{foreign}, h...) },
		func(h []chain.Signature) []chain.Signature { return append(h, foreign) },
		func(h []chain.Signature) []chain.Signature { return append(h, h...) },
	}
}

// statuses are lies about how far a transaction has come.
func statuses() []func(chain.Signature, chain.Status) chain.Status {
	is := func(s chain.Status) func(chain.Signature, chain.Status) chain.Status {
		return func(chain.Signature, chain.Status) chain.Status { return s }
	}
	return []func(chain.Signature, chain.Status) chain.Status{
		is(chain.Status{Stage: chain.Unknown}), is(chain.Status{Stage: chain.Finalized, Slot: 5}), is(chain.Status{Stage: chain.Seen}),
		is(chain.Status{Stage: chain.Failed, Code: chain.NoAccount, Reason: "so they say"}),
	}
}

// lie makes the first node lie in one respect or in several, as if it knew what would hurt.
func (e *episode) lie() {
	e.lied++
	if e.chance(40) {
		e.lies.Effect = pick(e, e.effects())
	}
	if e.chance(40) {
		e.lies.History = pick(e, e.histories())
	}
	if e.chance(40) {
		e.lies.Status = pick(e, statuses())
	}
	if e.chance(40) {
		e.lies.Height = pick(e, []func(uint64) uint64{func(h uint64) uint64 { return h + 1000 }, func(uint64) uint64 { return 0 }})
	}
	e.chain.Lie(e.lies)
}

// plot makes the first node keep back what it is given, and say that it lives shorter than it does: so it can pay what was called dead.
func (e *episode) plot() {
	e.lied++
	early := uint64(window + e.rng.IntN(maxLag))
	e.lies, e.hoards = fake.Lies{Hash: func(b chain.Blockhash) chain.Blockhash {
		b.LastValidHeight = max(b.LastValidHeight, early+1) - early
		return b
	}}, true
	e.chain.Lie(e.lies)
}

func pick[T any](e *episode, list []T) T { return list[e.rng.IntN(len(list))] }

// confess ends the lies. What the node has kept back it sends now, however old.
func (e *episode) confess() {
	e.lies, e.hoards = fake.Lies{}, false
	e.chain.Lie(e.lies)
	for _, raw := range slices.Sorted(maps.Keys(e.hoard)) {
		e.release(raw)
	}
}

// keeps says whether the first node tells the payer that it has taken the bytes, and keeps them.
func (w *world) keeps(raw []byte) bool {
	text := base64.StdEncoding.EncodeToString(raw)
	if !w.hoards || !slices.ContainsFunc(w.payouts.Alive(), func(b payout.Batch) bool { return b.Attempts[0].Raw == text }) {
		return false
	}
	w.hoard[text] = true
	return true
}

// strike lets the first node send what it has kept back when that hurts most: when it was called dead and another was signed in its place.
func (e *episode) strike() {
	for _, id := range slices.Sorted(maps.Keys(e.payouts.Batches)) {
		batch := e.payouts.Batches[id]
		if len(batch.Attempts) > 1 && e.hoard[batch.Attempts[0].Raw] {
			e.release(batch.Attempts[0].Raw)
		}
	}
}

func (e *episode) release(text string) {
	raw, err := base64.StdEncoding.DecodeString(text)
	e.must(err)
	e.hoarded++
	delete(e.hoard, text)
	_ = e.chain.Send(context.Background(), raw) // refused where it is too old or has landed
}

// checkCredits holds each deposit against what its payer did.
func (e *episode) checkCredits() {
	e.t.Helper()
	for key, d := range e.deposits.Deposits {
		signature, _, _ := strings.Cut(key, "/")
		want, ok := e.sent[chain.Signature(signature)]
		if !ok || d.Asset != want.Asset || d.Amount != want.Amount || d.To != want.To {
			e.t.Fatalf("credited %+v, and what was sent is %+v", *d, want)
		}
	}
}

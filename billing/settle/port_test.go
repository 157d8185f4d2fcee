package settle_test

import (
	"context"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
)

// port is all that an actor calls: the books and the chain. Before and after each call it may die, or another actor has a turn.
type port struct{ *actor }

func call[T any](a *actor, step string, do func() (T, error)) (T, error) {
	a.cross(step + " before")
	value, err := do()
	a.cross(step + " after")
	return value, err
}

func tell(a *actor, step string, do func() error) error {
	_, err := call(a, step, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// tick moves the state's clock on, as each entry of the log does.
func (p port) tick() { p.world.now = p.world.now.Add(time.Millisecond) }

func (p port) Cursors(context.Context) ([]settle.Cursor, error) {
	return call(p.actor, "cursors", func() ([]settle.Cursor, error) {
		var list []settle.Cursor
		for _, m := range p.world.deposits.Treasury {
			list = append(list, settle.Cursor{Account: m.Account, After: p.world.deposits.Cursors[m.Account].Signature})
		}
		return list, nil
	})
}

func (p port) Observe(_ context.Context, o deposit.Observation) error {
	return tell(p.actor, "observe", func() error {
		p.tick()
		entries, err := p.world.deposits.Observe(p.world.now, o, p.world.owners)
		p.world.post(entries)
		return err
	})
}

func (p port) Alive(context.Context) ([]payout.Batch, error) {
	return call(p.actor, "alive", func() ([]payout.Batch, error) { return p.world.payouts.Alive(), nil })
}

func (p port) Outcome(_ context.Context, r payout.Result) error {
	return tell(p.actor, "outcome", func() error {
		p.tick()
		entries, err := p.world.payouts.Outcome(p.world.now, r)
		p.world.post(entries)
		return err
	})
}

func (p port) Unchecked(context.Context) ([]payout.Destination, error) {
	return call(p.actor, "unchecked", func() ([]payout.Destination, error) { return p.world.payouts.Unchecked(p.world.now, 100), nil })
}

func (p port) CheckDestination(_ context.Context, d payout.Destination, seen payout.Existence) error {
	return tell(p.actor, "check", func() error { return p.world.payouts.CheckDestination(p.world.now, d.Wallet, d.Asset, seen) })
}

func (p port) Work(context.Context) ([]payout.Work, error) {
	return call(p.actor, "work", func() ([]payout.Work, error) { return p.world.payouts.Work(), nil })
}

func (p port) Attempt(_ context.Context, a payout.Attempted) error {
	return tell(p.actor, "attempt", func() error {
		p.tick()
		return p.world.payouts.Attempt(p.world.now, a)
	})
}

func (p port) History(ctx context.Context, account chain.Address, after chain.Signature, limit int) ([]chain.Signature, error) {
	return call(p.actor, "history", func() ([]chain.Signature, error) { return p.world.chain.History(ctx, account, after, limit) })
}

func (p port) Effect(ctx context.Context, signature chain.Signature, account chain.Address) (chain.Effect, error) {
	return call(p.actor, "effect", func() (chain.Effect, error) { return p.world.chain.Effect(ctx, signature, account) })
}

func (p port) Account(ctx context.Context, account chain.Address) (chain.TokenAccount, error) {
	return call(p.actor, "account", func() (chain.TokenAccount, error) { return p.world.chain.Account(ctx, account) })
}

func (p port) Supply(ctx context.Context, mint chain.Address) (int64, error) {
	return p.world.chain.Supply(ctx, mint)
}

func (p port) Blockhash(ctx context.Context) (chain.Blockhash, error) {
	return call(p.actor, "blockhash", func() (chain.Blockhash, error) { return p.world.chain.Blockhash(ctx) })
}

func (p port) Send(ctx context.Context, raw []byte) error {
	return tell(p.actor, "send", func() error {
		if p.world.keeps(raw) {
			return nil
		}
		return p.world.chain.Send(ctx, raw)
	})
}

func (p port) Status(ctx context.Context, signature chain.Signature) (chain.Status, error) {
	return call(p.actor, "status", func() (chain.Status, error) { return p.world.chain.Status(ctx, signature) })
}

func (p port) Height(ctx context.Context) (uint64, error) {
	return call(p.actor, "height", func() (uint64, error) { return p.world.chain.Height(ctx) })
}

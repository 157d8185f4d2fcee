package settle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/settle/chain"
)

// Cursor is a token account of ours and how far its history is taken in.
type Cursor struct {
	Account string `json:"account"`
	After   string `json:"after"` // signature; empty: from the first
}

// DepositBooks are the books as a Watcher sees them.
type DepositBooks interface {
	// Cursors are the treasury's token accounts.
	Cursors(ctx context.Context) ([]Cursor, error)
	// Observe proposes an observation and returns when it is taken in or refused. One that is known already is no error.
	Observe(ctx context.Context, o deposit.Observation) error
}

// Node is a reader with a name, which stands in the books as a witness. It must not be an address with a secret in it.
type Node struct {
	Name   string
	Reader chain.Reader
}

// Watcher proposes what happened to the treasury's token accounts, in its order. Where there is a second node, both must agree on which
// transactions there are and on what each did, however small: the word of one that hides a deposit, or says that it failed, would lose it.
type Watcher struct {
	Books  DepositBooks
	First  Node
	Second Node // its Reader is nil where there is none: big deposits then go into suspense, on the word of one, and small ones are believed
	Every  time.Duration
	Log    *slog.Logger
}

// Run watches until the context ends.
func (w *Watcher) Run(ctx context.Context) error {
	return loop(ctx, w.Every, w.Log, "watching deposits", func(ctx context.Context) error {
		_, err := w.Step(ctx)
		return err
	})
}

// Step takes in all that is new and says how many transactions that were. An error of one account does not keep it from the others.
func (w *Watcher) Step(ctx context.Context) (int, error) {
	cursors, err := w.Books.Cursors(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the cursors of deposits: %w", err)
	}
	taken := 0
	var failures []error
	for _, cursor := range cursors {
		n, err := w.account(ctx, cursor)
		taken += n
		if err != nil {
			failures = append(failures, fmt.Errorf("watching %s: %w", cursor.Account, err))
		}
	}
	return taken, errors.Join(failures...)
}

func (w *Watcher) account(ctx context.Context, cursor Cursor) (int, error) {
	taken := 0
	for {
		page, err := w.First.Reader.History(ctx, chain.Address(cursor.Account), chain.Signature(cursor.After), pageSize)
		if err != nil {
			return taken, fmt.Errorf("reading the history after %q: %w", cursor.After, err)
		}
		agreed, dissent := w.agreed(ctx, cursor, page)
		for _, signature := range agreed {
			if err := w.transaction(ctx, cursor, signature); err != nil {
				return taken, err
			}
			cursor.After = string(signature)
			taken++
		}
		if dissent != nil || len(page) < pageSize {
			return taken, dissent
		}
	}
}

// agreed is the beginning of a page of the first node's that the second has as well, in the same order, and an error where that is not all of it.
// That the second has more is none: the first is behind, and nothing is passed over.
func (w *Watcher) agreed(ctx context.Context, cursor Cursor, page []chain.Signature) ([]chain.Signature, error) {
	if len(page) == 0 || w.Second.Reader == nil {
		return page, nil
	}
	other, err := w.Second.Reader.History(ctx, chain.Address(cursor.Account), chain.Signature(cursor.After), len(page))
	if err != nil {
		return nil, fmt.Errorf("confirming the history after %q: %w", cursor.After, err)
	}
	n := 0
	for n < min(len(page), len(other)) && page[n] == other[n] {
		n++
	}
	switch {
	case n == len(page):
		return page, nil
	case n == len(other):
		return page[:n], fmt.Errorf("confirming transaction %s: %s does not know it yet: %w", page[n], w.Second.Name, chain.ErrLag)
	}
	return page[:n], fmt.Errorf("%s and %s do not agree on what comes next: transaction %s or %s", w.First.Name, w.Second.Name, page[n], other[n])
}

// transaction proposes one transaction. It is never skipped: what cannot be read, or confirmed by the second node that there is, is tried again
// at the next step. Without a second node a big one is proposed with its one witness, which the books do not credit: it must not hold up what follows.
func (w *Watcher) transaction(ctx context.Context, cursor Cursor, signature chain.Signature) error {
	effect, err := w.First.Reader.Effect(ctx, signature, chain.Address(cursor.Account))
	if err != nil {
		return fmt.Errorf("reading transaction %s: %w", signature, err)
	}
	witnesses := []string{w.First.Name}
	if w.Second.Reader != nil {
		again, err := w.Second.Reader.Effect(ctx, signature, chain.Address(cursor.Account))
		if err != nil {
			return fmt.Errorf("confirming transaction %s: %w", signature, err)
		}
		if !agree(effect, again) {
			return fmt.Errorf("transaction %s: %s and %s do not agree on what it did", signature, w.First.Name, w.Second.Name)
		}
		witnesses = append(witnesses, w.Second.Name)
	}
	if effect.Signature != signature || string(effect.Account) != cursor.Account {
		return fmt.Errorf("transaction %s: the node answered with another one's effect", signature)
	}
	if err := w.Books.Observe(ctx, observation(effect, cursor.After, witnesses)); err != nil {
		return fmt.Errorf("proposing transaction %s: %w", signature, err)
	}
	return nil
}

// agree compares all but the block's time, which nodes estimate.
func agree(a, b chain.Effect) bool {
	return a.Signature == b.Signature && a.Account == b.Account && a.Mint == b.Mint && a.Program == b.Program && a.Decimals == b.Decimals &&
		a.Delta == b.Delta && a.Slot == b.Slot && a.Failed == b.Failed && a.Memo == b.Memo &&
		slices.Equal(a.References, b.References) && slices.Equal(a.Senders, b.Senders)
}

func observation(e chain.Effect, after string, witnesses []string) deposit.Observation {
	return deposit.Observation{
		Signature: string(e.Signature), After: after, Account: string(e.Account), Mint: string(e.Mint), Program: string(e.Program),
		Decimals: e.Decimals, Delta: e.Delta, Slot: e.Slot, At: e.At.UTC(), Failed: e.Failed, Memo: e.Memo,
		References: texts(e.References), Senders: texts(e.Senders), Witnesses: witnesses,
	}
}

func texts(addresses []chain.Address) []string {
	var list []string
	for _, a := range addresses {
		list = append(list, string(a))
	}
	return list
}

package settle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
)

// DestinationBooks are the books as a Checker sees them.
type DestinationBooks interface {
	// Unchecked are wallets whose token account is to be looked at.
	Unchecked(ctx context.Context) ([]payout.Destination, error)
	// CheckDestination proposes what was seen.
	CheckDestination(ctx context.Context, d payout.Destination, seen payout.Existence) error
}

// Checker looks whether the receivers of payouts have a token account. It never makes one: receivers could close it after each payout and
// keep what it cost.
type Checker struct {
	Books   DestinationBooks
	Reader  chain.Reader
	Builder chain.Builder
	Purses  map[money.Asset]Purse
	Every   time.Duration
	Log     *slog.Logger
}

// Run checks until the context ends.
func (c *Checker) Run(ctx context.Context) error {
	return loop(ctx, c.Every, c.Log, "checking destinations", c.Step)
}

// Step looks once at everything unchecked.
func (c *Checker) Step(ctx context.Context) error {
	list, err := c.Books.Unchecked(ctx)
	if err != nil {
		return fmt.Errorf("reading the unchecked destinations: %w", err)
	}
	var failures []error
	for _, d := range list {
		seen, err := c.Look(ctx, d)
		if err == nil {
			err = c.Books.CheckDestination(ctx, d, seen)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("checking wallet %s for %s: %w", d.Wallet, d.Asset, err))
		}
	}
	return errors.Join(failures...)
}

// Look reads the wallet's associated token account. One that belongs to somebody else by now, or is of another mint, is not there.
func (c *Checker) Look(ctx context.Context, d payout.Destination) (payout.Existence, error) {
	purse, ok := c.Purses[d.Asset]
	if !ok {
		return payout.Existence{}, fmt.Errorf("no purse of %s is configured", d.Asset)
	}
	address, err := c.Builder.TokenAccount(chain.Address(d.Wallet), purse.Mint)
	if err != nil {
		return payout.Existence{}, fmt.Errorf("deriving the token account: %w", err)
	}
	seen := payout.Existence{TokenAccount: string(address)}
	account, err := c.Reader.Account(ctx, address)
	if errors.Is(err, chain.ErrNoAccount) {
		return seen, nil
	}
	if err != nil {
		return payout.Existence{}, fmt.Errorf("reading token account %s: %w", address, err)
	}
	seen.Exists = string(account.Owner) == d.Wallet && account.Mint == purse.Mint.Address && account.Program == purse.Mint.Program
	seen.Frozen = account.Frozen
	return seen, nil
}

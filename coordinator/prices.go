package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"raylink/billing/price"
	"raylink/billing/price/feed"
	"raylink/billing/price/jupiter"
	"raylink/billing/price/pyth"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// priceBeat is how often each source of the price of IO is asked.
const priceBeat = 30 * time.Second

// sources are those that this coordinator asks, by its configuration. Whether they are listened to is the group's policy.
func (c *Config) sources() ([]feed.Source, error) {
	var list []feed.Source
	if c.PythFeed != "" {
		source, err := pyth.New(pyth.Config{URL: c.PythURL, Feed: c.PythFeed, KeyFile: c.PythKey})
		if err != nil {
			return nil, err
		}
		list = append(list, source)
	}
	if c.JupiterMint != "" {
		source, err := jupiter.New(jupiter.Config{URL: c.JupiterURL, Mint: c.JupiterMint, KeyFile: c.JupiterKey})
		if err != nil {
			return nil, err
		}
		list = append(list, source)
	}
	return list, nil
}

// judged tells the feed that a sample which was refused for what it says is not to be proposed again.
func judged(err error) error {
	if err != nil && raylink.AsError(err).Code == raylink.CodeInvalid {
		return errors.Join(price.ErrSample, err)
	}
	return err
}

// prices asks the sources, on the leader, and proposes what they say.
func prices(ctx context.Context, books *chainBooks, sources []feed.Source, log *slog.Logger) {
	if len(sources) == 0 {
		return
	}
	feed.Run(ctx, sources, priceBeat, func(ctx context.Context, s price.Sample) error {
		return judged(books.propose(ctx, &state.SetPrice{Sample: s}))
	}, log)
}

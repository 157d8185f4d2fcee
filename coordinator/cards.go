package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"raylink/billing/card"
	"raylink/billing/cardbook"
	"raylink/coordinator/state"
)

const (
	cardBeat  = 10 * time.Second // between two looks at refunds, and at checkouts that have no session yet
	cardQuiet = 2 * time.Minute  // between two looks at all checkouts: webhooks are faster, but may be lost
	cardSpan  = 25 * time.Hour   // how far back those go
	cardPage  = 20               // refunds in one look
)

// cards is the line to the card company, with the files of its secrets: they are read at each webhook, so that they can be replaced.
type cards struct {
	*card.Client
	secrets string
}

// openCards makes the line; nil where no key is configured.
func openCards(cfg *Config) (*cards, error) {
	if cfg.StripeKey == "" {
		return nil, nil
	}
	key, err := card.ReadKey(cfg.StripeKey)
	if err != nil {
		return nil, err
	}
	client, err := card.New(card.Config{Key: key, BaseURL: cfg.StripeURL, SuccessURL: cfg.URL + "/ui/balance", CancelURL: cfg.URL + "/ui/balance"})
	if err != nil {
		return nil, err
	}
	return &cards{Client: client, secrets: cfg.StripeSecrets}, nil
}

// Secrets are those that webhooks may be signed with.
func (c *cards) Secrets() ([]string, error) { return card.ReadSecrets(c.secrets) }

// cardLoop asks for what no webhook has told, and carries refunds out. It runs on the leader.
type cardLoop struct {
	books *chainBooks
	cards *cards
	log   *slog.Logger

	swept time.Time // when all checkouts were looked at
}

func (l *cardLoop) run(ctx context.Context) {
	if l.cards == nil {
		return
	}
	tick := time.NewTicker(cardBeat)
	defer tick.Stop()
	for {
		l.step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *cardLoop) step(ctx context.Context) {
	var waiting []cardbook.Topup
	var refunds []cardbook.Refund
	l.books.group.Read(func(s *state.State) {
		waiting = s.Cards.Waiting(s.Now, cardPage)
		refunds = s.Cards.PendingRefunds(cardPage)
	})
	for _, t := range waiting {
		if t.Session == "" && time.Now().After(t.Expires) {
			l.take(ctx, &state.OpenCardTopup{ID: t.ID})
		}
	}
	l.sweep(ctx)
	for _, r := range refunds {
		if r.Provider != "" {
			l.fetched(ctx)(l.cards.Fetch(ctx, card.Object{Kind: card.KindRefund, ID: r.Provider}))
			continue
		}
		fact, err := l.cards.Refund(ctx, r)
		var refused *card.RefusedError
		if errors.As(err, &refused) {
			l.take(ctx, &state.RefuseCardRefund{ID: r.ID, Reason: refused.Error()})
			continue
		}
		l.fetched(ctx)(fact, err)
	}
}

// sweep looks at all checkouts of the last day: it finds what lost webhooks would have told, and sessions whose making nobody saw.
func (l *cardLoop) sweep(ctx context.Context) {
	now := time.Now()
	if now.Sub(l.swept) < cardQuiet {
		return
	}
	l.swept = now
	facts, err := l.cards.Sessions(ctx, now.Add(-cardSpan), now)
	if err != nil {
		l.log.Warn("asking the card company for its checkouts", "err", err)
		return
	}
	for _, fact := range facts {
		l.fetched(ctx)(fact, nil)
	}
}

// fetched takes in what the card company answered.
func (l *cardLoop) fetched(ctx context.Context) func(cardbook.Fact, error) {
	return func(fact cardbook.Fact, err error) {
		if err != nil {
			l.log.Warn("asking the card company", "err", err)
			return
		}
		news := false
		l.books.group.Read(func(s *state.State) { news = s.Cards.Changes(fact) })
		if news {
			l.take(ctx, &state.TakeCardFact{Fact: fact})
		}
	}
}

func (l *cardLoop) take(ctx context.Context, c state.Command) {
	if err := l.books.propose(ctx, c); err != nil && ctx.Err() == nil {
		l.log.Warn("taking in what the card company said", "err", err)
	}
}

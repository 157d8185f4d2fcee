package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"time"

	"raylink/billing/card"
	"raylink/billing/cardbook"
	"raylink/coordinator/state"
)

const (
	cardBeat    = 10 * time.Second // between two steps
	cardQuiet   = 2 * time.Minute  // between two looks at one checkout, or at all of them: webhooks are faster, but may be lost
	cardSpan    = 25 * time.Hour   // how far back a look at all of them goes
	cardSlice   = time.Hour        // how much of that is asked for at once
	cardPage    = 20               // objects of one kind that are asked for, or made, in one step
	cardPending = 200              // refunds that take turns
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

// cardBooks are the replicated books; *chainBooks has them.
type cardBooks interface {
	Read(see func(*state.State))
	propose(ctx context.Context, c state.Command) error
}

// Read shows the state; see must keep none of it.
func (b *chainBooks) Read(see func(*state.State)) { b.group.Read(see) }

// cardLoop asks for what no webhook has told, and carries refunds out. It runs on the leader.
type cardLoop struct {
	books cardBooks
	cards *cards
	log   *slog.Logger

	swept                  time.Time // when all checkouts were looked at
	opened, unmade, unsure turns     // of open checkouts, of refunds to be made, and of those to ask for
}

func (l *cardLoop) run(ctx context.Context) {
	if l.cards == nil {
		return
	}
	tick := time.NewTicker(cardBeat)
	defer tick.Stop()
	for {
		l.step(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *cardLoop) step(ctx context.Context, now time.Time) {
	var waiting []cardbook.Topup
	var pending []cardbook.Refund
	l.books.Read(func(s *state.State) {
		waiting = s.Cards.Waiting(now.Add(-cardQuiet), math.MaxInt) // an account can have few
		pending = s.Cards.PendingRefunds(cardPending)
	})
	l.checkouts(ctx, now, waiting)
	l.refunds(ctx, now, pending)
	l.sweep(ctx, now)
}

// checkouts asks for open checkouts, however old, and gives up those that nobody made.
func (l *cardLoop) checkouts(ctx context.Context, now time.Time, waiting []cardbook.Topup) {
	var sessions []string
	for _, t := range waiting {
		switch {
		case t.Session != "":
			sessions = append(sessions, t.Session)
		case now.After(t.Expires):
			l.take(ctx, &state.OpenCardTopup{ID: t.ID})
		}
	}
	for _, session := range l.opened.next(now, cardQuiet, sessions) {
		l.fetched(ctx)(l.cards.Fetch(ctx, card.Object{Kind: card.KindSession, ID: session}))
	}
}

// refunds makes those that are not made yet, then asks how the others stand. Each kind has its own turns, so that none holds the other up.
func (l *cardLoop) refunds(ctx context.Context, now time.Time, pending []cardbook.Refund) {
	var unmade, unsure []string
	records := make(map[string]cardbook.Refund, len(pending))
	for _, r := range pending {
		if r.Provider != "" {
			unsure = append(unsure, r.Provider)
			continue
		}
		unmade, records[r.ID] = append(unmade, r.ID), r
	}
	for _, id := range l.unmade.next(now, 0, unmade) {
		fact, err := l.cards.Refund(ctx, records[id])
		var refused *card.RefusedError
		if errors.As(err, &refused) {
			l.take(ctx, &state.RefuseCardRefund{ID: id, Reason: refused.Error()})
			continue
		}
		l.fetched(ctx)(fact, err)
	}
	for _, provider := range l.unsure.next(now, 0, unsure) {
		l.fetched(ctx)(l.cards.Fetch(ctx, card.Object{Kind: card.KindRefund, ID: provider}))
	}
}

// turns are the times when objects were asked for last. A new leader begins with none.
type turns map[string]time.Time

// next are those cardPage of ids that have waited longest since their last turn, and at least for quiet; it forgets all that are not among ids.
func (t *turns) next(now time.Time, quiet time.Duration, ids []string) []string {
	last := make(turns, len(ids))
	for _, id := range ids {
		at, known := (*t)[id]
		if !known {
			at = now.Add(-quiet - 1) // due, but behind those that have waited longer, and before those whose turn is now
		}
		last[id] = at
	}
	*t = last
	due := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return now.Sub(last[id]) < quiet })
	slices.SortStableFunc(due, func(x, y string) int { return last[x].Compare(last[y]) })
	due = due[:min(cardPage, len(due))]
	for _, id := range due {
		last[id] = now
	}
	return due
}

// sweep looks at all checkouts of the last day, the newest first: it finds sessions whose making nobody saw. It goes hour by hour, since one look shows
// only so many, and an hour that fails costs no other; but it ends in time for the next one, should the card company hang.
func (l *cardLoop) sweep(ctx context.Context, now time.Time) {
	if now.Sub(l.swept) < cardQuiet {
		return
	}
	l.swept = now
	limited, cancel := context.WithTimeout(ctx, cardQuiet)
	defer cancel()
	for to := now; now.Sub(to) < cardSpan && limited.Err() == nil; to = to.Add(-cardSlice) {
		facts, err := l.cards.Sessions(limited, to.Add(-cardSlice), to)
		if err != nil {
			l.log.Warn("asking the card company for its checkouts", "before", to, "err", err)
			continue
		}
		for _, fact := range facts {
			l.fetched(ctx)(fact, nil)
		}
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
		l.books.Read(func(s *state.State) { news = s.Cards.Changes(fact) })
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

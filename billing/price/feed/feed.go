// Package feed brings prices of IO from sources outside to whoever may propose them. A source may lie, hang, repeat itself or say
// nothing; here its answer is only bounded in time, size and form. Whether a price is believed is the business of billing/price,
// inside the replicated state.
package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raylink/billing/price"
)

// Source says what IO costs. Sample asks anew each time, obeys ctx, and answers with the time at which the price was observed, not
// at which it was asked for, wherever the source tells it. It may be called by several goroutines.
type Source interface {
	Name() string // as in price.Sample, the same always
	Sample(ctx context.Context) (price.Sample, error)
}

// What sources answer instead of a sample; tell them apart with errors.Is.
var (
	ErrNoPrice = errors.New("the source has no price")
	ErrAnswer  = errors.New("the source's answer cannot be used")
)

// Timeout bounds one question to one source, and one proposal.
const Timeout = 10 * time.Second

// Run asks each source at once and then every so often (at least a second), each by itself so that a slow one delays nobody, until
// ctx ends; then it waits for the questions under way and returns. A sample is proposed if it was observed after the last one that
// was taken or refused from its source (refused: price.ErrSample or a *price.HaltError; any other error means to try again); propose is called by one goroutine at a time. A source's trouble is logged when it begins, when it
// changes and when it ends.
func Run(ctx context.Context, sources []Source, every time.Duration, propose func(context.Context, price.Sample) error, log *slog.Logger) {
	var turn sync.Mutex
	oneByOne := func(ctx context.Context, s price.Sample) error {
		turn.Lock()
		defer turn.Unlock()
		within, cancel := context.WithTimeout(ctx, Timeout)
		defer cancel()
		return propose(within, s)
	}
	var all sync.WaitGroup
	for _, source := range sources {
		poll := &poller{source: source, propose: oneByOne, log: log.With("price_source", source.Name())}
		all.Go(func() { poll.run(ctx, max(every, time.Second)) })
	}
	all.Wait()
}

// poller asks one source.
type poller struct {
	source  Source
	propose func(context.Context, price.Sample) error
	log     *slog.Logger
	last    time.Time // ObservedAt of the last sample that was taken
	trouble string    // as logged last; empty while all is well
}

func (p *poller) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.tell(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *poller) once(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	sample, err := p.source.Sample(within)
	if err != nil {
		return fmt.Errorf("asking for the price: %w", err)
	}
	if sample.Source != p.source.Name() {
		return fmt.Errorf("asking for the price: %w: it calls itself %.80q", ErrAnswer, sample.Source)
	}
	if !sample.ObservedAt.After(p.last) {
		return nil // what was proposed already; price.Book sees to it that it goes stale
	}
	err = p.propose(ctx, sample)
	if _, halted := price.AsHalt(err); err == nil || halted || errors.Is(err, price.ErrSample) {
		p.last = sample.ObservedAt // it was judged; to propose it again would only fill the log
	}
	if err != nil {
		return fmt.Errorf("proposing the price %v: %w", sample.Price, err)
	}
	return nil
}

func (p *poller) tell(err error) {
	switch {
	case err == nil && p.trouble != "":
		p.trouble = ""
		p.log.Info("the price is heard again")
	case err != nil && err.Error() != p.trouble:
		p.trouble = err.Error()
		p.log.Warn("no price taken", "error", err)
	}
}

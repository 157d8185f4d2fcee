package feed

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
)

// scripted is a source that does what it is told.
type scripted struct {
	name   string
	sample func(ctx context.Context) (price.Sample, error)
}

func (s scripted) Name() string                                     { return s.name }
func (s scripted) Sample(ctx context.Context) (price.Sample, error) { return s.sample(ctx) }

func says(name string, value money.Price, age time.Duration) scripted {
	return scripted{name, func(context.Context) (price.Sample, error) {
		return price.Sample{Source: name, Price: value, ObservedAt: time.Now().Add(-age)}, nil
	}}
}

func hangs(name string) scripted {
	return scripted{name, func(ctx context.Context) (price.Sample, error) {
		<-ctx.Done()
		return price.Sample{}, ctx.Err()
	}}
}

func breaks(name string) scripted {
	return scripted{name, func(context.Context) (price.Sample, error) { return price.Sample{}, errors.New("no route") }}
}

// A source that hangs, one that fails and one that repeats itself leave the good one alone.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		stuck := scripted{"stuck", func(context.Context) (price.Sample, error) {
			return price.Sample{Source: "stuck", Price: 7, ObservedAt: begin}, nil
		}}
		alien := scripted{"alien", func(context.Context) (price.Sample, error) {
			return price.Sample{Source: "good", Price: 1, ObservedAt: time.Now().Add(time.Hour)}, nil
		}}
		var guard sync.Mutex
		taken := map[string]int{}
		propose := func(_ context.Context, s price.Sample) error {
			if !guard.TryLock() {
				t.Error("proposed by two at a time")
			}
			defer guard.Unlock()
			taken[s.Source]++
			return nil
		}
		var text bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Run(ctx, []Source{says("good", 5, 0), hangs("slow"), breaks("broken"), stuck, alien}, time.Minute, propose, slog.New(slog.NewTextHandler(&text, nil)))
		}()
		time.Sleep(10*time.Minute + time.Second)
		stop()
		<-ended
		if taken["good"] != 11 || taken["stuck"] != 1 || len(taken) != 2 {
			t.Errorf("proposed %v", taken)
		}
		for name, times := range map[string]int{"slow": 1, "broken": 1, "alien": 1, "good": 0, "stuck": 0} {
			if got := strings.Count(text.String(), "price_source="+name+" "); got != times {
				t.Errorf("%s was logged %d times:\n%s", name, got, text.String())
			}
		}
	})
}

// A proposal that broke down is made again; one that was judged is not.
func TestProposeAgain(t *testing.T) {
	for what, row := range map[string]struct {
		err  error
		want int
	}{
		"no leader": {errors.New("no leader"), 5},
		"hung":      {nil, 5},
		"refused":   {price.ErrSample, 1},
		"halted":    {&price.HaltError{Code: price.CodeStep}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			at := time.Now()
			same := scripted{"same", func(context.Context) (price.Sample, error) {
				return price.Sample{Source: "same", Price: 7, ObservedAt: at}, nil
			}}
			proposed := 0
			propose := func(ctx context.Context, _ price.Sample) error {
				proposed++
				if row.err == nil {
					<-ctx.Done()
					return ctx.Err()
				}
				return row.err
			}
			ctx, stop := context.WithTimeout(t.Context(), 4*time.Minute+30*time.Second)
			defer stop()
			Run(ctx, []Source{same}, time.Minute, propose, slog.New(slog.DiscardHandler))
			if proposed != row.want {
				t.Errorf("%s: proposed %d times, want %d", what, proposed, row.want)
			}
		})
	}
}

// The log says when a source is heard again, and no more often than things change.
func TestTroubleIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		moody := scripted{"moody", func(context.Context) (price.Sample, error) {
			if asked++; asked > 3 && asked < 7 {
				return price.Sample{}, ErrNoPrice
			}
			return price.Sample{Source: "moody", Price: 7, ObservedAt: time.Now()}, nil
		}}
		var text bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 9*time.Minute+30*time.Second)
		defer stop()
		Run(ctx, []Source{moody}, time.Minute, func(context.Context, price.Sample) error { return nil }, slog.New(slog.NewTextHandler(&text, nil)))
		if asked != 10 || strings.Count(text.String(), "\n") != 2 || !strings.Contains(text.String(), "heard again") {
			t.Errorf("asked %d times:\n%s", asked, text.String())
		}
	})
}

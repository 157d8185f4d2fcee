package client

import (
	"context"
	"log/slog"
	"time"
)

// fastest is the shortest time between two answers of the same revision: a coordinator that does not hold the poll is not hammered.
const fastest = 500 * time.Millisecond

// Follow fetches with the revision it has, and applies what is new, until ctx ends; then it returns why. fetch waits at the far side
// until there is something new. While no answer comes it tries again with jittered, growing pauses, and what was applied last stays
// in force. apply is never called twice at the same time.
func Follow[T any](ctx context.Context, log *slog.Logger,
	fetch func(ctx context.Context, revision string) (T, string, error), apply func(ctx context.Context, value T)) error {
	revision, failures := "", 0
	for ctx.Err() == nil {
		begun := time.Now()
		value, next, err := fetch(ctx, revision)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			if failures == 0 {
				log.Warn("no assignment comes; what was assigned last stays in force", "error", err)
			}
			_ = sleep(ctx, pause(failures)) // the loop's condition sees why it ended
			failures++
			continue
		}
		if failures > 0 {
			log.Info("assignments come again", "after_attempts", failures)
			failures = 0
		}
		if next == revision && revision != "" {
			_ = sleep(ctx, fastest-time.Since(begun))
			continue
		}
		revision = next
		apply(ctx, value)
	}
	return ctx.Err()
}

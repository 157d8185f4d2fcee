// Package settle holds the loops between the chain and the books: Watcher brings deposits in, Payer brings attempts to their end, Checker
// looks at receivers' token accounts. Package signer, below, is a process of its own, the only one that has the key.
//
// Each loop looks at what the books want, asks the chain, and proposes a fact. None keeps anything that matters in memory: two may run at
// once, and one may die anywhere and begin anew. What they propose is idempotent, and the books refuse what does not follow.
//
// Nodes are not trusted for their word alone: history is read from the cursor in the books, effects are read from finalized transactions, and an
// attempt is dead only when its signature is unknown after a finalized height above its last valid one was seen. Where a second node is given, one
// that lies can neither have anything credited that did not come, nor lose a deposit, nor have anything paid twice: both must agree on histories,
// effects and the ends of attempts, and a transaction may be taken as long as the more patient of them says. It can only hold things up.
package settle

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Bounds of the loops.
const (
	stepTimeout = 2 * time.Minute // of one look at everything
	pageSize    = 200             // transactions read at a time
)

// loop calls step every interval until the context ends, and logs what goes wrong: the next step tries it again.
func loop(ctx context.Context, every time.Duration, log *slog.Logger, what string, step func(context.Context) error) error {
	if every <= 0 {
		return errors.New("starting to " + what + ": the interval is not above zero")
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, stepTimeout)
		err := step(bounded)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			log.Warn(what, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

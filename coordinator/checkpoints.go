package coordinator

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"raylink/billing/ledger"
	"raylink/coordinator/authority"
	"raylink/coordinator/state"
)

// checkpoints signs every so often how the journal stands, on the leader, with the group's key.
func checkpoints(ctx context.Context, every time.Duration, books *chainBooks, auth *authority.Authority, log *slog.Logger) {
	tick := time.NewTicker(min(30*time.Second, every/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var root ledger.Root
		due := false
		books.group.Read(func(s *state.State) { root.Seq, root.Hash, due = s.CheckpointDue(time.Now(), every) })
		if !due {
			continue
		}
		key, err := auth.SigningKey()
		if err == nil {
			root.Key = key.Public().(ed25519.PublicKey)
			root.Signature = ed25519.Sign(key, ledger.RootBytes(root.Seq, root.Hash))
			err = books.propose(ctx, &state.RecordCheckpoint{Root: root})
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("signing a checkpoint of the journal", "err", err)
		}
	}
}

package testbed

import (
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"raylink/coordinator/state"
)

// history is every entry that any coordinator has applied, with what it gave: the log at one index is the same on all, at any time, also for
// one that later falls behind and gets a snapshot.
type history struct {
	mu      sync.Mutex
	entries map[uint64][sha256.Size]byte
	again   int // entries that were seen more than once, so that a story which compares nothing is noticed
}

// replica is one coordinator's state that writes its history.
type replica struct {
	*state.State
	b  *Bed
	id string
}

// Apply compares what is applied with what the others have applied at this index.
func (r *replica) Apply(index uint64, at time.Time, commands []json.RawMessage) []json.RawMessage {
	results := r.State.Apply(index, at, commands)
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode([]any{at, commands, results}) // a hash takes everything, and all of it is JSON already
	h := &r.b.history
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := [sha256.Size]byte(sum.Sum(nil))
	if first, known := h.entries[index]; known {
		h.again++
		if first != mine {
			r.b.t.Errorf("%s applies another entry %d than the others, or with another result: %s", r.id, index, results)
		}
	} else {
		h.entries[index] = mine
	}
	return results
}

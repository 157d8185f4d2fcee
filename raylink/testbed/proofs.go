package testbed

import (
	"sync"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// shelf keeps a coordinator's transcripts in memory.
type shelf struct {
	mu    sync.Mutex
	texts map[string][]byte
}

func (s *shelf) Keep(sha256 string, text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = map[string][]byte{}
	}
	s.texts[sha256] = text
	return nil
}

func (s *shelf) Text(sha256 string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.texts[sha256]; ok {
		return text, nil
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no transcript %s", sha256)
}

// Propose puts a command into the log, as the leader would.
func (b *Bed) Propose(c state.Command) {
	b.t.Helper()
	raw, err := state.Encode("leader", "", c)
	b.must(err)
	results, _, err := b.coordinator(b.Leader()).node.Propose(b.ctx(), raw)
	b.must(err)
	b.must(state.ReadResult(results[0], nil))
}

package devnet

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// sluice stands between the coordinators and the chain. While it is shut it keeps back the answers after which a leader's loops propose at once: that a
// transaction is final, and what a transaction did. All else passes.
type sluice struct {
	chain string // URL

	mu            sync.Mutex
	lifted        chan struct{}   // closed when what is kept back may go on; nil while the sluice is open
	read          map[string]bool // transactions whose effects were asked for
	ends, effects int             // answers that are kept back, of each kind
}

// serve puts the sluice before a chain, and answers its URL.
func (s *sluice) serve(t *testing.T, chain string) string {
	s.chain, s.read = chain, map[string]bool{}
	front := httptest.NewServer(s)
	t.Cleanup(func() {
		s.lift()
		front.Close()
	})
	return front.URL
}

// ServeHTTP asks the chain, and gives its answer on when it may.
func (s *sluice) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked, err := http.NewRequestWithContext(r.Context(), http.MethodPost, s.chain, bytes.NewReader(question))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	asked.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(asked)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	select {
	case <-s.passes(question, body):
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body) // who asked may be dead by now
}

// passes is closed when an answer may go on.
func (s *sluice) passes(question, answer []byte) <-chan struct{} {
	var q struct {
		Method string
		Params []json.RawMessage
	}
	if json.Unmarshal(question, &q) != nil || len(q.Params) == 0 {
		q.Method = "" // nothing of ours
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	final, effect := false, q.Method == "getTransaction"
	switch {
	case effect:
		s.read[strings.Trim(string(q.Params[0]), `"`)] = true
	case q.Method == "getSignatureStatuses": // of one that was read it is asked only whether the history can be read on from there
		final = bytes.Contains(answer, []byte(`"finalized"`)) && !s.read[strings.Trim(string(q.Params[0]), `[]" `)]
	}
	if s.lifted == nil || !final && !effect {
		now := make(chan struct{})
		close(now)
		return now
	}
	if final {
		s.ends++
	} else {
		s.effects++
	}
	return s.lifted
}

// shut begins to keep answers back.
func (s *sluice) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lifted == nil {
		s.lifted, s.ends, s.effects = make(chan struct{}), 0, 0
	}
}

// lift lets everything on.
func (s *sluice) lift() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lifted != nil {
		close(s.lifted)
		s.lifted = nil
	}
}

// kept counts what is kept back.
func (s *sluice) kept() (ends, effects int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends, s.effects
}

// Package image keeps track of which images are on this machine: it asks a runtime once, however many leases wait for the same image,
// and turns a failure into words that say what to do.
package image

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
)

// Fetcher makes an image present. It is the runtime.
type Fetcher interface {
	// Image makes sure that the image is here, fetching it if it can.
	Image(ctx context.Context, ref string) error
}

// trust is how long an image that was seen counts as present: an owner may remove images at any time.
const trust = time.Minute

// Store remembers what a Fetcher said. It may be used by many goroutines.
type Store struct {
	fetcher Fetcher

	mu       sync.Mutex
	seen     map[string]time.Time
	underway map[string]chan struct{} // closed when the fetch is over
}

// NewStore makes a store over a runtime.
func NewStore(fetcher Fetcher) *Store {
	return &Store{fetcher: fetcher, seen: map[string]time.Time{}, underway: map[string]chan struct{}{}}
}

// Present says whether the image was here a short time ago.
func (s *Store) Present(ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.seen[ref]
	return ok && time.Since(at) < trust
}

// Forget makes the next Ensure ask again; for a runtime that says the image is gone after all.
func (s *Store) Forget(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, ref)
}

// Ensure makes the image present. Of several callers one fetches and the others wait. The error is a *raylink.Error with a hint, or the
// context's.
func (s *Store) Ensure(ctx context.Context, ref string) error {
	for !s.Present(ref) {
		s.mu.Lock()
		done, busy := s.underway[ref]
		if !busy {
			done = make(chan struct{})
			s.underway[ref] = done
		}
		s.mu.Unlock()
		if !busy {
			return s.fetch(ctx, ref, done)
		}
		select {
		case <-done: // if it failed, one of those who waited tries next
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *Store) fetch(ctx context.Context, ref string, done chan struct{}) error {
	err := s.fetcher.Image(ctx, ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.underway, ref)
	close(done)
	if err != nil {
		return explain(ctx, ref, err)
	}
	s.seen[ref] = time.Now()
	return nil
}

func explain(ctx context.Context, ref string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var told *raylink.Error
	if !errors.As(err, &told) {
		told = raylink.Errorf(raylink.CodeUnavailable, "image %s: %v", ref, err)
	}
	if told.Hint != "" {
		return told
	}
	if strings.HasPrefix(ref, "raylink/") {
		return told.WithHint("build it on this machine: run `make image` in Raylink's source tree")
	}
	return told.WithHint("see whether this machine reaches the registry: docker pull %s", ref)
}

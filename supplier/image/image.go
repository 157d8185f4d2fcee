// Package image keeps track of which images are on this machine: it asks a runtime once, however many leases wait for the same image,
// turns a failure into words that say what to do, and holds images against the signatures that a machine wants.
package image

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// Fetcher knows the images of a machine. It is the runtime's Images.
type Fetcher interface {
	// Look gives the id of an image that is here.
	Look(ctx context.Context, ref string) (id string, err error)
	// Fetch makes sure that the image is here, and tells how many bytes have come.
	Fetch(ctx context.Context, ref string, tell func(done, total int64)) (id string, err error)
}

// trust is how long an image that was seen counts as present: an owner may remove images at any time.
const trust = time.Minute

// Store remembers what a Fetcher said. It may be used by many goroutines.
type Store struct {
	fetcher Fetcher

	mu       sync.Mutex
	seen     map[string]present
	underway map[string]*fetch
}

type present struct {
	id string
	at time.Time
}

type fetch struct {
	over     chan struct{} // closed when it is
	progress wire.Progress
}

// NewStore makes a store over a runtime.
func NewStore(fetcher Fetcher) *Store {
	return &Store{fetcher: fetcher, seen: map[string]present{}, underway: map[string]*fetch{}}
}

// Present says whether the image was here a short time ago.
func (s *Store) Present(ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.seen[ref]
	return ok && time.Since(p.at) < trust
}

// ID is what containers are to be made from, for an image that Ensure or Stock has seen; "" otherwise.
func (s *Store) ID(ref string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[ref].id
}

// Progress is how far the fetch of an image has come; nil while none is under way.
func (s *Store) Progress(ref string) *wire.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.underway[ref]
	if f == nil {
		return nil
	}
	p := f.progress
	return &p
}

// Stock asks which of these images are here, without fetching any. An image about which the runtime has no answer counts as absent.
func (s *Store) Stock(ctx context.Context, refs []string) []string {
	var here []string
	for _, ref := range refs {
		id, err := s.fetcher.Look(ctx, ref)
		s.mu.Lock()
		if err == nil {
			s.seen[ref] = present{id, time.Now()}
			here = append(here, ref)
		} else if raylink.AsError(err).Code == raylink.CodeNotFound {
			delete(s.seen, ref)
		}
		s.mu.Unlock()
	}
	return here
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
		f := s.underway[ref]
		mine := f == nil
		if mine {
			f = &fetch{over: make(chan struct{}), progress: wire.Progress{Since: time.Now().UTC()}}
			s.underway[ref] = f
		}
		s.mu.Unlock()
		if mine {
			return s.fetch(ctx, ref, f)
		}
		select {
		case <-f.over: // if it failed, one of those who waited tries next
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *Store) fetch(ctx context.Context, ref string, f *fetch) error {
	id, err := s.fetcher.Fetch(ctx, ref, func(done, total int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.progress.Done, f.progress.Total = done, total
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.underway, ref)
	close(f.over)
	if err != nil {
		return explain(ctx, ref, err)
	}
	s.seen[ref] = present{id, time.Now()}
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

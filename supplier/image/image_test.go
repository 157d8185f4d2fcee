package image_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink"
	"raylink/supplier/image"
)

// fetcher takes a second per image and fails as told.
type fetcher struct {
	calls atomic.Int32
	fail  error
}

func (f *fetcher) Image(ctx context.Context, _ string) error {
	f.calls.Add(1)
	select {
	case <-time.After(time.Second):
		return f.fail
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestManyWaitForOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{}
		s := image.NewStore(f)
		errs := make(chan error)
		for range 5 {
			go func() { errs <- s.Ensure(t.Context(), "raylink/worker:1") }()
		}
		for range 5 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := f.calls.Load(); n != 1 {
			t.Errorf("five leases fetched %d times", n)
		}
		if !s.Present("raylink/worker:1") || s.Present("other:1") {
			t.Error("the wrong images are present")
		}
		time.Sleep(2 * time.Minute) // of the bubble
		if s.Present("raylink/worker:1") {
			t.Error("what was seen two minutes ago still counts")
		}
	})
}

func TestFailuresSayWhatToDo(t *testing.T) {
	for ref, want := range map[string]string{"raylink/worker:1": "make image", "other/thing:2": "docker pull other/thing:2"} {
		synctest.Test(t, func(t *testing.T) {
			f := &fetcher{fail: errors.New("no such thing")}
			s := image.NewStore(f)
			err := s.Ensure(t.Context(), ref)
			if told := raylink.AsError(err); !strings.Contains(told.Hint, want) || !strings.Contains(told.Message, "no such thing") {
				t.Errorf("%s: %q with hint %q, wanted %q", ref, told.Message, told.Hint, want)
			}
			f.fail = nil
			if err := s.Ensure(t.Context(), ref); err != nil {
				t.Errorf("the second attempt: %v", err)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := image.NewStore(&fetcher{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Ensure(ctx, "raylink/worker:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fetch that was called off gives %v", err)
		}
		if err := s.Ensure(t.Context(), "raylink/worker:1"); err != nil {
			t.Errorf("the fetch after it: %v", err)
		}
	})
}

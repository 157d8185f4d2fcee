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

func (f *fetcher) Fetch(ctx context.Context, ref string, tell func(done, total int64)) (string, error) {
	f.calls.Add(1)
	tell(3, 10)
	select {
	case <-time.After(time.Second):
		return "id of " + ref, f.fail
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (f *fetcher) Look(_ context.Context, ref string) (string, error) {
	if f.fail != nil || ref != "raylink/worker:1" {
		return "", raylink.Errorf(raylink.CodeNotFound, "no such thing")
	}
	return "id of " + ref, nil
}

func TestWhatIsKnownOfAnImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{}
		s := image.NewStore(f)
		const ref = "raylink/worker:1"
		if s.Progress(ref) != nil || s.ID(ref) != "" {
			t.Error("something is known of what nobody asked for")
		}
		begin, done := time.Now(), make(chan error)
		go func() { done <- s.Ensure(t.Context(), ref) }()
		synctest.Wait()
		if p := s.Progress(ref); p == nil || p.Done != 3 || p.Total != 10 || !p.Since.Equal(begin) {
			t.Errorf("while it is fetched: %+v", p)
		}
		if err := <-done; err != nil || s.Progress(ref) != nil || s.ID(ref) != "id of "+ref {
			t.Errorf("fetched: %v, %v, %q", err, s.Progress(ref), s.ID(ref))
		}
		if here := s.Stock(t.Context(), []string{"other:1", ref}); len(here) != 1 || here[0] != ref {
			t.Errorf("in stock: %q", here)
		}
		f.fail = errors.New("removed")
		if here := s.Stock(t.Context(), []string{ref}); len(here) != 0 || s.Present(ref) {
			t.Errorf("what was removed is still in stock: %q", here)
		}
	})
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

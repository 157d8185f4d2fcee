package supplier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
)

// shelf is a disk that holds what a test says.
type shelf struct {
	mu    sync.Mutex
	free  int64
	held  map[raylink.LeaseID]Held
	errs  map[raylink.LeaseID]error
	walks int
}

func (s *shelf) Free(string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free, nil
}

func (s *shelf) Measure(_ context.Context, l Lodging) (Held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.walks++
	id := raylink.LeaseID(filepath.Base(l.Places[0]))
	return s.held[id], s.errs[id]
}

func (s *shelf) hold(id raylink.LeaseID, held Held, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[id], s.errs[id] = held, err
}

func (s *shelf) left(free int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = free
}

// onShelf is a machine on which both leases run, and each may hold 64 GiB, and 5 GiB are to stay free.
func onShelf(t *testing.T, play func(w *world, s *shelf)) {
	bubble(t, func(w *world) {
		s := &shelf{free: 100 << 30, held: map[raylink.LeaseID]Held{}, errs: map[raylink.LeaseID]error{}}
		w.disk = s
		w.stop()
		w.start()
		small := w.order(worker, raylink.WantRun)
		small.Limits.Disk = 10 << 30
		w.coordinator.order(w.order(head, raylink.WantRun), small)
		w.untilStage(head, raylink.StageRunning)
		w.untilStage(worker, raylink.StageRunning)
		play(w, s)
	})
}

// evicted waits until a lease has ended for the disk's sake: with the reason, and with nothing left of it, while the other one runs on.
func (w *world) evicted(id, other raylink.LeaseID, within time.Duration, words string) {
	w.t.Helper()
	w.until("a failure of "+string(id), within, func() bool { return w.coordinator.lease(id).Failure != nil })
	if f := w.coordinator.lease(id).Failure; !strings.Contains(f.Reason, words) || !strings.Contains(f.Hint, "ephemeral-storage") {
		w.t.Errorf("the failure is %+v, wanted %q", f, words)
	}
	w.until("it is gone, and its files with it", 5*time.Second, func() bool {
		_, runs := w.host.Spec(id)
		_, err := os.Stat(filepath.Join(w.dir, "leases", string(id)))
		return !runs && os.IsNotExist(err)
	})
	w.pass(time.Minute)
	if _, runs := w.host.Spec(id); runs {
		w.t.Error("it was started again")
	}
	if f := w.coordinator.lease(id).Failure; f == nil || !strings.Contains(f.Reason, words) {
		w.t.Errorf("a minute later the failure is %+v", f)
	}
	if l := w.coordinator.lease(other); l.Failure != nil || l.Stage != raylink.StageRunning {
		w.t.Errorf("the other one is %+v", l)
	}
}

// TestALeaseThatHoldsTooMuchEnds: at its own bound where it has one, at the owner's where it has none; one that stays within runs on.
func TestALeaseThatHoldsTooMuchEnds(t *testing.T) {
	onShelf(t, func(w *world, s *shelf) {
		s.hold(head, Held{Bytes: 64 << 30, Files: filesMax}, nil)
		s.hold(worker, Held{Bytes: 10 << 30}, nil)
		w.pass(time.Minute)
		if w.coordinator.lease(head).Failure != nil || w.coordinator.lease(worker).Failure != nil {
			t.Fatal("a lease was ended for what it may hold")
		}
		s.hold(worker, Held{Bytes: 10<<30 + 1<<29}, nil)
		w.evicted(worker, head, 15*time.Second, "it holds 10.5 GiB of the machine's disk, and 10.0 GiB are its bound")
	})
	for words, held := range map[string]struct {
		Held
		err error
	}{
		"it holds 65.0 GiB of the machine's disk, and 64.0 GiB are its bound": {Held{Bytes: 65 << 30}, nil},
		"more than 1000000 files":   {Held{Bytes: 1, Files: filesMax + 1}, nil},
		"more than 200 directories": {Held{}, errMaze},
	} {
		onShelf(t, func(w *world, s *shelf) {
			s.hold(head, held.Held, held.err)
			w.evicted(head, worker, 15*time.Second, words)
		})
	}
}

// TestTheDiskIsNearlyFull: within seconds the lease that holds most is ended, and only that one, if space is there again.
func TestTheDiskIsNearlyFull(t *testing.T) {
	onShelf(t, func(w *world, s *shelf) {
		s.hold(head, Held{Bytes: 3 << 30}, nil)
		s.hold(worker, Held{Bytes: 2 << 30}, nil)
		w.pass(11 * time.Second) // measuring is not due for a while
		s.left(4 << 30)
		w.until("the fullest is ended", 3*time.Second, func() bool { return w.coordinator.lease(head).Failure != nil })
		s.left(7 << 30)
		w.evicted(head, worker, time.Second, "the machine's disk is nearly full (4.0 GiB free, its owner keeps 5.0 GiB), and of all leases here this one holds most: 3.0 GiB")
	})
}

// TestNoLeaseIsBlamedForAnothersFiles: where leases hold next to nothing, somebody else fills the disk; yet below half of the floor one ends after
// another, because what they hold may be out of sight.
func TestNoLeaseIsBlamedForAnothersFiles(t *testing.T) {
	onShelf(t, func(w *world, s *shelf) {
		s.hold(head, Held{Bytes: 500 << 20}, nil)
		s.left(3 << 30)
		w.pass(time.Minute)
		if w.coordinator.lease(head).Failure != nil {
			t.Fatal("it was blamed")
		}
		s.left(2 << 30)
		w.until("both are ended", 10*time.Second, func() bool {
			return w.coordinator.lease(head).Failure != nil && w.coordinator.lease(worker).Failure != nil
		})
	})
}

// TestMeasuringIsRare: free space is asked for every second, what leases hold every ten; a measuring that fails ends nobody.
func TestMeasuringIsRare(t *testing.T) {
	onShelf(t, func(w *world, s *shelf) {
		s.hold(head, Held{}, errors.New("the disk does not answer"))
		w.pass(15 * time.Second)
		s.mu.Lock()
		before := s.walks
		s.mu.Unlock()
		w.pass(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := s.walks - before; n < 8 || n > 14 { // two leases
			t.Errorf("%d measurings of two leases in a minute", n)
		}
		if w.coordinator.lease(head).Failure != nil {
			t.Error("it was ended because the disk does not answer")
		}
	})
}

// TestBounds: of the tenant's bound and the owner's the smaller counts.
func TestBounds(t *testing.T) {
	for _, c := range []struct{ order, owner, want int64 }{{0, 0, 0}, {5, 0, 5}, {0, 7, 7}, {5, 7, 5}, {9, 7, 7}, {-1, 7, 7}} {
		if got := mayHold(c.order, c.owner); got != c.want {
			t.Errorf("mayHold(%d, %d) = %d, wanted %d", c.order, c.owner, got, c.want)
		}
	}
}

// TestMeasure: files on a real disk, however a tenant tries to hide them.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "another's")
	measure := func() Held {
		t.Helper()
		held, err := realDisk{}.Measure(t.Context(), Lodging{Places: []string{dir, filepath.Join(dir, "missing")}, Pid: os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	fill := func(path string, mib int) {
		t.Helper()
		if err := os.WriteFile(path, make([]byte, mib<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	grown := func(what string, before, after Held, mib int64) {
		t.Helper()
		if got := (after.Bytes - before.Bytes) >> 10; got < mib<<10 || got > mib<<10+64 {
			t.Errorf("%s: %d KiB were counted, wanted %d MiB", what, got, mib)
		}
	}
	empty := measure()
	fill(filepath.Join(dir, "one"), 2)
	one := measure()
	grown("a file", empty, one, 2)
	if err := errors.Join(os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")), os.Symlink(outside, filepath.Join(dir, "link")), os.Symlink("/", filepath.Join(dir, "root"))); err != nil {
		t.Fatal(err)
	}
	fill(outside, 4)
	grown("two names and links that lead out", empty, measure(), 2)
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	grown("a hole", one, measure(), 0)
	fill(filepath.Join(dir, "open"), 3)
	open, err := os.Open(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	before := measure()
	if err := os.Remove(filepath.Join(dir, "open")); err != nil {
		t.Fatal(err)
	}
	hidden := measure()
	mapped, err := unix.Mmap(int(open.Fd()), 0, 3<<20, unix.PROT_READ, unix.MAP_SHARED)
	open.Close()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // the kernel shows map_files to root alone, as which agents run
		grown("the same, closed and mapped", before, measure(), 0)
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/fd"); err == nil { // elsewhere than on Linux nothing runs leases
		grown("a file without a name that is open", before, hidden, 0)
		grown("the same, let go", measure(), hidden, 3)
	}
}

// TestMaze: a tree that is deeper than any path can name is refused, and not overlooked.
func TestMaze(t *testing.T) {
	dir := t.TempDir()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Close(at) }()
	for i := range depthMax + 2 {
		name := fmt.Sprint(i)
		if err := unix.Mkdirat(at, name, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if at = next; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (realDisk{}).Measure(t.Context(), Lodging{Places: []string{dir}}); !errors.Is(err, errMaze) {
		t.Errorf("Measure = %v, wanted %v", err, errMaze)
	}
}

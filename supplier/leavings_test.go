package supplier

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier/runtime"
)

// TestAKillInTheMidstOfAWipe: whatever is left of a lease's directory, the next agent finishes it, and no order names the lease any more.
func TestAKillInTheMidstOfAWipe(t *testing.T) {
	bubble(t, func(w *world) {
		w.stop()
		half := filepath.Join(w.dir, "leases", string(worker), "node", "session", "logs")
		if err := os.MkdirAll(half, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(half, "log"), []byte("said"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(10 * time.Second)
		if _, err := os.Stat(half); err != nil {
			t.Fatalf("without a word of a coordinator: %v", err)
		}
		w.coordinator.order()
		w.until("nothing is left of it", 5*time.Second, w.empty)
	})
}

// TestWhatCannotBeWipedIsTold: a file that has a name elsewhere is left as it is there. It holds nobody up, and the owner's view says so.
func TestWhatCannotBeWipedIsTold(t *testing.T) {
	bubble(t, func(w *world) {
		w.coordinator.order(w.order(worker, raylink.WantMesh))
		w.untilStage(worker, raylink.StageMesh)
		kept := filepath.Join(w.dir, "kept")
		if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(kept, filepath.Join(files{root: w.dir}.node(worker), "session", "link")); err != nil {
			t.Fatal(err)
		}
		w.coordinator.order(w.order(worker, raylink.WantEnd))
		w.untilStage(worker, raylink.StageGone)
		w.pass(5 * time.Second)
		view, _, _, err := ReadView(w.dir)
		if err != nil || !strings.Contains(view.Unwiped, string(worker)) || !strings.Contains(view.Unwiped, "another name") {
			t.Errorf("the view says %q (%v)", view.Unwiped, err)
		}
		if text, err := os.ReadFile(kept); err != nil || string(text) != "kept" {
			t.Errorf("elsewhere it is %q (%v)", text, err)
		}
	})
}

// TestAnEvictedLeaseIsWaitedFor: what it held is free only when it is overwritten. Nobody else is ended for the floor meanwhile, unless the disk is nearly full indeed.
func TestAnEvictedLeaseIsWaitedFor(t *testing.T) {
	const floor = 5 << 30
	for free, ends := range map[int64]bool{floor - 1: false, floor/2 - 1: true} {
		a := New(Parts{DataDir: t.TempDir(), DiskFloor: floor, Runtime: nothing{}}, slog.New(slog.DiscardHandler))
		a.leases[head] = &lease{id: head, named: true, evicted: true, dir: true, trouble: trouble{failure: &raylink.Failure{}}}
		a.leases[worker] = &lease{id: worker, named: true, dir: true}
		a.judgeDisk(measured{free: free, walked: true, lodgers: []lodger{{id: worker, held: Held{Bytes: 3 << 30}}}})
		if a.leases[worker].evicted != ends {
			t.Errorf("with %s free the other lease is ended: %v", gib(free), !ends)
		}
	}
}

// nothing is a runtime that nobody asks anything.
type nothing struct{ runtime.Runtime }

func (nothing) Images() runtime.Images { return nil }

// TestTheAssignmentBefore is overwritten when another takes its place, as it has the tokens of leases; also where an agent was killed on the way.
func TestTheAssignmentBefore(t *testing.T) {
	f := files{root: t.TempDir()}
	save := func(token string) *os.File {
		t.Helper()
		if err := f.saveAssignment(t.Context(), wire.Assignment{Leases: []wire.LeaseOrder{{Lease: head, RayToken: token}}}); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(f.assignment())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	before := []*os.File{save("first")}
	if err := os.Link(f.assignment(), f.assignment()+".old"); err != nil { // killed before the next one was written
		t.Fatal(err)
	}
	before = append(before, save("second"), save("third"))
	if err := os.WriteFile(f.assignment()+".old", []byte("killed later"), 0o600); err != nil {
		t.Fatal(err)
	}
	save("fourth")
	if a, err := f.loadAssignment(); err != nil || len(a.Leases) != 1 || a.Leases[0].RayToken != "fourth" {
		t.Errorf("the last one is %+v (%v)", a, err)
	}
	for i, file := range before {
		if info, err := file.Stat(); err != nil || info.Size() > 0 {
			t.Errorf("number %d still has its content: %+v (%v)", i, info, err)
		}
	}
	if err := os.Link(f.assignment(), f.assignment()+".old"); err != nil { // killed again
		t.Fatal(err)
	}
	if err := f.removeAssignment(t.Context()); err != nil || len(tree(t, f.root)) != 1 {
		t.Errorf("removed, there are %v (%v)", tree(t, f.root), err)
	}
}

// TestAnAssignmentThatCannotBeSaved, as on a full disk, leaves the one before whole: it is all that an agent knows that comes back while no coordinator answers.
func TestAnAssignmentThatCannotBeSaved(t *testing.T) {
	f := files{root: t.TempDir()}
	if err := f.saveAssignment(t.Context(), wire.Assignment{Leases: []wire.LeaseOrder{{Lease: head}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(f.assignment()+".new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.saveAssignment(t.Context(), wire.Assignment{}); err == nil {
		t.Fatal("it was saved")
	}
	if a, err := f.loadAssignment(); err != nil || len(a.Leases) != 1 || a.Leases[0].Lease != head {
		t.Errorf("what is left is %+v (%v)", a, err)
	}
}

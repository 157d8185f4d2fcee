// Package runtimetest is the suite that every runtime must pass.
package runtimetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// Subject is a runtime under test, and the hands that the suite needs beside the port.
type Subject struct {
	Runtime func(machine raylink.MachineID) runtime.Runtime  // several machines on one host
	Image   string                                           // one that is there
	Missing string                                           // one that is not there, nor anywhere
	Prepare func(t *testing.T, lease raylink.LeaseID) string // makes the lease's directory
	Exit    func(t *testing.T, spec runtime.Spec, code int, words string)
}

const (
	mine   = raylink.MachineID("m-aaaaaaaaaa")
	theirs = raylink.MachineID("m-bbbbbbbbbb")
)

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	t.Run("StartIsIdempotent", func(t *testing.T) { startIsIdempotent(t, s) })
	t.Run("AnExitedOneIsReplaced", func(t *testing.T) { exitedIsReplaced(t, s) })
	t.Run("StopRemoves", func(t *testing.T) { stopRemoves(t, s) })
	t.Run("OtherMachinesAreInvisible", func(t *testing.T) { othersAreInvisible(t, s) })
	t.Run("AMissingImageIsExplained", func(t *testing.T) { missingImage(t, s) })
	t.Run("AnotherMachinesSpecIsRefused", func(t *testing.T) { foreignSpec(t, s) })
}

func (s Subject) spec(t *testing.T, machine raylink.MachineID, lease raylink.LeaseID) runtime.Spec {
	spec := runtime.Spec{
		Lease: lease, Machine: machine, Cluster: "c-cccccccccc", Hostname: "first-headgroup-0", Image: s.Image,
		CPU: 5_000, Memory: 256 << 20, ShmBytes: 64 << 20, Hosts: map[string]string{"head": "100.64.1.2"},
		Env: map[string]string{"RAYLINK_TEST": "1"},
	}
	if s.Prepare != nil {
		spec.Dir = s.Prepare(t, lease)
	}
	r := s.Runtime(machine)
	t.Cleanup(func() {
		if err := r.Stop(context.Background(), lease); err != nil {
			t.Errorf("cleaning up %s: %v", lease, err)
		}
	})
	return spec
}

func list(t *testing.T, r runtime.Runtime, lease raylink.LeaseID) (runtime.Instance, bool) {
	t.Helper()
	all, err := r.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	i := slices.IndexFunc(all, func(one runtime.Instance) bool { return one.Lease == lease })
	if i < 0 {
		return runtime.Instance{}, false
	}
	return all[i], true
}

func mustStart(t *testing.T, r runtime.Runtime, spec runtime.Spec) runtime.Instance {
	t.Helper()
	out, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("Start %s: %v", spec.Lease, err)
	}
	if !out.Running || out.Pid <= 0 || out.Lease != spec.Lease {
		t.Fatalf("Start %s gave %+v, wanted it running with a pid", spec.Lease, out)
	}
	return out
}

func startIsIdempotent(t *testing.T, s Subject) {
	r, spec := s.Runtime(mine), s.spec(t, mine, "l-aaaaaaaaa2")
	before := time.Now().Add(-time.Minute)
	first := mustStart(t, r, spec)
	if first.StartedAt.Before(before) || first.StartedAt.Location() != time.UTC {
		t.Errorf("StartedAt is %v, wanted now in UTC", first.StartedAt)
	}
	second := mustStart(t, r, spec)
	if second.Pid != first.Pid || second.Restarts != 0 {
		t.Errorf("a second Start gave %+v after %+v, wanted the same container", second, first)
	}
	if seen, ok := list(t, r, spec.Lease); !ok || !seen.Running || seen.Pid != first.Pid {
		t.Errorf("List shows %+v (%v), wanted %+v", seen, ok, first)
	}
}

func exitedIsReplaced(t *testing.T, s Subject) {
	r, spec := s.Runtime(mine), s.spec(t, mine, "l-aaaaaaaaa3")
	first := mustStart(t, r, spec)
	s.Exit(t, spec, 7, "no more rays")
	seen, ok := list(t, r, spec.Lease)
	if !ok || seen.Running || seen.Pid != 0 || seen.ExitCode != 7 {
		t.Fatalf("after its exit List shows %+v (%v), wanted it exited with 7", seen, ok)
	}
	if !slices.Contains(seen.LastWords, "no more rays") {
		t.Errorf("its last words are %q, wanted what it said", seen.LastWords)
	}
	second := mustStart(t, r, spec)
	if second.Pid == first.Pid || second.Restarts != 1 {
		t.Errorf("Start after the exit gave %+v, wanted a new process and one restart", second)
	}
}

func stopRemoves(t *testing.T, s Subject) {
	r, spec := s.Runtime(mine), s.spec(t, mine, "l-aaaaaaaaa4")
	mustStart(t, r, spec)
	for range 2 { // the second finds nothing, which is no error
		if err := r.Stop(t.Context(), spec.Lease); err != nil {
			t.Fatalf("Stop: %v", err)
		}
	}
	if seen, ok := list(t, r, spec.Lease); ok {
		t.Errorf("after Stop List still shows %+v", seen)
	}
}

func othersAreInvisible(t *testing.T, s Subject) {
	r, spec := s.Runtime(theirs), s.spec(t, theirs, "l-bbbbbbbbb2")
	mustStart(t, r, spec)
	me := s.Runtime(mine)
	if seen, ok := list(t, me, spec.Lease); ok {
		t.Errorf("List shows another machine's %+v", seen)
	}
	if err := me.Stop(t.Context(), spec.Lease); err != nil {
		t.Errorf("Stop of a lease that is not here: %v", err)
	}
	if seen, ok := list(t, r, spec.Lease); !ok || !seen.Running {
		t.Errorf("one machine's Stop ended another's container: %+v (%v)", seen, ok)
	}
}

func missingImage(t *testing.T, s Subject) {
	r, spec := s.Runtime(mine), s.spec(t, mine, "l-aaaaaaaaa5")
	images, tell := r.Images(), func(int64, int64) {}
	here, err := images.Look(t.Context(), s.Image)
	if err != nil {
		t.Errorf("Look for what is there: %v", err)
	}
	if got, err := images.Fetch(t.Context(), s.Image, tell); err != nil || got != here {
		t.Errorf("Fetch of what is there: %q (%v), and Look gave %q", got, err, here)
	}
	var told *raylink.Error
	if _, err := images.Look(t.Context(), s.Missing); !errors.As(err, &told) || told.Code != raylink.CodeNotFound {
		t.Errorf("Look for what is nowhere: %v, wanted a *raylink.Error that says not found", err)
	}
	if _, err := images.Fetch(t.Context(), s.Missing, tell); !errors.As(err, &told) || told.Code != raylink.CodeNotFound {
		t.Errorf("Fetch of what is nowhere: %v, wanted a *raylink.Error that says not found", err)
	}
	spec.Image = s.Missing
	if _, err := r.Start(t.Context(), spec); !errors.As(err, &told) || told.Hint == "" {
		t.Errorf("Start without the image: %v, wanted a *raylink.Error with a hint", err)
	}
	if seen, ok := list(t, r, spec.Lease); ok {
		t.Errorf("a failed Start left %+v", seen)
	}
}

func foreignSpec(t *testing.T, s Subject) {
	spec := s.spec(t, theirs, "l-bbbbbbbbb3")
	if _, err := s.Runtime(mine).Start(t.Context(), spec); err == nil {
		t.Error("a machine started a container that is marked as another's")
	}
}

//go:build !(cgo && linux)

package nvml

import (
	"errors"
	"testing"
)

// TestBuildSaysSo: whoever runs this build is told in words what it lacks.
func TestBuildSaysSo(t *testing.T) {
	r := Open()
	_, _, err := r.Devices(t.Context())
	_, _, err2 := r.Look(t.Context())
	if Built {
		t.Error("it says that it can")
	}
	if _, err := r.Computing(t.Context(), "GPU-1"); !errors.Is(err, ErrBuild) {
		t.Errorf("of who computes it says %v", err)
	}
	if statuses, at := r.Last(); statuses != nil || !at.IsZero() {
		t.Errorf("it has found %v at %v", statuses, at)
	}
	if !errors.Is(err, ErrBuild) || !errors.Is(err2, ErrBuild) || !errors.Is(r.Watch(t.Context(), nil), ErrBuild) || err.Error() != "this build cannot read NVIDIA devices (built without cgo)" {
		t.Errorf("it says %v, %v", err, err2)
	}
}

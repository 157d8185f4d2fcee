package scripted_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/runtimetest"
	"raylink/supplier/runtime/scripted"
)

func TestConformance(t *testing.T) {
	host := scripted.NewHost("here")
	runtimetest.Run(t, runtimetest.Subject{
		Runtime: host.For, Image: "here", Missing: "nowhere",
		Exit: func(t *testing.T, spec runtime.Spec, code int, words string) {
			if !host.Exit(spec.Lease, code, words) {
				t.Fatalf("%s does not run", spec.Lease)
			}
		},
	})
}

func TestScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := scripted.NewHost("here")
		r := host.For("m-aaaaaaaaaa")
		bad := errors.New("scripted")
		host.Fail("start", bad, nil)
		host.Delay(3 * time.Second)
		spec := runtime.Spec{Machine: "m-aaaaaaaaaa", Lease: raylink.LeaseID("l-aaaaaaaaaa"), Image: "here"}
		began := time.Now()
		if _, err := r.Start(t.Context(), spec); !errors.Is(err, bad) {
			t.Errorf("the first start gave %v, wanted the scripted error", err)
		}
		if _, err := r.Start(t.Context(), spec); err != nil {
			t.Errorf("the second start gave %v", err)
		}
		if d := time.Since(began); d != 6*time.Second {
			t.Errorf("two starts took %v, wanted the scripted 3 s each", d)
		}
	})
}

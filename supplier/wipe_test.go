package supplier

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier/prove/cuda"
)

const oneGPU, otherGPU = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f"

func (w *world) gpuOrder(gpus ...string) wire.LeaseOrder {
	order := w.order(head, raylink.WantRun)
	order.Devices = gpus
	return order
}

// TestGPUsAreClearedBeforeEveryStart: the tenant gets his GPUs cleared, and cleared again when his container is started again; nobody else's are touched.
func TestGPUsAreClearedBeforeEveryStart(t *testing.T) {
	bubble(t, func(w *world) {
		var cleared []string
		w.wipe = func(_ context.Context, gpu string) (cuda.Wiped, error) {
			cleared = append(cleared, gpu)
			return cuda.Wiped{Zeroed: 1 << 30, Total: 1 << 30}, nil
		}
		w.stop()
		w.start()
		w.coordinator.order(w.gpuOrder(oneGPU, otherGPU))
		w.until("it runs", 30*time.Second, func() bool { return w.hasGo(head) && w.host.Exit(head, 1, "gone") })
		w.until("it runs again", 30*time.Second, func() bool { _, started := w.host.Count(); return started == 2 })
		if want := []string{oneGPU, otherGPU, oneGPU, otherGPU}; !slices.Equal(cleared, want) {
			t.Errorf("cleared %v, want %v", cleared, want)
		}
		if spec, _ := w.host.Spec(head); !slices.Equal(spec.GPUs, []string{oneGPU, otherGPU}) {
			t.Errorf("the container has %v", spec.GPUs)
		}
	})
}

// TestAGPUThatCannotBeClearedIsNotHandedOut: nothing is started on it, and the failure says why.
func TestAGPUThatCannotBeClearedIsNotHandedOut(t *testing.T) {
	for words, wipe := range map[string]Wiper{
		"cannot clear the memory of a GPU": nil,
		"the bus hangs": func(context.Context, string) (cuda.Wiped, error) {
			return cuda.Wiped{}, errors.New("the bus hangs")
		},
	} {
		t.Run(words, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.wipe = wipe
				w.stop()
				w.start()
				w.coordinator.order(w.gpuOrder(oneGPU))
				w.until("a failure", time.Minute, func() bool { return w.coordinator.lease(head).Failure != nil })
				if f := w.coordinator.lease(head).Failure; !strings.Contains(f.Reason, words) {
					t.Errorf("the failure is %+v", f)
				}
				if _, started := w.host.Count(); started != 0 {
					t.Error("a container was started all the same")
				}
			})
		})
	}
}

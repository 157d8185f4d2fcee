package supplier

import (
	"context"
	"errors"
	"os"
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
	wiped := func(zeroed, total int64, err error) Wiper {
		return func(context.Context, string) (cuda.Wiped, error) {
			return cuda.Wiped{Zeroed: zeroed, Total: total}, err
		}
	}
	used := func(err error, pids ...int) GPUUsers {
		return func(context.Context, string) ([]int, error) { return pids, err }
	}
	for words, c := range map[string]struct {
		wipe  Wiper
		users GPUUsers
	}{
		"cannot clear the memory of a GPU":             {nil, used(nil)},
		"cannot clear the memory of a GPU, so":         {wiped(80<<30, 80<<30, nil), nil},
		"the bus hangs":                                {wiped(80<<30, 80<<30, errors.New("the bus hangs")), used(nil)},
		"77004 of 81920 MiB":                           {wiped(77_004<<20, 80<<30, nil), used(nil)}, // 94 %: somebody holds the rest
		"0 of 0 MiB":                                   {wiped(0, 0, nil), used(nil)},
		"process 4711 computes on GPU " + oneGPU + ":": {wiped(80<<30, 80<<30, nil), used(nil, os.Getpid(), 4711)},
		"the driver hangs":                             {wiped(80<<30, 80<<30, nil), used(errors.New("the driver hangs"))},
	} {
		t.Run(words, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.wipe, w.users = c.wipe, c.users
				w.stop()
				w.start()
				w.coordinator.order(w.gpuOrder(oneGPU))
				w.until("a failure", time.Minute, func() bool { return w.coordinator.lease(head).Failure != nil })
				if f := w.coordinator.lease(head).Failure; !strings.Contains(f.Reason, words) || f.Hint == "" {
					t.Errorf("the failure is %+v", f)
				}
				if _, started := w.host.Count(); started != 0 {
					t.Error("a container was started all the same")
				}
			})
		})
	}
}

// TestAGPUThatBecomesFreeIsHandedOut: the last tenant's process takes a moment to go, and the driver and this agent have a little of every GPU.
func TestAGPUThatBecomesFreeIsHandedOut(t *testing.T) {
	bubble(t, func(w *world) {
		looks := 0
		w.users = func(context.Context, string) ([]int, error) {
			if looks++; looks < 3 {
				return []int{os.Getpid(), 4711}, nil
			}
			return []int{os.Getpid()}, nil
		}
		w.wipe = func(context.Context, string) (cuda.Wiped, error) {
			return cuda.Wiped{Zeroed: 11_700 << 20, Total: 12_288 << 20}, nil
		}
		w.stop()
		w.start()
		w.coordinator.order(w.gpuOrder(oneGPU))
		w.until("it runs", time.Minute, func() bool { return w.hasGo(head) })
		if looks != 3 {
			t.Errorf("it was looked %d times", looks)
		}
	})
}

package supplier

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier/device/nvml"
	"raylink/supplier/prove/cuda"
	"raylink/supplier/runtime"
)

// drives makes the agent one of a machine with two GPUs, and returns how the driver tells of them.
func (w *world) drives() (tell func(...nvml.Change)) {
	w.stop()
	says := make(chan []nvml.Change)
	w.machine = &raylink.Host{Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU}, {ID: oneGPU, Kind: raylink.DeviceGPU}, {ID: otherGPU, Kind: raylink.DeviceGPU}}}
	w.wipe = func(context.Context, string) (cuda.Wiped, error) {
		return cuda.Wiped{Zeroed: 1 << 30, Total: 1 << 30}, nil
	}
	w.watch = func(ctx context.Context, tell func([]nvml.Change)) error {
		for {
			select {
			case c := <-says:
				tell(c)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	w.start()
	return func(c ...nvml.Change) { says <- c }
}

// last is what the agent reported last.
func (c *coordinator) last() wire.AgentReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report
}

func (w *world) runs(gpus ...string) {
	w.coordinator.order(w.gpuOrder(gpus...))
	w.until("it runs", 30*time.Second, func() bool { return w.hasGo(head) && w.coordinator.lease(head).Stage == raylink.StageRunning })
}

func faults(host *raylink.Host) []string {
	var out []string
	for _, d := range host.Devices[1:] {
		out = append(out, d.Fault)
	}
	return out
}

// TestAFaultyGPUIsReported: what the driver tells of a GPU is in the inventory at once, and gone when it is well again; the other stays in the market.
func TestAFaultyGPUIsReported(t *testing.T) {
	bubble(t, func(w *world) {
		tell := w.drives()
		reported := func(want ...string) func() bool {
			return func() bool { r := w.coordinator.last(); return r.Host != nil && slices.Equal(faults(r.Host), want) }
		}
		w.until("both are well", time.Second, reported("", ""))
		tell(nvml.Change{Device: otherGPU, Fault: "Xid 79: it has fallen off the bus\n" + strings.Repeat("x", 300)})
		w.until("one is not", time.Second, func() bool {
			f := faults(w.coordinator.last().Host)
			return f[0] == "" && strings.HasPrefix(f[1], "Xid 79: it has fallen off the bus") && len(f[1]) == faultMax
		})
		tell(nvml.Change{Fault: "Unknown Error"}, nvml.Change{Device: otherGPU})
		w.until("the driver lets none be used", time.Second, reported("Unknown Error", "Unknown Error"))
		tell(nvml.Change{})
		w.until("all is well", time.Second, reported("", ""))
		if faults(w.machine)[1] != "" {
			t.Error("the inventory of the start was written into")
		}
	})
}

// TestTheViewShowsWhatGPUsDo: their owner reads in the view what the last look found, and the group is told none of it.
func TestTheViewShowsWhatGPUsDo(t *testing.T) {
	bubble(t, func(w *world) {
		at := time.Now().UTC()
		w.readings = func() ([]nvml.Status, time.Time) {
			return []nvml.Status{{Device: raylink.Device{ID: oneGPU, Name: "A100", Memory: 40 << 30}, Temperature: 41, Power: 61_500, PowerLimit: 400_000, Used: 2 << 30, Processes: []int{17, 4}},
				{Device: raylink.Device{ID: otherGPU}}}, at
		}
		w.drives()
		want := []ViewGPU{{Device: oneGPU, Name: "A100", At: at, Temperature: 41, Power: 61_500, PowerLimit: 400_000, Used: 2 << 30, Memory: 40 << 30, Processes: []int{17, 4}},
			{Device: otherGPU, At: at}}
		w.until("the view shows it", 2*viewEvery, func() bool {
			v, _, _, err := ReadView(w.dir)
			return err == nil && reflect.DeepEqual(v.GPUs, want)
		})
	})
}

// TestOfferOfTheGPUsThatWork: the machine stays in the market with those; with none it is left to the coordinators to say what is wrong.
func TestOfferOfTheGPUsThatWork(t *testing.T) {
	a := &Agent{parts: Parts{Host: &raylink.Host{Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU}, {ID: oneGPU, Kind: raylink.DeviceGPU}, {ID: otherGPU, Kind: raylink.DeviceGPU}}}}}
	a.log = slog.New(slog.DiscardHandler)
	offer := raylink.Offer{Resources: raylink.Resources{GPU: 2 * raylink.Unit}}
	for _, step := range []struct {
		change nvml.Change
		gpus   int64
	}{{nvml.Change{Device: oneGPU, Fault: "Xid 48"}, 1}, {nvml.Change{Device: otherGPU, Fault: "Xid 79"}, 2}, {nvml.Change{Device: oneGPU}, 1}, {nvml.Change{Device: otherGPU}, 2}} {
		a.learnGPUs([]nvml.Change{step.change})
		if got := a.usable(offer).Resources.GPU / raylink.Unit; got != step.gpus {
			t.Errorf("after %v the offer has %d GPUs, want %d", step.change, got, step.gpus)
		}
	}
}

// TestAContainerThatLosesItsGPUIsStartedAnew replays `systemctl daemon-reload`: the driver is well, the container is not let at its GPUs any more. It is
// started anew within a minute, with the same GPUs; what is seen but once is taken for a hiccup.
func TestAContainerThatLosesItsGPUIsStartedAnew(t *testing.T) {
	bubble(t, func(w *world) {
		w.drives()
		w.runs(oneGPU)
		lost := fmt.Errorf("%w: Failed to initialize NVML: Unknown Error", runtime.ErrGPULost)
		w.host.Fail("check-gpus", lost, nil, context.DeadlineExceeded, lost)
		w.pass(5 * insideEvery)
		if _, started := w.host.Count(); started != 1 {
			t.Fatalf("hiccups, and %d containers were started", started)
		}
		w.host.Fail("check-gpus", lost, lost)
		w.until("it was started anew", time.Minute, func() bool { _, started := w.host.Count(); return started == 2 && w.hasGo(head) })
		w.pass(time.Minute)
		spec, _ := w.host.Spec(head)
		if r := w.coordinator.lease(head); r.Failure != nil || r.Stage != raylink.StageRunning || r.Restarts != 1 || !slices.Equal(spec.GPUs, []string{oneGPU}) {
			t.Errorf("the lease is %+v with %v", r, spec.GPUs)
		}
	})
}

// TestALeaseWhoseGPUIsGoneFails: where the driver has lost the GPU there is nothing to start anew, and the lease fails with the driver's word.
func TestALeaseWhoseGPUIsGoneFails(t *testing.T) {
	for name, inside := range map[string]error{"lost": runtime.ErrGPULost, "hangs": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				tell := w.drives()
				w.runs(oneGPU, otherGPU)
				w.host.Fail("check-gpus", inside, inside)
				tell(nvml.Change{Device: otherGPU, Fault: "Xid 79: it has fallen off the bus"})
				w.until("a failure", time.Minute, func() bool { return w.coordinator.lease(head).Failure != nil })
				if f := w.coordinator.lease(head).Failure; !strings.Contains(f.Reason, otherGPU) || !strings.Contains(f.Reason, "fallen off the bus") || f.Hint == "" {
					t.Errorf("the failure is %+v", f)
				}
			})
		})
	}
}

// TestAJobGoesOnWhereTheDriverOnlyComplains: a GPU with errors gets nothing new, but a container that still sees it is left alone.
func TestAJobGoesOnWhereTheDriverOnlyComplains(t *testing.T) {
	bubble(t, func(w *world) {
		tell := w.drives()
		w.runs(oneGPU)
		tell(nvml.Change{Device: oneGPU, Fault: "Xid 63: its memory has errors"})
		w.pass(10 * insideEvery)
		if _, started := w.host.Count(); started != 1 || w.coordinator.lease(head).Failure != nil {
			t.Errorf("%d starts, %+v", started, w.coordinator.lease(head))
		}
	})
}

// TestAContainerThatLosesItsGPUsAgainAndAgain fails in the end, and says why.
func TestAContainerThatLosesItsGPUsAgainAndAgain(t *testing.T) {
	bubble(t, func(w *world) {
		w.drives()
		ready := time.Now()
		order := w.gpuOrder(oneGPU)
		order.ReadyAt = &ready
		w.coordinator.order(order)
		w.until("it runs", 30*time.Second, func() bool { return w.hasGo(head) })
		w.host.Fail("check-gpus", slices.Repeat([]error{runtime.ErrGPULost}, 100)...)
		w.until("a failure", exitsWithin, func() bool { return w.coordinator.lease(head).Failure != nil })
		if f := w.coordinator.lease(head).Failure; !strings.Contains(f.Reason, "it had lost its GPUs") {
			t.Errorf("the failure is %+v", f)
		}
	})
}

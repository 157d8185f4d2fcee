//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"

	"raylink/raylink/catalogue"
)

const unsupported = driver.ERROR_NOT_SUPPORTED

// dgx is the library's mock of a DGX A100, with what that leaves out.
func dgx() *dgxa100.Server { return filled(dgxa100.New()) }

// filled has what the library's mocks leave out: no card supports it, unless a test says so.
func filled(server *dgxa100.Server) *dgxa100.Server {
	for i := range server.Devices {
		d := card(server, i)
		d.GetEccModeFunc = func() (driver.EnableState, driver.EnableState, driver.Return) { return 0, 0, unsupported }
		d.GetTemperatureFunc = func(driver.TemperatureSensors) (uint32, driver.Return) { return 0, unsupported }
		d.GetPowerUsageFunc = func() (uint32, driver.Return) { return 0, unsupported }
		d.GetEnforcedPowerLimitFunc = func() (uint32, driver.Return) { return 0, unsupported }
		d.GetComputeRunningProcessesFunc = func() ([]driver.ProcessInfo, driver.Return) { return nil, unsupported }
		d.RegisterEventsFunc = func(uint64, driver.EventSet) driver.Return { return unsupported }
	}
	server.EventSetCreateFunc = func() (driver.EventSet, driver.Return) {
		return &mock.EventSet{FreeFunc: func() driver.Return { return driver.SUCCESS }}, driver.SUCCESS
	}
	return server
}

func card(server *dgxa100.Server, i int) *dgxa100.Device { return server.Devices[i].(*dgxa100.Device) }

// TestWellServer reads each of the library's mock servers.
func TestWellServer(t *testing.T) {
	for name, c := range map[string]struct {
		server       *dgxa100.Server
		driver, card string
		memory       uint64 // GiB
		model        string // as the catalogue has it
	}{
		"DGX A100": {dgx(), "550.54.15", "A100-SXM4-40GB", 40, "A100-40G"},
		"DGX H100": {filled(dgxh100.New()), "550.54.15", "H100 80GB HBM3", 80, "H100"},
		"DGX H200": {filled(dgxh200.New()), "550.54.15", "H200 141GB HBM3e", 141, "H200"},
		"DGX B200": {filled(dgxb200.New()), "560.28.03", "B200 180GB HBM3e", 180, "B200"},
	} {
		t.Run(name, func(t *testing.T) {
			card(c.server, 4).MigMode = driver.DEVICE_MIG_ENABLE
			version, statuses, err := newReader(c.server, Limit, Interval).Look(t.Context())
			if err != nil || version != c.driver || len(statuses) != 8 {
				t.Fatalf("driver %q, %d GPUs, %v", version, len(statuses), err)
			}
			for i, s := range statuses {
				if s.Device.ID != card(c.server, i).UUID || s.Device.Fault != "" || uint64(s.Device.Memory) != c.memory<<30 || !strings.Contains(s.Device.Name, c.card) || s.Device.MIG != (i == 4) {
					t.Errorf("GPU %d is %+v", i, s)
				}
				if e, ok := catalogue.Match(s.Device); !ok || e.Name != c.model {
					t.Errorf("GPU %d is taken for %q", i, e.Name)
				}
			}
		})
	}
}

// TestOneCard: what a card tells beside its name and memory, and what is kept of a look.
func TestOneCard(t *testing.T) {
	server := dgx()
	d := card(server, 3)
	d.GetEccModeFunc = func() (driver.EnableState, driver.EnableState, driver.Return) {
		return driver.FEATURE_ENABLED, driver.FEATURE_DISABLED, driver.SUCCESS
	}
	d.GetTemperatureFunc = func(driver.TemperatureSensors) (uint32, driver.Return) { return 41, driver.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, driver.Return) { return 61_500, driver.SUCCESS }
	d.GetEnforcedPowerLimitFunc = func() (uint32, driver.Return) { return 400_000, driver.SUCCESS }
	d.GetComputeRunningProcessesFunc = func() ([]driver.ProcessInfo, driver.Return) {
		return []driver.ProcessInfo{{Pid: 17}, {Pid: 4}}, driver.SUCCESS
	}
	d.GetPciInfoFunc = func() (driver.PciInfo, driver.Return) {
		info := driver.PciInfo{}
		for i, c := range "00000000:C7:00.0" {
			info.BusId[i] = int8(c)
		}
		return info, driver.SUCCESS
	}
	_, statuses, err := newReader(server, Limit, Interval).Look(t.Context())
	if err != nil || len(statuses) != 8 {
		t.Fatalf("%d GPUs, %v", len(statuses), err)
	}
	if s := statuses[3]; s.Device.ECC != "on" || s.Temperature != 41 || s.Power != 61_500 || s.PowerLimit != 400_000 || fmt.Sprint(s.Processes) != "[17 4]" || s.Device.Bus != "0000:c7:00.0" {
		t.Errorf("GPU 3 is %+v", s)
	}
	r := newReader(server, Limit, Interval)
	if statuses, at := r.Last(); statuses != nil || !at.IsZero() {
		t.Errorf("before the first look it has found %v at %v", statuses, at)
	}
	if !Built {
		t.Error("the build that reads says that it cannot")
	}
	if pids, err := r.Computing(t.Context(), card(server, 3).UUID); err != nil || fmt.Sprint(pids) != "[17 4]" {
		t.Errorf("on GPU 3 compute %v, %v", pids, err)
	}
	if pids, err := r.Computing(t.Context(), "GPU-none"); err == nil || !strings.Contains(err.Error(), "does not list it") {
		t.Errorf("on a GPU that is not there compute %v, %v", pids, err)
	}
	if last, at := r.Last(); len(last) != 8 || last[3].Temperature != 41 || at.IsZero() {
		t.Errorf("the last look found %+v at %v", last, at)
	}
	server.InitFunc = func() driver.Return { return driver.ERROR_UNKNOWN }
	if _, _, err := r.Look(t.Context()); err == nil {
		t.Error("it sees GPUs that it has lost")
	}
	if last, at := r.Last(); last != nil || !at.IsZero() {
		t.Errorf("after a look that found the driver gone there are still %+v of %v", last, at)
	}
}

// TestGarbage: whatever one card says is told as that card's fault, and the others are read all the same.
func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*dgxa100.Server, *dgxa100.Device)
		fault string
	}{
		"no handle": {func(s *dgxa100.Server, _ *dgxa100.Device) {
			whole := s.DeviceGetHandleByIndexFunc
			s.DeviceGetHandleByIndexFunc = func(i int) (driver.Device, driver.Return) {
				if i == 2 {
					return nil, driver.ERROR_GPU_IS_LOST
				}
				return whole(i)
			}
		}, "it cannot be reached: the GPU is lost"},
		"no UUID": {func(_ *dgxa100.Server, d *dgxa100.Device) {
			d.GetUUIDFunc = func() (string, driver.Return) { return "", unsupported }
		}, "it does not tell its UUID: not supported"},
		"a wild UUID": {func(_ *dgxa100.Server, d *dgxa100.Device) {
			d.GetUUIDFunc = func() (string, driver.Return) { return "GPU-\xff\x00" + strings.Repeat("../", 30_000), driver.SUCCESS }
		}, "it has no UUID"},
		"no name": {func(_ *dgxa100.Server, d *dgxa100.Device) {
			d.GetNameFunc = func() (string, driver.Return) { return "", driver.ERROR_UNKNOWN }
		}, "it does not tell its name: Unknown Error"},
		"no memory": {func(_ *dgxa100.Server, d *dgxa100.Device) {
			d.GetMemoryInfoFunc = func() (driver.Memory, driver.Return) { return driver.Memory{}, unsupported }
		}, "it does not tell its memory"},
		"2^64 of memory": {func(_ *dgxa100.Server, d *dgxa100.Device) { d.MemoryInfo.Total = 1<<64 - 1 }, "a memory that cannot be: 18446744073709551615 bytes"},
		"0 of memory":    {func(_ *dgxa100.Server, d *dgxa100.Device) { d.MemoryInfo.Total = 0 }, "a memory that cannot be: 0 bytes"},
	} {
		server := dgx()
		c.spoil(server, card(server, 2))
		_, devices, err := newReader(server, Limit, Interval).Devices(t.Context())
		if err != nil || len(devices) != 8 {
			t.Errorf("%s: %d GPUs, %v", name, len(devices), err)
			continue
		}
		for i, d := range devices {
			if bad := d.Fault != ""; bad != (i == 2) || i == 2 && !strings.Contains(d.Fault, c.fault) || len(d.Fault) > 300 || len(d.ID) > 60 {
				t.Errorf("%s: GPU %d is %.500q", name, i, fmt.Sprintf("%+v", d))
			}
		}
	}
}

// TestNames: a name of 64 KiB is cut, and signs that are not shown as they are go.
func TestNames(t *testing.T) {
	server := dgx()
	card(server, 0).GetNameFunc = func() (string, driver.Return) { return "RTX\r\n\u202e" + strings.Repeat("x", 64<<10), driver.SUCCESS }
	_, devices, err := newReader(server, Limit, Interval).Devices(t.Context())
	if err != nil || len(devices[0].Name) > 120 || strings.ContainsAny(devices[0].Name, "\r\n\u202e") {
		t.Errorf("it is called %.200q (%v)", devices[0].Name, err)
	}
}

func TestDriverTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*dgxa100.Server)
		want  error
		words string
	}{
		"no library":    {func(s *dgxa100.Server) { s.InitFunc = answers(driver.ERROR_LIBRARY_NOT_FOUND) }, ErrNoDriver, "library not found"},
		"no driver":     {func(s *dgxa100.Server) { s.InitFunc = answers(driver.ERROR_DRIVER_NOT_LOADED) }, ErrNoDriver, "driver not loaded"},
		"daemon-reload": {func(s *dgxa100.Server) { s.InitFunc = answers(driver.ERROR_UNKNOWN) }, nil, "does not let this container at its GPUs any more (Unknown Error)"},
		"half updated":  {func(s *dgxa100.Server) { s.InitFunc = answers(driver.ERROR_LIB_RM_VERSION_MISMATCH) }, nil, "restart the machine"},
		"no count":      {func(s *dgxa100.Server) { s.DeviceGetCountFunc = counts(0, driver.ERROR_UNKNOWN) }, nil, "counting the GPUs"},
		"-1 GPUs":       {func(s *dgxa100.Server) { s.DeviceGetCountFunc = counts(-1, driver.SUCCESS) }, nil, "tells of -1 GPUs"},
		"10^6 GPUs":     {func(s *dgxa100.Server) { s.DeviceGetCountFunc = counts(1_000_000, driver.SUCCESS) }, nil, "tells of 1000000 GPUs"},
	} {
		server := dgx()
		c.spoil(server)
		_, devices, err := newReader(server, Limit, Interval).Devices(t.Context())
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || len(devices) > gpuLimit {
			t.Errorf("%s: %d GPUs, %v", name, len(devices), err)
		}
	}
}

func answers(ret driver.Return) func() driver.Return { return func() driver.Return { return ret } }

func counts(n int, ret driver.Return) func() (int, driver.Return) {
	return func() (int, driver.Return) { return n, ret }
}

// TestHang: a driver that hangs costs one limit a question and one goroutine in all, and is asked again once it has come back.
func TestHang(t *testing.T) {
	server := dgx()
	release := make(chan struct{})
	var inside atomic.Int32
	card(server, 5).GetMemoryInfoFunc = func() (driver.Memory, driver.Return) {
		inside.Add(1)
		<-release
		return driver.Memory{Total: 40 << 30}, driver.SUCCESS
	}
	r := newReader(server, 20*time.Millisecond, Interval)
	for range 3 {
		if _, devices, err := r.Devices(t.Context()); !errors.Is(err, ErrHangs) || len(devices) != 0 {
			t.Errorf("a driver that hangs tells %d GPUs, %v", len(devices), err)
		}
	}
	if n := inside.Load(); n != 1 {
		t.Errorf("%d goroutines are in a driver that hangs", n)
	}
	close(release)
	r.limit = 10 * time.Second
	if _, devices, err := r.Devices(t.Context()); err != nil || len(devices) != 8 {
		t.Errorf("once it is back, it tells %d GPUs, %v", len(devices), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Devices(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a question that is not wanted any more: %v", err)
	}
}

// watched runs Watch over a server and hands out what it tells, one look after the other.
func watched(t *testing.T, server driver.Interface) func() []Change {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	told, done := make(chan []Change, 100), make(chan struct{})
	go func() {
		defer close(done)
		_ = newReader(server, time.Second, time.Millisecond).Watch(ctx, func(c []Change) { told <- c })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() []Change {
		select {
		case c := <-told:
			return c
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is told")
			return nil
		}
	}
}

// TestWatch: a GPU falls ill, gets well, vanishes; then the container loses them all, and gets them back.
func TestWatch(t *testing.T) {
	server := dgx()
	var stage atomic.Int32 // 1: GPU 6 tells no memory, 2: it is well, 3: it is gone, 4: all are gone, 5: they are back
	id := card(server, 6).UUID
	last := card(server, 7)
	card(server, 6).GetMemoryInfoFunc = func() (driver.Memory, driver.Return) {
		if stage.Load() == 1 {
			return driver.Memory{}, driver.ERROR_GPU_IS_LOST
		}
		return driver.Memory{Total: 40 << 30}, driver.SUCCESS
	}
	server.InitFunc = func() driver.Return {
		if stage.Load() == 4 {
			return driver.ERROR_UNKNOWN
		}
		return driver.SUCCESS
	}
	server.DeviceGetCountFunc = func() (int, driver.Return) {
		if stage.Load() >= 3 {
			return 7, driver.SUCCESS
		}
		return 8, driver.SUCCESS
	}
	server.DeviceGetHandleByIndexFunc = func(i int) (driver.Device, driver.Return) {
		if i == 6 && stage.Load() >= 3 {
			return last, driver.SUCCESS
		}
		return server.Devices[i], driver.SUCCESS
	}
	next := watched(t, server)
	for i, want := range []string{id + ": it does not tell its memory", id + " is well again", id + ": it is gone", "does not let this container", " is well again"} {
		stage.Store(int32(i + 1))
		if got := next(); len(got) != 1 || !strings.Contains(got[0].String(), want) {
			t.Fatalf("at stage %d it is told: %v, wanted %q", i+1, got, want)
		}
	}
}

// TestXid: an Xid that makes a GPU unfit is its fault from then on; one that a program causes is not.
func TestXid(t *testing.T) {
	server := dgx()
	events := make(chan uint64, 2)
	for i := range server.Devices {
		card(server, i).RegisterEventsFunc = func(uint64, driver.EventSet) driver.Return { return driver.SUCCESS }
	}
	server.EventSetCreateFunc = func() (driver.EventSet, driver.Return) {
		return &mock.EventSet{FreeFunc: func() driver.Return { return driver.SUCCESS }, WaitFunc: func(uint32) (driver.EventData, driver.Return) {
			select {
			case xid := <-events:
				return driver.EventData{Device: card(server, 1), EventType: driver.EventTypeXidCriticalError, EventData: xid}, driver.SUCCESS
			case <-time.After(time.Millisecond):
				return driver.EventData{}, driver.ERROR_TIMEOUT
			}
		}}, driver.SUCCESS
	}
	next := watched(t, server)
	events <- 31 // a program's page fault
	events <- 79
	if got := next(); len(got) != 1 || got[0].Device != card(server, 1).UUID || got[0].Fault != "Xid 79: it has fallen off the bus" {
		t.Errorf("it is told: %v", got)
	}
}

// TestNoLibraryHere asks the real library, which a machine without a GPU does not have: an error with words, and no crash.
func TestNoLibraryHere(t *testing.T) {
	_, devices, err := Open().Devices(t.Context())
	if err == nil {
		t.Skipf("this machine has NVIDIA's driver and %d GPUs", len(devices))
	}
	if !errors.Is(err, ErrNoDriver) && !strings.Contains(err.Error(), "driver") {
		t.Errorf("without a library it says %v", err)
	}
	if !errors.Is(Open().Watch(t.Context(), nil), ErrNoDriver) && errors.Is(err, ErrNoDriver) {
		t.Error("Watch does not say that there is no driver")
	}
}

func BenchmarkLook(b *testing.B) {
	r := newReader(dgx(), Limit, Interval)
	for b.Loop() {
		if _, _, err := r.Look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

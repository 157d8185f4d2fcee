//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	driver "github.com/NVIDIA/go-nvml/pkg/nvml"

	"raylink/raylink"
)

// Built says whether this build can read NVIDIA devices.
const Built = true

// Reader asks one library. It may be used from several goroutines; they wait for one another.
type Reader struct {
	api      driver.Interface
	limit    time.Duration
	interval time.Duration
	turn     chan struct{} // holds one thing while a goroutine is in the library

	mu     sync.Mutex
	xids   map[string]uint64 // by UUID: the last that made a GPU unfit, until this program ends
	last   []Status          // of the last look, where it went well
	lastAt time.Time
}

// Open prepares to ask the driver's library. Nothing is loaded yet.
func Open() *Reader { return newReader(driver.New(), Limit, Interval) }

func newReader(api driver.Interface, limit, interval time.Duration) *Reader {
	return &Reader{api: api, limit: limit, interval: interval, turn: make(chan struct{}, 1), xids: map[string]uint64{}}
}

// Devices lists the GPUs, in the driver's order. One that does not answer as it should is told with its Fault. The error is ErrNoDriver, ErrHangs, or
// tells in the driver's words why there is no answer.
func (r *Reader) Devices(ctx context.Context) (version string, devices []raylink.Device, err error) {
	version, statuses, err := r.Look(ctx)
	for _, s := range statuses {
		devices = append(devices, s.Device)
	}
	return version, devices, err
}

// Look is Devices with what the GPUs do at the moment.
func (r *Reader) Look(ctx context.Context) (version string, statuses []Status, err error) {
	answer, err := r.ask(ctx, r.look)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.lastAt = nil, time.Time{}
	if err != nil {
		return "", nil, err
	}
	for i := range answer.statuses {
		s := &answer.statuses[i]
		if s.Xid = r.xids[s.Device.ID]; s.Device.Fault == "" {
			s.Device.Fault = XidFault(s.Xid)
		}
	}
	if answer.err == nil {
		r.last, r.lastAt = slices.Clone(answer.statuses), time.Now()
	}
	return answer.version, answer.statuses, answer.err
}

// Last is what the last look found, as Watch takes one every Interval, and when; nothing before the first, and where the driver did not answer that one. It
// asks the driver nothing.
func (r *Reader) Last() ([]Status, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.last), r.lastAt
}

type answer struct {
	version  string
	statuses []Status
	err      error
}

// ask lets f into the library, alone, and waits for it no longer than the limit. What comes back too late is forgotten.
func (r *Reader) ask(ctx context.Context, f func() answer) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, ErrHangs)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return answer{}, fmt.Errorf("asking for the GPUs while an earlier question is open: %w", context.Cause(ctx))
	}
	done := make(chan answer, 1)
	go func() { // awaited below, or left behind in a driver that hangs
		defer func() { <-r.turn }()
		done <- f()
	}()
	select {
	case a := <-done:
		return a, nil
	case <-ctx.Done():
		return answer{}, fmt.Errorf("asking for the GPUs: %w", context.Cause(ctx))
	}
}

// gpuLimit bounds the GPUs that are asked, whatever the driver says of their number.
const gpuLimit = 64

func (r *Reader) look() answer {
	if err := r.begin(); err != nil {
		return answer{err: err}
	}
	defer r.api.Shutdown()
	var a answer
	if version, ret := r.api.SystemGetDriverVersion(); ret == driver.SUCCESS {
		a.version = plain(version)
	}
	count, ret := r.api.DeviceGetCount()
	if ret != driver.SUCCESS {
		a.err = fmt.Errorf("counting the GPUs: %w", words(ret))
		return a
	}
	if count < 0 || count > gpuLimit {
		a.err = fmt.Errorf("the driver tells of %d GPUs; the first %d are asked", count, gpuLimit)
	}
	for i := range min(count, gpuLimit) {
		a.statuses = append(a.statuses, r.status(i))
	}
	return a
}

func (r *Reader) begin() error {
	switch ret := r.api.Init(); ret {
	case driver.SUCCESS:
		return nil
	case driver.ERROR_LIBRARY_NOT_FOUND, driver.ERROR_DRIVER_NOT_LOADED:
		return fmt.Errorf("%w (%w)", ErrNoDriver, words(ret))
	case driver.ERROR_UNKNOWN, driver.ERROR_NO_PERMISSION:
		return fmt.Errorf("the driver does not let this container at its GPUs any more (%w); it has to be started anew", words(ret))
	default:
		return fmt.Errorf("starting NVIDIA's library: %w", words(ret))
	}
}

// words are the names of the returns that people look for; the library's own text of them needs the library.
func words(ret driver.Return) error {
	switch ret {
	case driver.ERROR_UNKNOWN:
		return errors.New("Unknown Error")
	case driver.ERROR_LIBRARY_NOT_FOUND:
		return errors.New("library not found")
	case driver.ERROR_DRIVER_NOT_LOADED:
		return errors.New("driver not loaded")
	case driver.ERROR_NOT_SUPPORTED:
		return errors.New("not supported")
	case driver.ERROR_NO_PERMISSION:
		return errors.New("no permission")
	case driver.ERROR_GPU_IS_LOST:
		return errors.New("the GPU is lost")
	case driver.ERROR_RESET_REQUIRED:
		return errors.New("the GPU needs a reset")
	case driver.ERROR_LIB_RM_VERSION_MISMATCH:
		return errors.New("driver and library are of different versions: restart the machine")
	}
	return fmt.Errorf("error %d of NVML", int(ret))
}

// status asks one GPU. What older drivers and smaller cards do not support is left out; what every card must tell and this one does not is its fault.
func (r *Reader) status(i int) Status {
	s := Status{Device: raylink.Device{ID: fmt.Sprintf("nvidia-%d", i), Kind: raylink.DeviceGPU, Vendor: "nvidia"}}
	d, ret := r.api.DeviceGetHandleByIndex(i)
	if ret != driver.SUCCESS {
		s.Device.Fault = "it cannot be reached: " + words(ret).Error()
		return s
	}
	fault := func(what string, err error) {
		if s.Device.Fault == "" {
			s.Device.Fault = what + ": " + err.Error()
		}
	}
	if uuid, ret := d.GetUUID(); ret != driver.SUCCESS {
		fault("it does not tell its UUID", words(ret))
	} else if !wellFormed(uuid) {
		fault("it has no UUID", fmt.Errorf("%.60q", plain(uuid)))
	} else {
		s.Device.ID = uuid
	}
	name, ret := d.GetName()
	if s.Device.Name = plain(name); ret != driver.SUCCESS || s.Device.Name == "" {
		fault("it does not tell its name", words(ret))
	}
	memory, ret := d.GetMemoryInfo()
	switch {
	case ret != driver.SUCCESS:
		fault("it does not tell its memory", words(ret))
	case memory.Total == 0 || memory.Total > math.MaxInt64:
		fault("it tells a memory that cannot be", fmt.Errorf("%d bytes", memory.Total))
	default:
		s.Device.Memory, s.Used = int64(memory.Total), int64(min(memory.Used, memory.Total))
	}
	if pci, ret := d.GetPciInfo(); ret == driver.SUCCESS {
		s.Device.Bus = bus(pci)
	}
	r.more(d, &s)
	return s
}

// more asks what not every card tells. The symbol of MIG is looked up first: drivers before 450 lack it, and calling what lacks would end the program.
func (r *Reader) more(d driver.Device, s *Status) {
	if r.api.Extensions().LookupSymbol("nvmlDeviceGetMigMode") == nil {
		if now, _, ret := d.GetMigMode(); ret == driver.SUCCESS {
			s.Device.MIG = now == driver.DEVICE_MIG_ENABLE
		}
	}
	if now, _, ret := d.GetEccMode(); ret == driver.SUCCESS {
		s.Device.ECC = "off"
		if now == driver.FEATURE_ENABLED {
			s.Device.ECC = "on"
		}
	}
	if v, ret := d.GetTemperature(driver.TEMPERATURE_GPU); ret == driver.SUCCESS && v < 1000 {
		s.Temperature = int(v)
	}
	if v, ret := d.GetPowerUsage(); ret == driver.SUCCESS && v < 10_000_000 {
		s.Power = int(v)
	}
	if v, ret := d.GetEnforcedPowerLimit(); ret == driver.SUCCESS && v < 10_000_000 {
		s.PowerLimit = int(v)
	}
	if all, ret := d.GetComputeRunningProcesses(); ret == driver.SUCCESS {
		s.Processes = []int{}
		for _, p := range all[:min(len(all), 1024)] {
			s.Processes = append(s.Processes, int(p.Pid))
		}
	}
}

// wellFormed says whether a text is a GPU's UUID, GPU- and 36 signs of hexadecimal and hyphens.
func wellFormed(uuid string) bool {
	rest, ok := strings.CutPrefix(uuid, "GPU-")
	return ok && len(rest) == 36 && strings.Trim(strings.ToLower(rest), "0123456789abcdef-") == ""
}

// bus is a PCI address as Linux writes it, with four digits of domain; NVML writes eight.
func bus(pci driver.PciInfo) string {
	var b strings.Builder
	for _, c := range pci.BusId {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	text := strings.ToLower(plain(b.String()))
	if domain, rest, ok := strings.Cut(text, ":"); ok && len(domain) == 8 {
		return domain[4:] + ":" + rest
	}
	return text
}

// plain makes one short line of printable ASCII of what a driver says.
func plain(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text)
	return strings.TrimSpace(text[:min(len(text), 120)])
}

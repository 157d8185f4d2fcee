package catalogue

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"raylink/raylink"
)

// Bounds of what any machine can claim.
const (
	maxGPUs     = 64      // of one host; the largest servers sold have 16 in one system image
	maxThreads  = 4096    // Linux's own bound for the machines it is built for is 8192
	maxMemory   = 1 << 46 // bytes of a host: 64 TiB
	maxVRAM     = 1 << 40 // bytes of a GPU: 1 TiB; the largest sold has 288 GiB
	maxText     = 256     // bytes of a name, an id and the like
	maxFeatures = 256
	maxProblems = 20 // told of one host; who claims a million GPUs is not told a million times
)

// Problem is one claim of a machine that cannot be.
type Problem struct {
	Device string // its id; empty where the host as a whole is meant
	What   string // in words, for people
}

// String is the problem in one line.
func (p Problem) String() string {
	if p.Device == "" {
		return p.What
	}
	return p.Device + ": " + p.What
}

// Check says what of a machine's claims cannot be true: at most 20 problems, none for a machine that may be what it says. It costs as
// much as the bounds allow, whatever is claimed.
func Check(h raylink.Host) []Problem {
	c := &checker{}
	c.host(h)
	ids, buses := map[string]bool{}, map[string]raylink.Device{}
	gpus := 0
	for i, d := range h.Devices {
		if len(c.found) >= maxProblems || i > maxGPUs {
			break
		}
		if !c.texts(d) {
			continue
		}
		if ids[d.ID] {
			c.add(d.ID, "the same id stands twice on this machine")
		}
		ids[d.ID] = true
		if d.Kind == raylink.DeviceCPU {
			c.processor(h, d, i)
			continue
		}
		gpus++
		c.gpu(d)
		if other, twice := buses[d.Bus]; d.Bus != "" && twice {
			c.sameBus(d, other)
		}
		buses[d.Bus] = d
	}
	if gpus == 0 && len(h.Devices) == 0 {
		c.add("", "it names no device, not even its processor")
	}
	return c.found
}

type checker struct{ found []Problem }

func (c *checker) add(device, format string, args ...any) {
	if len(c.found) < maxProblems {
		c.found = append(c.found, Problem{device, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) host(h raylink.Host) {
	if h.Arch != "amd64" && h.Arch != "arm64" {
		c.add("", "an architecture of %s, where there are amd64 and arm64", brief(h.Arch))
	}
	if h.Memory <= 0 || h.Memory > maxMemory {
		c.add("", "%d bytes of memory", h.Memory)
	}
	if len(h.Devices) > maxGPUs+1 {
		c.add("", "%d devices, where a machine has at most %d GPUs", len(h.Devices), maxGPUs)
	}
}

// texts checks what is shown to people, and says whether the rest is worth looking at.
func (c *checker) texts(d raylink.Device) bool {
	before := len(c.found)
	id := brief(d.ID)
	if d.ID == "" || bad(d.ID) {
		c.add(id, "an id of %d bytes that is empty, too long or not plain text", len(d.ID))
	}
	for _, t := range []struct{ what, text string }{{"name", d.Name}, {"vendor", d.Vendor}, {"model", d.Model}, {"bus address", d.Bus}, {"ECC state", d.ECC}} {
		if bad(t.text) {
			c.add(id, "a %s of %d bytes that is too long or not plain text", t.what, len(t.text))
		}
	}
	if len(d.Features) > maxFeatures {
		c.add(id, "%d features", len(d.Features))
	}
	if d.Kind != raylink.DeviceCPU && d.Kind != raylink.DeviceGPU {
		c.add(id, "a device of the kind %s", brief(string(d.Kind)))
	}
	return len(c.found) == before
}

// bad says that a text is too long, not UTF-8, or has signs that are not shown as they are (control signs, turned writing).
func bad(text string) bool {
	return len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func brief(text string) string {
	if len(text) > 40 || bad(text) {
		return fmt.Sprintf("%.40q…", strings.ToValidUTF8(text[:min(len(text), 40)], "?"))
	}
	return text
}

func (c *checker) processor(h raylink.Host, d raylink.Device, i int) {
	if i != 0 || d.ID != raylink.CPUDevice {
		c.add(d.ID, "a processor that does not stand first under the id %s", raylink.CPUDevice)
	}
	if d.Threads < 1 || d.Threads > maxThreads || d.Cores < 0 || d.Cores > d.Threads {
		c.add(d.ID, "%d cores with %d threads", d.Cores, d.Threads)
	}
	if d.Memory != 0 {
		c.add(d.ID, "a processor with %d bytes of its own", d.Memory)
	}
	e, known := Match(d)
	if !known {
		if d.Model != "" {
			c.add(d.ID, "it calls itself the catalogue's %s, which its name %q does not stand for", d.Model, d.Name)
		}
		return
	}
	c.model(d, e)
	// Eight sockets at most; names of server parts hide how many cores one has, so that is the whole of it.
	if d.Cores > e.CoresMax*sockets(e) {
		c.add(d.ID, "%d cores, where %s has at most %d", d.Cores, e.Name, e.CoresMax*sockets(e))
	}
	if arch := arch(e); arch != h.Arch {
		c.add(d.ID, "%s is %s, and the machine says %s", e.Name, arch, h.Arch)
	}
	if e.Vendor == "apple" && h.Memory > 512<<30 {
		c.add(d.ID, "%d GiB of memory, where no Mac has more than 512", h.Memory>>30)
	}
}

func sockets(e Entry) int {
	switch {
	case e.Name == "Xeon":
		return 8
	case strings.HasPrefix(e.Name, "EPYC"), e.Vendor == "ampere", strings.HasPrefix(e.Name, "Neoverse"):
		return 2
	}
	return 1
}

func arch(e Entry) string {
	if e.Vendor == "apple" || e.Vendor == "arm" || e.Vendor == "ampere" {
		return "arm64"
	}
	return "amd64"
}

func (c *checker) gpu(d raylink.Device) {
	if d.Memory <= 0 || d.Memory > maxVRAM {
		if d.Fault == "" { // a broken one cannot tell
			c.add(d.ID, "%d bytes of memory of its own", d.Memory)
		}
		return
	}
	e, known := Match(d)
	if !known {
		if d.Model != "" {
			c.add(d.ID, "it calls itself the catalogue's %s, which its name %q does not stand for", d.Model, d.Name)
		}
		return
	}
	c.model(d, e)
	if !d.MIG && (d.Memory < e.MemoryMin || d.Memory > e.MemoryMax) {
		c.add(d.ID, "%d MiB of memory, where %s has %d to %d", d.Memory>>20, e.Name, e.MemoryMin>>20, e.MemoryMax>>20)
	}
	if d.MIG && (d.Memory > e.MemoryMax || !sliced(e)) {
		c.add(d.ID, "%s cannot be cut into slices of %d MiB", e.Name, d.Memory>>20)
	}
}

// sliced says whether a model has MIG.
func sliced(e Entry) bool {
	for _, m := range []string{"A30", "A100", "A800", "H100", "H800", "H20", "GH200", "H200", "B200", "B300", "GB200", "RTX-PRO"} {
		if strings.HasPrefix(e.Name, m) {
			return true
		}
	}
	return false
}

// model checks what holds for processors and GPUs.
func (c *checker) model(d raylink.Device, e Entry) {
	if d.Model != "" && d.Model != e.Name {
		c.add(d.ID, "it calls itself the catalogue's %s, and its name %q stands for %s", d.Model, d.Name, e.Name)
	}
	if d.Vendor != "" && d.Vendor != e.Vendor {
		c.add(d.ID, "%s is made by %s, not by %s", e.Name, e.Vendor, d.Vendor)
	}
}

// sameBus: slices of one GPU share its address, and nothing else does.
func (c *checker) sameBus(d, other raylink.Device) {
	switch {
	case d.MIG && other.MIG:
	case d.MIG != other.MIG:
		c.add(d.ID, "the GPU at %s is offered whole and in slices", d.Bus)
	default:
		c.add(d.ID, "two GPUs at the address %s", d.Bus)
	}
}

// Package device finds out what this machine is: its processor, its memory, its GPUs, the versions of what the sandbox rests on, and the tiers of
// isolation that it has.
//
// Probe reads from Sources, so that tests feed it what other machines have said (testdata/README.md tells where each recording is from, and which
// were never recorded). All parsing is pure. Whatever cannot be read is left empty and told in a Note: a probe never fails, and never takes longer
// than its sources' limits allow.
package device

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"raylink/raylink"
)

// Machine is what the host has, whatever part of it is offered.
type Machine struct {
	Cores  int    // logical processors
	Memory int64  // bytes
	Arch   string // as Go names it: amd64, arm64
	Model  string // of the processor, as the system names it
}

// Look reads processor and memory alone, from this machine. The error says what could not be read.
func Look() (Machine, error) {
	h := raylink.Host{}
	s := System()
	cpu, notes := processor(s, &h)
	if len(notes) > 0 {
		return Machine{}, fmt.Errorf("reading what this machine is: %s", notes[0])
	}
	return Machine{Cores: cpu.Threads, Memory: h.Memory, Arch: s.Arch, Model: cpu.Name}, nil
}

// Note is something that a probe could not read, and why.
type Note struct {
	What string
	Why  string
}

// String is the note in one line.
func (n Note) String() string { return n.What + ": " + n.Why }

// Probe says what the machine behind the sources is: the processor first among the devices, then the GPUs in the order of their bus.
func Probe(ctx context.Context, s Sources) (raylink.Host, []Note) {
	h := raylink.Host{Arch: s.Arch, Versions: map[string]string{}, Isolation: []raylink.Isolation{raylink.IsolationContainer}}
	cpu, notes := processor(s, &h)
	system(s, &h, cpu)
	h.Devices = append(h.Devices, cpu.Device)
	gpus, told := nvidia(ctx, s, &h)
	notes = append(notes, told...)
	h.Devices = append(h.Devices, gpus...)
	h.Devices = append(h.Devices, amd(s)...)
	name(h.Devices)
	notes = append(notes, versions(ctx, s, &h)...)
	return h, notes
}

// processor reads processor and memory, from sysctl where the system has it and from /proc otherwise.
func processor(s Sources, h *raylink.Host) (Processor, []Note) {
	if s.Sysctl != nil {
		cpu, memory, err := ParseSysctl(s.Sysctl)
		h.Memory = memory
		return cpu, noted("processor and memory", err)
	}
	var notes []Note
	text, err := s.Read("/proc/cpuinfo")
	notes = append(notes, noted("processor", err)...)
	cpu := ParseCPUInfo(text)
	if cpu.Threads == 0 {
		cpu.Threads = s.Threads
	}
	cpu.Cores = cores(s, cpu)
	cpu.Cache = caches(s, cpu.Threads)
	text, err = s.Read("/proc/meminfo")
	if err == nil {
		h.Memory, err = ParseMemInfo(text)
	}
	return cpu, append(notes, noted("memory", err)...)
}

func noted(what string, err error) []Note {
	if err == nil {
		return nil
	}
	return []Note{{what, err.Error()}}
}

// system reads what the machine runs, and in what it runs.
func system(s Sources, h *raylink.Host, cpu Processor) {
	if s.Sysctl != nil {
		h.OS = "macOS"
		if v, ok := s.Sysctl("kern.osproductversion"); ok {
			h.OS += " " + clip(v)
		}
		if v, ok := s.Sysctl("kern.osrelease"); ok {
			h.Kernel = clip(v)
		}
		if v, ok := s.Sysctl("kern.hv_vmm_present"); ok && v == "1" {
			h.Virtual = "apple"
		}
		h.Isolation = []raylink.Isolation{} // no container reaches macOS itself; its Docker runs in a Linux VM, which is probed as Linux
	} else {
		text, _ := s.Read("/etc/os-release")
		h.OS = ParseOSRelease(text)
		text, _ = s.Read("/proc/sys/kernel/osrelease")
		h.Kernel = clip(text)
		h.Virtual = virtual(s, cpu, h.Kernel)
	}
	if h.Kernel != "" {
		h.Versions[raylink.VersionKernel] = h.Kernel
	}
	if s.Version != "" {
		h.Versions[raylink.VersionAgent] = s.Version
	}
}

// textLimit is how long anything may be that is read from the system and told on, in bytes. Longer things are cut.
const textLimit = 200

// clip makes one short line of printable signs of a text from outside.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > textLimit {
		text = strings.ToValidUTF8(text[:textLimit], "")
	}
	return strings.Join(strings.Fields(text), " ")
}

// features keeps the instruction sets that matter here, of a list of all, in the order of relevant.
func features(all []string) []string {
	var out []string
	for _, f := range relevant() {
		if slices.Contains(all, f) {
			out = append(out, f)
		}
	}
	return out
}

// relevant are the instruction sets by which products and hashes get faster, in Linux's own names.
func relevant() []string {
	return []string{
		"sse4_1", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8", "sha_ni",
		"asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "sha2",
	}
}

// Package device says what this machine is: cores, memory, architecture and the processor's name.
//
// GPUs are not looked for yet and never offered: a machine that has some rents out its processors alone.
package device

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what the host has, whatever part of it is offered.
type Machine struct {
	Cores  int    // logical processors
	Memory int64  // bytes
	Arch   string // as Go names it: amd64, arm64
	Model  string // of the processor, as the kernel names it
}

// Look reads the machine from /proc.
func Look() (Machine, error) {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return Machine{}, fmt.Errorf("reading what the processors are: %w", err)
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Machine{}, fmt.Errorf("reading how much memory there is: %w", err)
	}
	out := Machine{Arch: runtime.GOARCH}
	out.Model, out.Cores = ParseCPUInfo(string(cpu))
	if out.Cores == 0 {
		out.Cores = runtime.NumCPU()
	}
	if out.Memory, err = ParseMemInfo(string(memory)); err != nil {
		return Machine{}, err
	}
	return out, nil
}

// ParseCPUInfo reads Linux's /proc/cpuinfo. On arm64 the kernel gives no name, and the implementer's and the part's numbers stand for it.
func ParseCPUInfo(text string) (model string, cores int) {
	var implementer, part string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			cores++
		case "model name":
			model = value
		case "CPU implementer":
			implementer = value
		case "CPU part":
			part = value
		}
	}
	if model == "" && implementer != "" {
		model = "ARM implementer " + implementer + " part " + part
	}
	return model, cores
}

// ParseMemInfo reads MemTotal from Linux's /proc/meminfo, in bytes.
func ParseMemInfo(text string) (int64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		kib, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || kib <= 0 || kib > 1<<50 {
			return 0, fmt.Errorf("reading how much memory there is: %q is no size", strings.TrimSpace(rest))
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("reading how much memory there is: no MemTotal in /proc/meminfo")
}

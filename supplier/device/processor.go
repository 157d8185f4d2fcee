package device

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"raylink/raylink"
)

// Processor is a machine's processor as its system describes it.
type Processor struct {
	raylink.Device
	Hypervisor bool // it says itself that it is a virtual one

	parts []string // implementer:part of each kind of core, on arm64
}

// ParseCPUInfo reads Linux's /proc/cpuinfo, of amd64 and arm64. On arm64 the kernel gives no name, and the implementer's and the part's numbers are
// looked up (Arm's MIDR_EL1; the same numbers as in util-linux's lscpu).
func ParseCPUInfo(text string) Processor {
	p := Processor{Device: raylink.Device{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU}}
	var implementer, physical string
	cores := map[string]bool{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			if _, err := strconv.ParseUint(value, 10, 16); err == nil { // 32-bit kernels on ARM have their name there, too
				p.Threads++
			}
		case "model name":
			p.Name = clip(value)
		case "vendor_id":
			p.Vendor = vendor(value)
		case "physical id":
			physical = value
		case "core id":
			cores[physical+"/"+value] = true
		case "flags", "Features":
			if p.Features == nil {
				all := strings.Fields(value)
				p.Features, p.Hypervisor = features(all), slices.Contains(all, "hypervisor")
			}
		case "CPU implementer":
			implementer = value
		case "CPU part":
			if part := implementer + ":" + value; !slices.Contains(p.parts, part) && len(p.parts) < 8 {
				p.parts = append(p.parts, part)
			}
		}
	}
	p.Cores = min(len(cores), p.Threads)
	p.nameArm(implementer)
	return p
}

func vendor(id string) string {
	switch id {
	case "AuthenticAMD":
		return "amd"
	case "GenuineIntel":
		return "intel"
	case "HygonGenuine":
		return "hygon"
	}
	return strings.ToLower(clip(id))
}

// nameArm names an arm64 processor by the kinds of its cores, the fastest first. A "model name" that the kernel gives for 32-bit programs is no name.
func (p *Processor) nameArm(implementer string) {
	if implementer == "" {
		return
	}
	p.Vendor = map[string]string{"0x41": "arm", "0x61": "apple", "0xc0": "ampere", "0x51": "qualcomm", "0x48": "hisilicon", "0x4e": "nvidia", "0x46": "fujitsu"}[implementer]
	var names []string
	for _, part := range slices.Backward(slices.Sorted(slices.Values(p.parts))) {
		if name := armPart(part); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	p.Name = clip(strings.Join(names, " + "))
}

// armPart is the name of "implementer:part". Under Apple's hypervisor the part is 0 whatever the chip; Linux on the bare metal (Asahi) tells it.
func armPart(part string) string {
	if name, ok := armParts()[part]; ok {
		return name
	}
	implementer, number, _ := strings.Cut(part, ":")
	if implementer == "0x61" {
		return "Apple silicon"
	}
	return "ARM implementer " + clip(implementer) + " part " + clip(number)
}

func armParts() map[string]string {
	return map[string]string{
		"0x41:0xd03": "Cortex-A53", "0x41:0xd05": "Cortex-A55", "0x41:0xd07": "Cortex-A57", "0x41:0xd08": "Cortex-A72", "0x41:0xd0b": "Cortex-A76",
		"0x41:0xd0c": "Neoverse N1", "0x41:0xd40": "Neoverse V1", "0x41:0xd41": "Cortex-A78", "0x41:0xd42": "Cortex-A78AE", "0x41:0xd49": "Neoverse N2",
		"0x41:0xd4f": "Neoverse V2", "0x41:0xd83": "Neoverse V3AE", "0x41:0xd84": "Neoverse V3", "0x41:0xd8e": "Neoverse N3",
		"0xc0:0xac3": "Ampere-1", "0xc0:0xac4": "Ampere-1a",
		"0x61:0x022": "Apple M1", "0x61:0x023": "Apple M1", "0x61:0x024": "Apple M1 Pro", "0x61:0x025": "Apple M1 Pro", "0x61:0x028": "Apple M1 Max",
		"0x61:0x029": "Apple M1 Max", "0x61:0x032": "Apple M2", "0x61:0x033": "Apple M2", "0x61:0x034": "Apple M2 Pro", "0x61:0x035": "Apple M2 Pro",
		"0x61:0x038": "Apple M2 Max", "0x61:0x039": "Apple M2 Max",
	}
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
			return 0, fmt.Errorf("reading how much memory there is: %q is no size", clip(rest))
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("reading how much memory there is: no MemTotal in /proc/meminfo")
}

// ParseOSRelease is how a system calls itself, from os-release(5): PRETTY_NAME, or NAME; "Linux" where it has neither.
func ParseOSRelease(text string) string {
	named := "Linux"
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		value = clip(strings.Trim(value, `"'`))
		if !ok || value == "" {
			continue
		}
		switch key {
		case "PRETTY_NAME":
			return value
		case "NAME":
			named = value
		}
	}
	return named
}

const cpuFolder = "/sys/devices/system/cpu/cpu"

// cores is how many physical cores there are: what cpuinfo says, else the different rows of siblings in /sys, else one a thread.
func cores(s Sources, p Processor) int {
	if p.Cores > 0 {
		return p.Cores
	}
	rows := map[string]bool{}
	for i := range min(p.Threads, threadsLooked) {
		text, err := s.Read(cpuFolder + strconv.Itoa(i) + "/topology/thread_siblings_list")
		if err != nil {
			return p.Threads
		}
		rows[strings.TrimSpace(text)] = true
	}
	if p.Threads > threadsLooked {
		return p.Threads
	}
	return len(rows)
}

// threadsLooked bounds the files that are read for one processor.
const threadsLooked = 1024

// caches adds up the caches of the last level, each once however many threads share it.
func caches(s Sources, threads int) int64 {
	sums, seen := map[int]int64{}, map[string]bool{}
	for i := range min(threads, threadsLooked) {
		for index := range 8 {
			folder := cpuFolder + strconv.Itoa(i) + "/cache/index" + strconv.Itoa(index)
			text, err := s.Read(folder + "/level")
			if err != nil {
				break
			}
			level, err := strconv.Atoi(strings.TrimSpace(text))
			shared, _ := s.Read(folder + "/shared_cpu_list")
			size, _ := s.Read(folder + "/size")
			kind, _ := s.Read(folder + "/type")
			key := strconv.Itoa(level) + kind + shared
			if err != nil || seen[key] || strings.TrimSpace(kind) == "Instruction" {
				continue
			}
			seen[key] = true
			sums[level] += kibibytes(size)
		}
	}
	last := 0
	for level := range sums {
		last = max(last, level)
	}
	return sums[last]
}

// kibibytes reads "1024K" or "32M", in bytes; 0 for anything else.
func kibibytes(text string) int64 {
	text = strings.TrimSpace(text)
	for unit, shift := range map[string]int{"K": 10, "M": 20} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			if v, err := strconv.ParseInt(number, 10, 32); err == nil && v > 0 {
				return v << shift
			}
		}
	}
	return 0
}

// virtual is what the machine runs in, as far as it tells: wsl, apple, kvm, hyperv, vmware, virtualbox, xen, vm (it is virtual, and no more is
// known); empty on bare metal.
func virtual(s Sources, cpu Processor, kernel string) string {
	if lower := strings.ToLower(kernel); strings.Contains(lower, "microsoft") || strings.Contains(lower, "wsl") {
		return "wsl"
	}
	if cpu.Vendor == "apple" && strings.HasPrefix(cpu.Name, "Apple silicon") { // Linux on a Mac's bare metal knows the chip
		return "apple"
	}
	dmi := ""
	for _, f := range []string{"sys_vendor", "product_name"} {
		text, _ := s.Read("/sys/class/dmi/id/" + f)
		dmi += clip(text) + " "
	}
	clock, _ := s.Read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	for _, sign := range [][2]string{
		{"Apple Virtualization", "apple"}, {"QEMU", "kvm"}, {"KVM", "kvm"}, {"Amazon EC2", "kvm"}, {"Google Compute Engine", "kvm"}, {"OpenStack", "kvm"},
		{"Microsoft Corporation Virtual Machine", "hyperv"}, {"VMware", "vmware"}, {"innotek", "virtualbox"}, {"VirtualBox", "virtualbox"}, {"Xen", "xen"},
	} {
		if strings.Contains(dmi, sign[0]) {
			return sign[1]
		}
	}
	switch {
	case strings.TrimSpace(clock) == "kvm-clock":
		return "kvm"
	case strings.TrimSpace(clock) == "hyperv_clocksource_tsc_page":
		return "hyperv"
	case cpu.Hypervisor:
		return "vm"
	}
	return ""
}

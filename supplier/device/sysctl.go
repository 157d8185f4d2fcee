package device

import (
	"fmt"
	"strconv"
	"strings"

	"raylink/raylink"
)

// ParseSysctl reads an Apple machine by macOS's names for things (sysctl(3), "Determining system capabilities" in Apple's documentation): the processor,
// and the memory in bytes. get gives the text of one name, as the command sysctl -n prints it.
func ParseSysctl(get func(name string) (string, bool)) (Processor, int64, error) {
	p := Processor{Device: raylink.Device{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU}}
	number := func(name string) int64 {
		text, _ := get(name)
		v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil || v < 0 {
			return 0
		}
		return v
	}
	brand, _ := get("machdep.cpu.brand_string")
	p.Name = clip(brand)
	switch {
	case strings.HasPrefix(p.Name, "Apple"):
		p.Vendor = "apple"
	case strings.HasPrefix(p.Name, "Intel"):
		p.Vendor = "intel"
	}
	p.Threads, p.Cores = small(number("hw.logicalcpu")), small(number("hw.physicalcpu"))
	p.Cache = number("hw.perflevel0.l2cachesize")
	if p.Cache == 0 {
		p.Cache = number("hw.l2cachesize")
	}
	for _, f := range [][2]string{
		{"hw.optional.neon", "asimd"}, {"hw.optional.arm.AdvSIMD", "asimd"}, {"hw.optional.arm.FEAT_DotProd", "asimddp"}, {"hw.optional.arm.FEAT_I8MM", "i8mm"},
		{"hw.optional.arm.FEAT_BF16", "bf16"}, {"hw.optional.arm.FEAT_SME", "sme"}, {"hw.optional.arm.FEAT_SHA256", "sha2"}, {"hw.optional.avx2_0", "avx2"},
		{"hw.optional.avx512f", "avx512f"}, {"hw.optional.avx512bw", "avx512bw"},
	} {
		if number(f[0]) == 1 {
			p.Features = append(p.Features, f[1])
		}
	}
	p.Features = features(p.Features)
	memory := number("hw.memsize")
	if p.Name == "" || p.Threads == 0 || memory == 0 {
		return p, memory, fmt.Errorf("sysctl told the processor %q, %d threads and %d bytes of memory", p.Name, p.Threads, memory)
	}
	return p, memory, nil
}

func small(v int64) int {
	if v > 1<<20 {
		return 0
	}
	return int(v)
}

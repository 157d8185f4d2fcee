package raylink

import (
	"strings"
	"unicode"
)

// Bounds of an offer: more is refused as a mistake or a lie, by the coordinators and, before anybody has to wait for it, by the agent.
const (
	MaxCores  = 1024 * Unit
	MaxMemory = 64 << 40
	MaxGPUs   = 64 * Unit
	MaxRate   = 10_000_000_000 // 10,000 USD/h
	MaxLabel  = 128            // bytes of a label's name or value, an accelerator's or custom resource's name
	maxLabels = 64
)

// Check refuses what no machine can mean.
func (o Offer) Check() error {
	r := o.Resources
	switch {
	case r.CPU <= 0 || r.CPU > MaxCores:
		return Errorf(CodeInvalid, "an offer has more than 0 and at most %d cores", MaxCores/Unit)
	case r.Memory < 64<<20 || r.Memory > MaxMemory:
		return Errorf(CodeInvalid, "an offer has from 64 MiB to 64 TiB of memory")
	case r.GPU < 0 || r.GPU > MaxGPUs || r.GPU%Unit != 0:
		return Errorf(CodeInvalid, "an offer has from 0 to %d whole GPUs", MaxGPUs/Unit)
	case o.CPUHour < 0 || o.GPUHour < 0 || o.CPUHour > MaxRate || o.GPUHour > MaxRate:
		return Errorf(CodeInvalid, "a price is from 0 to 10,000 USD an hour")
	case o.Arch != "amd64" && o.Arch != "arm64":
		return Errorf(CodeUnsupported, "unknown architecture %q", o.Arch).WithHint("amd64 and arm64 are known")
	case len(o.Labels) > maxLabels || len(r.Custom) > maxLabels:
		return Errorf(CodeInvalid, "an offer has at most %d labels and %d custom resources", maxLabels, maxLabels)
	}
	word := func(text string) bool { return len(text) <= MaxLabel && Printable(text) }
	if !word(o.Accelerator) {
		return Errorf(CodeInvalid, "an accelerator's name has at most %d bytes of printable characters", MaxLabel)
	}
	for k, v := range o.Labels {
		if !word(k) || !word(v) || k == "" {
			return Errorf(CodeInvalid, "a label's name and value have at most %d bytes of printable characters", MaxLabel)
		}
	}
	for k, v := range r.Custom {
		if !word(k) || k == "" || v <= 0 {
			return Errorf(CodeInvalid, "a custom resource has a name of at most %d bytes and a positive quantity", MaxLabel)
		}
	}
	return nil
}

// Printable says whether a text shows as it is, on one line.
func Printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

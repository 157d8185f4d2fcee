package catalogue

import (
	"fmt"
	"maps"

	"raylink/billing/money"
	"raylink/raylink"
)

// LabelProcessor is the machine's processor, by the catalogue's name. Groups ask by it for machines without a GPU.
const LabelProcessor = raylink.LabelProcessor

// Bounds is what an owner rents out at most, and at what price. Zero bounds nothing.
type Bounds struct {
	CPU     int64 // in 1/10,000 of a core
	Memory  int64 // bytes
	GPUs    int   // devices; negative offers none
	CPUHour money.Rate
	GPUHour money.Rate
	Labels  map[string]string
}

// Left is a GPU that is not offered, and why.
type Left struct{ Device, Why string }

// Offer is what a machine rents out within bounds; the ids of the GPUs that it offers, in the host's order; and which it leaves and why. A lease
// is told one accelerator, so GPUs of one model alone are offered: of several, the model with the most memory in sum. Sliced, faulty and unknown
// GPUs stay out. A machine without a GPU to offer has its processor's name as its accelerator where that is a product by which people ask (Apple's).
func Offer(h raylink.Host, b Bounds) (offer raylink.Offer, gpus []string, left []Left) {
	offer = raylink.Offer{Arch: h.Arch, CPUHour: b.CPUHour, GPUHour: b.GPUHour, Labels: maps.Clone(b.Labels)}
	if offer.Labels == nil {
		offer.Labels = map[string]string{}
	}
	offer.Resources.CPU, offer.Resources.Memory = b.CPU, b.Memory
	if offer.Resources.Memory == 0 {
		offer.Resources.Memory = h.Memory / 10 * 9 // the rest is the system's and the agent's
	}
	for _, d := range h.Devices {
		if d.Kind != raylink.DeviceCPU {
			continue
		}
		if offer.Resources.CPU == 0 {
			offer.Resources.CPU = int64(d.Threads) * raylink.Unit
		}
		if e, ok := Match(d); ok {
			offer.Labels[LabelProcessor] = e.Name
			if e.Vendor == "apple" {
				offer.Accelerator = e.Name
			}
		}
	}
	model, left := choose(h, b)
	if model == "" {
		return offer, nil, left
	}
	for _, d := range h.Devices {
		switch e, ok := usable(d); {
		case !ok:
		case e.Name != model:
			left = append(left, Left{d.ID, fmt.Sprintf("it is a %s, and one lease has GPUs of one model: the %s are offered", e.Name, model)})
		case b.GPUs > 0 && len(gpus) == b.GPUs:
			left = append(left, Left{d.ID, fmt.Sprintf("the owner offers %d", b.GPUs)})
		default:
			gpus = append(gpus, d.ID)
		}
	}
	offer.Accelerator = model
	offer.Resources.GPU = int64(len(gpus)) * raylink.Unit
	return offer, gpus, left
}

// choose finds the model with the most memory in sum, the first of equals; the rest of what cannot be offered is left with its reason.
func choose(h raylink.Host, b Bounds) (model string, left []Left) {
	sums := map[string]int64{}
	for _, d := range h.Devices {
		if d.Kind != raylink.DeviceGPU {
			continue
		}
		e, ok := usable(d)
		if why := unusable(d, ok, b); why != "" {
			left = append(left, Left{d.ID, why})
			continue
		}
		if sums[e.Name] += d.Memory; sums[e.Name] > sums[model] {
			model = e.Name
		}
	}
	return model, left
}

func usable(d raylink.Device) (Entry, bool) {
	e, ok := Match(d)
	return e, ok && e.Vendor == "nvidia" && d.Kind == raylink.DeviceGPU && d.Fault == "" && !d.MIG && d.ID != ""
}

func unusable(d raylink.Device, ok bool, b Bounds) string {
	switch {
	case b.GPUs < 0:
		return "the owner offers no GPU"
	case d.Fault != "":
		return d.Fault
	case d.MIG:
		return "it is cut into slices (MIG), which are not offered"
	case d.Vendor != "" && d.Vendor != "nvidia":
		return fmt.Sprintf("Raylink does not put GPUs of %s into containers yet", d.Vendor)
	case !ok:
		return fmt.Sprintf("the catalogue knows no model %q", d.Name)
	}
	return ""
}

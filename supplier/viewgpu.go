package supplier

import (
	"time"

	"raylink/supplier/device/nvml"
)

// GPUReadings is what the last look at the GPUs found, and when; nvml's Reader.Last is one.
type GPUReadings func() ([]nvml.Status, time.Time)

// ViewGPU is what one GPU did when it was last looked at. What its driver does not tell is left out.
type ViewGPU struct {
	Device      string    `json:"device"` // its UUID
	Name        string    `json:"name"`
	At          time.Time `json:"at"`
	Temperature int       `json:"temperature_celsius,omitempty"`
	Power       int       `json:"power_milliwatts,omitempty"`
	PowerLimit  int       `json:"power_limit_milliwatts,omitempty"`
	Used        int64     `json:"used_bytes,omitempty"`
	Memory      int64     `json:"memory_bytes,omitempty"`
	Processes   []int     `json:"processes,omitempty"` // ids, as the agent's namespace sees them
}

// showGPUs is what the GPUs did, for the view.
func (a *Agent) showGPUs() []ViewGPU {
	if a.parts.GPUReadings == nil {
		return nil
	}
	var out []ViewGPU
	statuses, at := a.parts.GPUReadings()
	for _, s := range statuses {
		out = append(out, ViewGPU{Device: s.Device.ID, Name: s.Device.Name, At: at.UTC(), Temperature: s.Temperature, Power: s.Power, PowerLimit: s.PowerLimit,
			Used: s.Used, Memory: s.Device.Memory, Processes: s.Processes})
	}
	return out
}

package coordinator

import (
	"testing"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// TestBand: a claim goes to the catalogue whole, and what it does not know has no band.
func TestBand(t *testing.T) {
	ryzen := state.Claim{Kind: raylink.DeviceCPU, Name: "AMD Ryzen 9 7950X 16-Core Processor", Cores: 16, Threads: 32}
	least, most := band(ryzen)
	half := ryzen
	half.Threads = 16
	if _, fewer := band(half); least <= 0 || most <= least || fewer >= most {
		t.Errorf("a Ryzen 9 7950X does %d to %d, with half its threads up to %d", least, most, fewer)
	}
	if reads(state.Claim{Kind: raylink.DeviceGPU, Name: "NVIDIA H100 80GB HBM3", Memory: 80 << 30}) < 2_000 || reads(ryzen) != 0 {
		t.Error("an H100's memory is asked for nothing, or a processor's for something")
	}
	if l, m := band(state.Claim{Kind: raylink.DeviceCPU, Name: "a processor that nobody makes"}); l != 0 || m != 0 {
		t.Errorf("an unknown processor does %d to %d", l, m)
	}
}

package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/wire"
)

// claimed is a machine that offers all of its GPUs under a label.
func claimed(label string, change func(*raylink.Host), gpus ...string) *state.Machine {
	m := &state.Machine{ID: machineID("mone"), State: state.MachineActive, Host: hostOf(gpus...), Offer: offerOf(8, 16, 10_000)}
	m.Offer.Resources.GPU, m.Offer.Accelerator = int64(len(gpus))*raylink.Unit, label
	if change != nil {
		change(m.Host)
	}
	return m
}

// TestDoubt: what cannot be is told, without a UUID and short enough for the log; what an honest machine says is not doubted.
func TestDoubt(t *testing.T) {
	for what, c := range map[string]struct {
		m    *state.Machine
		want string
	}{
		"honest":         {claimed("RTX-4090", nil, "GPU-a", "GPU-b"), ""},
		"no label":       {claimed("", nil, "GPU-a"), ""},
		"no GPU":         {claimed("", nil), ""},
		"few threads":    {claimed("", func(h *raylink.Host) { h.Devices[0].Threads = 2 }), ""},
		"another memory": {claimed("RTX-4090", func(h *raylink.Host) { h.Devices[1].Memory = 80 << 30 }, "GPU-a"), "NVIDIA GeForce RTX 4090: 81920 MiB of memory, where"},
		"not rented out": {claimed("", func(h *raylink.Host) {
			h.Devices = append(h.Devices, raylink.Device{ID: "GPU-x", Kind: raylink.DeviceGPU, Name: "NVIDIA GeForce RTX 4090", Memory: 48 << 30, Fault: "the owner offers no GPU"})
		}), ""},
		"another model": {claimed("H100", nil, "GPU-a"), "it offers GPUs of the model H100, and one is of the model RTX-4090"},
		"no such thing": {claimed("H100", func(h *raylink.Host) { h.Devices[1].Name = "a GPU" }, "GPU-a"), `it offers GPUs of the model H100, and one calls itself "a GPU"`},
		"newer":         {claimed("RTX-6090", func(h *raylink.Host) { h.Devices[1].Name = "NVIDIA GeForce RTX 6090" }, "GPU-a"), ""},
		"two models":    {claimed("RTX-4090", func(h *raylink.Host) { h.Devices[2].Name = "NVIDIA GeForce RTX 3090" }, "GPU-a", "GPU-b"), "and one is of the model RTX-3090"},
		"an Apple": {claimed("M2-Pro", func(h *raylink.Host) {
			h.Arch, h.Devices[0].Name, h.Devices[0].Cores, h.Devices[0].Threads = "arm64", "Apple M2 Pro", 10, 10
		}), ""},
		"no Apple":       {claimed("M2-Pro", nil), "it offers the accelerator M2-Pro, and its own is "},
		"a bare label":   {claimed("H100", nil), "it offers the accelerator H100 and no GPU"},
		"many cores":     {claimed("", func(h *raylink.Host) { h.Devices[0].Cores = 200 }), "200 cores, where"},
		"a long name":    {claimed("H100", func(h *raylink.Host) { h.Devices[1].Name = strings.Repeat("é", 64) }, "GPU-a"), "one calls itself"},
		"a foreign arch": {claimed("", func(h *raylink.Host) { h.Arch = "arm64" }), "is amd64, and the machine says arm64"},
	} {
		got := doubt(c.m)
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") || strings.Contains(got, "GPU-") || len(got) > 256 {
			t.Errorf("%s: %q", what, got)
		}
	}
	named := claimed("RTX-4090", nil, "GPU-a")
	own, _ := catalogue.Match(named.Host.Devices[0])
	for label, want := range map[string]string{own.Name: "", "M4-Ultra": "it offers the processor M4-Ultra, and its own is " + own.Name} {
		named.Offer.Labels = map[string]string{raylink.LabelProcessor: label}
		if got := doubt(named); got != want {
			t.Errorf("it calls its processor %q: %q", label, got)
		}
	}
	emulated := claimed("", func(h *raylink.Host) { h.Arch = "arm64" })
	emulated.Offer.Labels = map[string]string{raylink.LabelEmulated: "true"}
	if got := doubt(emulated); got != "" {
		t.Errorf("an emulated machine: %q", got)
	}
}

// TestDoubtStands: a machine that was found out stays apart until it says something else, whatever comes and goes meanwhile; and one that was let in by
// an older catalogue is found out within an hour.
func TestDoubtStands(t *testing.T) {
	w := newWorld(t)
	w.machine("mone", w.account("sam", ""), offerOf(8, 16, 10_000))
	one := w.s.Machines[machineID("mone")]
	lie := hostOf("GPU-a")
	lie.Devices[1].Memory = 80 << 30
	apart := func(what string, want raylink.Reason) {
		t.Helper()
		w.settle()
		if st := StandingOf(w.s, w.seen, one.ID, w.now); st.Reason != want {
			t.Errorf("%s: %s %s", what, st.Reason, st.Detail)
		}
	}
	w.hear("mone", wire.AgentReport{Host: lie})
	apart("it lies", raylink.ReasonImplausible)
	since := one.Quarantine.Since
	for range 5 {
		w.now = w.now.Add(10 * time.Minute)
		w.hear("mone", wire.AgentReport{Host: lie})
		apart("it still lies", raylink.ReasonImplausible)
	}
	if !one.Quarantine.Since.Equal(since) {
		t.Error("it was quarantined again and again")
	}
	w.hear("mone", wire.AgentReport{Host: hostOf("GPU-a")})
	apart("the truth", raylink.ReasonNone)

	one.Host.Devices[1].Memory = 80 << 30 // as a log from before may have it
	found := 0
	for range claimTurns {
		w.now = w.now.Add(time.Second)
		w.hear("mone", wire.AgentReport{})
		if one.Quarantine != nil {
			found++
		}
		w.settle()
	}
	if found == 0 || one.Quarantine == nil {
		t.Error("nobody looked within an hour")
	}
}

// TestBrokenGPUs: what is broken or gone is followed at once, and no agent fills the log by taking it in turns.
func TestBrokenGPUs(t *testing.T) {
	w := newWorld(t)
	w.machine("mone", w.account("sam", ""), offerOf(8, 16, 10_000))
	one := w.s.Machines[machineID("mone")]
	say := func(gpus ...string) int64 { // with a ! those that are faulty
		h := hostOf(gpus...)
		for i := range h.Devices {
			if id, faulty := strings.CutSuffix(h.Devices[i].ID, "!"); faulty {
				h.Devices[i].ID, h.Devices[i].Fault = id, "gone"
			}
		}
		w.now = w.now.Add(time.Second)
		w.hear("mone", wire.AgentReport{Host: h})
		w.settle()
		return int64(len(one.GPUs()))
	}
	for i, step := range []struct {
		gpus []string
		want int64
	}{{[]string{"a", "b", "c"}, 3}, {[]string{"a", "b!", "c"}, 2}, {[]string{"a", "b!"}, 1}, {[]string{"a", "b", "c"}, 1}, {[]string{}, 0}} {
		if got := say(step.gpus...); got != step.want {
			t.Errorf("step %d: %d GPUs can be used, want %d", i, got, step.want)
		}
	}
	w.now = w.now.Add(HostRest)
	say("a", "b!")
	before := w.index
	for range 20 {
		say("a!", "b")
		say("a", "b!")
	}
	if n := w.index - before; n > 4 {
		t.Errorf("%d entries in 40 s", n)
	}
}

// TestPlaceUntoldGPUs: a machine that has not told which GPUs it has can give none, whatever it offers: a lease gets particular ones.
func TestPlaceUntoldGPUs(t *testing.T) {
	w := newWorld(t)
	offer := offerOf(8, 16, 10_000)
	offer.Resources.GPU = 2 * raylink.Unit
	w.machine("mone", w.account("sam", ""), offer)
	w.report()
	spec := specOf("c", 0, 1)
	if _, err := Place(w.s, w.seen, w.now, spec); err != nil {
		t.Fatal(err)
	}
	spec.Head.Resources.GPU = raylink.Unit
	if _, err := Place(w.s, w.seen, w.now, spec); !strings.Contains(fmt.Sprint(err), "1 without enough free GPUs") {
		t.Errorf("%v", err)
	}
	w.hear("mone", wire.AgentReport{Host: hostOf("GPU-a", "GPU-b")})
	w.settle()
	if _, err := Place(w.s, w.seen, w.now, spec); err != nil {
		t.Error(err)
	}
}

// BenchmarkSupplyLook is what one look costs the leader when 100,000 machines are well.
func BenchmarkSupplyLook(b *testing.B) {
	w := newWorld(b)
	for i := range 100_000 {
		m := claimed("RTX-4090", nil, fmt.Sprint("GPU-", i))
		m.ID = raylink.MachineID(fmt.Sprint("m-", i))
		w.s.Machines[m.ID] = m
	}
	for b.Loop() {
		if did := supply(w.s, w.seen, noon); len(did) > 0 {
			b.Fatal(did)
		}
	}
}

// TestRayIsToldTheDevice: a node's resources are the catalogue's, under all names by which Ray programs ask for the device; a node without a GPU has none of a GPU's,
// and one on a Mac has the Mac's.
func TestRayIsToldTheDevice(t *testing.T) {
	one, none := raylink.NodeGroup{Resources: raylink.Resources{GPU: raylink.Unit}}, raylink.NodeGroup{}
	for _, c := range []struct {
		accelerator string
		group       raylink.NodeGroup
		want        string
	}{
		{"A100-80G", one, "map[accelerator_type:A100:10000 accelerator_type:A100-80G:10000]"}, {"A100-80G", none, "map[]"}, {"M2-Pro", none, "map[accelerator_type:M2-Pro:10000]"},
		{"RTX-9999", one, "map[]"}, {"", none, "map[]"},
	} {
		if got := fmt.Sprint(rayDevice(c.accelerator, c.group)); got != c.want {
			t.Errorf("%q: %s", c.accelerator, got)
		}
	}
	w := newWorld(t)
	w.machine("mone", w.account("sam", ""), offerOf(8, 16, 60_000))
	offer := &w.s.Machines[machineID("mone")].Offer
	offer.Accelerator, offer.Labels = "M2-Pro", map[string]string{raylink.LabelProcessor: "M2-Pro"}
	c := w.create(w.account("ada", "10"), specOf("one", 0, 1))
	line := strings.Join(order(w.s, w.s.Leases[c.Leases[0]]).Command, " ")
	for _, want := range []string{`"accelerator_type:M2-Pro":1`, "raylink.io/processor=M2-Pro", "ray.io/accelerator-type=M2-Pro"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
}

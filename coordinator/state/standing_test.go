package state

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
)

// hostOf is a machine with these GPUs of NVIDIA.
func hostOf(gpus ...string) raylink.Host {
	h := raylink.Host{OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-28-amd64", Arch: "amd64", Memory: 64 << 30, Isolation: []raylink.Isolation{raylink.IsolationContainer},
		Devices:  []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Vendor: "amd", Name: "AMD Ryzen 9 7950X", Cores: 16, Threads: 32, Features: []string{"avx2"}}},
		Versions: map[string]string{raylink.VersionKernel: "6.1.0-28-amd64", raylink.VersionAgent: "0.5.0"}}
	for _, id := range gpus {
		h.Devices = append(h.Devices, raylink.Device{ID: id, Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: "NVIDIA GeForce RTX 4090", Memory: 24 << 30})
	}
	return h
}

// versions is a policy that an operator signed at a time.
func (w *world) versions(operator string, at time.Time, pairs ...string) *SetVersions {
	c := &SetVersions{Minimum: map[string]string{}, SignedAt: at, Operator: identity.EncodeKey(publicOf(operator))}
	for i := 0; i < len(pairs); i += 2 {
		c.Minimum[pairs[i]] = pairs[i+1]
	}
	c.Signature = identity.Sign(keyOf(operator), identity.VersionsBytes(c.Minimum, at))
	return c
}

// TestHostIsBounded: what no machine can be is refused, and nothing of it stays.
func TestHostIsBounded(t *testing.T) {
	w, _ := small(t, "10")
	many := make([]string, MaxDevices)
	for i := range many {
		many[i] = fmt.Sprint("gpu-", i)
	}
	w.must(&SetHost{ID: machineID("mone"), Host: hostOf(many[:MaxDevices-1]...)})
	gpu := func(change func(*raylink.Device)) raylink.Host {
		h := hostOf("gpu-one")
		change(&h.Devices[1])
		return h
	}
	host := func(change func(*raylink.Host)) raylink.Host {
		h := hostOf()
		change(&h)
		return h
	}
	bad := map[string]raylink.Host{
		"65 GPUs": hostOf(many...), "the same twice": hostOf("a", "a"), "no id": hostOf(""), "two processors": hostOf(raylink.CPUDevice),
		"no devices": host(func(h *raylink.Host) { h.Devices = nil }), "a GPU first": host(func(h *raylink.Host) { h.Devices[0].Kind = raylink.DeviceGPU }),
		"no system": host(func(h *raylink.Host) { h.OS = "" }), "arch": host(func(h *raylink.Host) { h.Arch = "sparc" }), "memory": host(func(h *raylink.Host) { h.Memory = math.MaxInt64 }),
		"threads": host(func(h *raylink.Host) { h.Devices[0].Threads = 1 << 20 }), "tier": host(func(h *raylink.Host) { h.Isolation = []raylink.Isolation{"chroot"} }),
		"a tier twice":   host(func(h *raylink.Host) { h.Isolation = []raylink.Isolation{"vm", "vm"} }),
		"versions":       host(func(h *raylink.Host) { h.Versions = map[string]string{"": "1"} }),
		"GPU memory":     gpu(func(d *raylink.Device) { d.Memory = 5 << 40 }),
		"less than none": gpu(func(d *raylink.Device) { d.Memory = -1 }), "another kind": gpu(func(d *raylink.Device) { d.Kind = "tpu" }),
		"fault": gpu(func(d *raylink.Device) { d.Fault = strings.Repeat("x", 257) }), "features": gpu(func(d *raylink.Device) { d.Features = make([]string, 65) }),
	}
	for what, text := range texts() {
		bad["name: "+what] = gpu(func(d *raylink.Device) { d.Name = text })
		bad["runtime: "+what] = host(func(h *raylink.Host) { h.Runtime = text })
		bad["kernel: "+what] = host(func(h *raylink.Host) { h.Kernel = text })
		bad["version: "+what] = host(func(h *raylink.Host) { h.Versions = map[string]string{"kernel": text} })
	}
	for what, h := range bad {
		t.Run(what, func(t *testing.T) {
			before := contents(t, w.s)
			if err := w.try(&SetHost{ID: machineID("mone"), Host: h}); err == nil || raylink.AsError(err).Code == raylink.CodeInternal || contents(t, w.s) != before {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
}

// TestEarlier: of two machines with one GPU exactly the later claimant has an earlier one, however often either says it again, and after a snapshot.
func TestEarlier(t *testing.T) {
	w, _ := small(t, "10")
	one, two := machineID("mone"), machineID("mtwo")
	w.must(&SetHost{ID: one, Host: hostOf("a", "b")})
	w.now = w.now.Add(time.Second)
	w.must(&SetHost{ID: two, Host: hostOf("b", "c")})
	w.now = w.now.Add(time.Second)
	w.must(&SetHost{ID: one, Host: hostOf("b", "x")}, &SetHost{ID: two, Host: hostOf("c", "b")})
	for range 2 {
		if gpu, other, ok := w.s.Earlier(two); gpu != "b" || other != one || !ok {
			t.Errorf("two: %s of %s, %v", gpu, other, ok)
		}
		if _, _, ok := w.s.Earlier(one); ok {
			t.Error("one has it too late as well")
		}
		w.s = reload(t, w.s)
	}
	w.must(&SetMachine{ID: one, State: MachineBanned, Admin: true})
	if _, _, ok := w.s.Earlier(two); ok {
		t.Error("what is banned still claims")
	}
	w.must(&SetMachine{ID: one, State: MachineActive, Admin: true}, &SetHost{ID: one, Host: hostOf("x")})
	if _, _, ok := w.s.Earlier(two); ok {
		t.Error("what was given up is still claimed")
	}
	w.must(&SetHost{ID: one, Host: hostOf("b")})
	if gpu, _, ok := w.s.Earlier(one); gpu != "b" || !ok {
		t.Error("who gives up a claim comes last when he makes it again")
	}
}

// TestLeasesGetGPUs: each lease has GPUs of its own, faulty ones are given to nobody, and they are free when the lease is gone.
func TestLeasesGetGPUs(t *testing.T) {
	w, tenant := small(t, "10")
	offer := offerOf(8, 16, "0.01")
	offer.Resources.GPU = 3 * raylink.Unit
	h := hostOf("a", "b", "c")
	h.Devices[2].Fault = "fallen off the bus"
	w.must(&SetOffer{ID: machineID("mone"), Offer: offer}, &SetHost{ID: machineID("mone"), Host: h})
	make := func(name string) string {
		q := w.quoteOf(name, tenant, 1, "mone")
		q.Nodes[0].Resources.GPU = raylink.Unit
		q.Nodes[0].Rate, _ = RateOf(offer, q.Nodes[0].Resources)
		w.must(q, createOf(name, tenant, 1))
		return strings.Join(w.s.Leases[leaseOf(name, 0)].Devices, ",")
	}
	if got := make("one") + " " + make("two"); got != "a c" {
		t.Errorf("they got %s", got)
	}
	w.must(&EndCluster{ID: id[raylink.ClusterID]("c", "one"), Reason: "x"})
	w.gone(id[raylink.ClusterID]("c", "one"))
	if got := make("three"); got != "a" {
		t.Errorf("the third got %q", got)
	}
}

// TestMeasured: a minute counts for the machine if it served, against it if a gateway saw that it did not; what nobody saw, and a mass loss, count for
// nothing; before a hundred minutes no reliability is said.
func TestMeasured(t *testing.T) {
	w, tenant := small(t, "100")
	w.cluster("one", tenant, 1, "mone")
	w.now = w.now.Add(200 * time.Minute)
	lease, record := leaseOf("one", 0), &w.s.Machines[machineID("mone")].Record
	for i, c := range []struct {
		agent, gateway int
		excused        bool
		served, lost   int64
	}{{60, 60, false, 1, 0}, {44, 60, false, 1, 1}, {60, 10, false, 1, 2}, {-1, 60, false, 1, 3}, {60, -1, false, 1, 3}, {-1, -1, false, 1, 3}, {60, 0, true, 1, 3}, {60, 60, true, 2, 3}} {
		m := w.minute(lease, int64(i), "mone", "gone", c.agent, c.gateway)
		m.Excused = c.excused
		if w.settle(m); record.Served != c.served || record.Lost != c.lost {
			t.Errorf("minute %d: %+v", i, *record)
		}
	}
	for i := range 95 {
		if record.Reliability() != nil {
			t.Fatalf("reliable after %d minutes", record.Served+record.Lost)
		}
		w.settle(w.minute(lease, int64(8+i), "mone", "gone", 60, 60))
	}
	if r := record.Reliability(); r == nil || *r != 9700 {
		t.Errorf("%+v", *record)
	}
}

// TestFailuresAreCounted: each lease that fails counts once, whoever says it; before Ray's start it counts in a row, which a charged minute ends.
func TestFailuresAreCounted(t *testing.T) {
	w, tenant := small(t, "100")
	record := &w.s.Machines[machineID("mone")].Record
	fail := func(name, stage, reason string, told bool) {
		c := createOf(name, tenant, 1)
		f := &raylink.Failure{Stage: stage, Machine: machineID("mone"), Reason: reason}
		w.must(w.quoteOf(name, tenant, 1, "mone"), c)
		for range 2 {
			if told {
				w.must(&RecordLeases{Facts: []LeaseFact{{Lease: leaseOf(name, 0), Stage: raylink.StageImage, Failure: f}}})
			}
		}
		w.must(&EndCluster{ID: c.ID, Reason: "x", Failure: f}, &EndCluster{ID: c.ID, Reason: "x", Failure: f})
		w.gone(c.ID)
	}
	for _, c := range []struct {
		name, stage string
		told        bool
		all         int64
		row         int
	}{{"a", "image", true, 1, 1}, {"b", "overlay", false, 2, 2}, {"d", "head", true, 3, 2}, {"e", "ready", false, 4, 2}, {"f", "image", true, 5, 3}} {
		if fail(c.name, c.stage, "because", c.told); record.Failures != c.all || record.Row != c.row {
			t.Errorf("after %s: %+v", c.name, *record)
		}
	}
	if r := record.Stages[0]; r.Stage != "image" || r.Count != 2 || len(record.Stages) != 4 {
		t.Errorf("%+v", record.Stages)
	}
	w.cluster("ok", tenant, 1, "mone")
	w.now = w.now.Add(time.Minute)
	if w.settle(w.minute(leaseOf("ok", 0), 0, "mone", "gone", 60, 60)); record.Row != 0 || record.Failures != 5 {
		t.Errorf("after a minute: %+v", *record)
	}
	for i := range 40 {
		w.s.failed(machineID("mone"), raylink.Failure{Stage: "image", Reason: strings.Repeat("ä", 200) + fmt.Sprint(i)})
		w.s.failed(machineID("mone"), raylink.Failure{Stage: "image", Reason: fmt.Sprint(i)})
	}
	if len(record.Stages) > maxFailureRows || len(record.Stages[0].Reason) > maxFailureWords || record.Stages[0].Count != 40 {
		t.Errorf("%+v", record.Stages)
	}
}

// TestQuarantine: it stops new leases, is released for its own reason and not before its time, and outlives a machine's joining again.
func TestQuarantine(t *testing.T) {
	w, tenant := small(t, "100")
	id := machineID("mone")
	w.must(w.quoteOf("one", tenant, 1, "mone"), &QuarantineMachine{ID: id, Reason: raylink.ReasonStageFailures, For: time.Hour})
	w.refused("in quarantine", createOf("one", tenant, 1), raylink.CodeCapacity)
	w.must(&ReleaseMachine{ID: id, Reason: raylink.ReasonDuplicate})
	w.refused("too early", &ReleaseMachine{ID: id, Reason: raylink.ReasonStageFailures}, raylink.CodeConflict)
	for _, r := range []raylink.Reason{"", "no-reason", raylink.ReasonSilent, raylink.ReasonBanned} {
		w.refused("another reason", &QuarantineMachine{ID: id, Reason: r}, raylink.CodeInvalid)
	}
	w.must(&IssueJoinToken{ID: "tok-aaaaaaaaab", Kind: JoinKindMachine, Account: tenant, Hash: hashOf("again"), TTL: time.Hour})
	again := w.joinMachine("mone", offerOf(4, 8, "0.06"))
	again.TokenHash = hashOf("again")
	w.must(again)
	if w.s.Machines[id].Quarantine == nil {
		t.Error("who joins again is out of quarantine")
	}
	w.now = w.now.Add(time.Hour)
	w.must(&ReleaseMachine{ID: id, Reason: raylink.ReasonStageFailures})
	if w.s.Machines[id].Quarantine != nil {
		t.Error("still there")
	}
}

// TestNotice: it lies ahead, within a month; resume withdraws it.
func TestNotice(t *testing.T) {
	w, _ := small(t, "10")
	for what, c := range map[string]*SetMachine{"past": {State: MachineDraining, Notice: -1}, "far": {State: MachineDraining, Notice: MaxNotice + 1}, "not a drain": {State: MachineActive, Notice: time.Hour}} {
		c.ID = machineID("mone")
		w.refused(what, c, raylink.CodeInvalid)
	}
	w.must(&SetMachine{ID: machineID("mone"), State: MachineDraining, Notice: time.Hour}, &SetMachine{ID: machineID("mone"), State: MachineActive})
	if w.s.Machines[machineID("mone")].Leaves != nil {
		t.Error("resume leaves the notice")
	}
}

// TestVersionsPolicy: only an operator's signature counts, an old one not again; machines below get nothing.
func TestVersionsPolicy(t *testing.T) {
	w, tenant := small(t, "100")
	w.must(&SetPricePolicy{Policy: pricePolicy("oracle")}, w.quoteOf("one", tenant, 1, "mone"))
	forged, other := w.versions("oracle", w.now, raylink.VersionKernel, "6.1"), w.versions("mallory", w.now, raylink.VersionKernel, "6.1")
	forged.Minimum = map[string]string{raylink.VersionKernel: "1"}
	w.refused("forged", forged, raylink.CodeForbidden)
	w.refused("not an operator", other, raylink.CodeForbidden)
	w.refused("unknown part", w.versions("oracle", w.now, "browser", "1"), raylink.CodeInvalid)
	w.refused("no version", w.versions("oracle", w.now, raylink.VersionKernel, "new"), raylink.CodeInvalid)
	w.refused("of tomorrow", w.versions("oracle", w.now.Add(24*time.Hour)), raylink.CodeConflict)
	first := w.versions("oracle", w.now, raylink.VersionKernel, "6.1")
	w.must(first, w.versions("oracle", w.now.Add(1), raylink.VersionKernel, "6.2"))
	w.refused("an old one", first, raylink.CodeConflict)
	w.refused("not told", createOf("one", tenant, 1), raylink.CodeCapacity)
	w.must(&SetHost{ID: machineID("mone"), Host: hostOf()})
	w.refused("below", createOf("one", tenant, 1), raylink.CodeCapacity)
	w.must(w.versions("oracle", w.now.Add(2)), createOf("one", tenant, 1))
}

// TestBelow: which version, and what is needed; what a machine does not have it need not have a version of.
func TestBelow(t *testing.T) {
	gpu, plain := hostOf("a"), hostOf()
	gvisor := hostOf()
	gvisor.Isolation = append(gvisor.Isolation, raylink.IsolationGVisor)
	odd := hostOf()
	odd.Versions = map[string]string{raylink.VersionKernel: "unknown"}
	alone, beside := hostOf("a"), hostOf() // leases run without an engine; one lies there all the same, an old one
	alone.Runtime, beside.Runtime = raylink.RuntimeProcess, raylink.RuntimeProcess
	beside.Versions[raylink.VersionDocker], beside.Versions[raylink.VersionRunc] = "1.13.1", "1.0.0"
	for _, c := range []struct {
		host           *raylink.Host
		name, min, say string
	}{
		{nil, "kernel", "5", "kernel is not known, 5 is needed"}, {&plain, "kernel", "6.1.0", ""}, {&plain, "kernel", "6.1.1", "kernel 6.1.0-28-amd64 is older than 6.1.1"},
		{&odd, "kernel", "1", "kernel unknown cannot be read, 1 is needed"}, {&plain, "docker", "24", "docker is not known, 24 is needed"},
		{&plain, "nvidia-driver", "550", ""}, {&gpu, "nvidia-driver", "550", "nvidia-driver is not known, 550 is needed"},
		{&plain, "runc", "1.1.12", "runc is not known, 1.1.12 is needed"}, {&alone, "docker", "24", ""}, {&alone, "runc", "1.1.12", ""},
		{&alone, "nvidia-container-toolkit", "1.16", ""}, {&gpu, "nvidia-container-toolkit", "1.16", "nvidia-container-toolkit is not known, 1.16 is needed"},
		{&alone, "nvidia-driver", "550", "nvidia-driver is not known, 550 is needed"}, {&beside, "docker", "24", ""}, {&beside, "runc", "1.1.12", ""},
		{&beside, "kernel", "6.1.1", "kernel 6.1.0-28-amd64 is older than 6.1.1"},
		{&plain, "runsc", "20240807", ""}, {&gvisor, "runsc", "20240807", "runsc is not known, 20240807 is needed"},
	} {
		if got := (Versions{Minimum: map[string]string{c.name: c.min}}).Below(c.host); got != c.say {
			t.Errorf("%s %s: %q, want %q", c.name, c.min, got, c.say)
		}
	}
}

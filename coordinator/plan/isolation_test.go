package plan

import (
	"encoding/json"
	"strings"
	"testing"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestIsolationIsPlaced: a tier is found only on machines that have it, vm nowhere, and what the tenant chose stands in the machine's order.
func TestIsolationIsPlaced(t *testing.T) {
	w := newWorld(t)
	tenant, owner := w.account("ada", "100"), w.account("sam", "")
	w.machine("plain", owner, offerOf(8, 16, 10_000))
	w.machine("strong", owner, offerOf(8, 16, 20_000))
	plain, strong := hostOf(), hostOf()
	plain.Isolation = append(plain.Isolation, raylink.IsolationVM)
	strong.Isolation = append(strong.Isolation, raylink.IsolationGVisor)
	w.hear("plain", wire.AgentReport{Host: plain})
	w.hear("strong", wire.AgentReport{Host: strong})
	w.settle()
	for tier, want := range map[raylink.Isolation]string{"": "plain", raylink.IsolationContainer: "plain", raylink.IsolationGVisor: "strong", raylink.IsolationVM: "", "chroot": ""} {
		spec := specOf("c", 0, 1)
		spec.Isolation = tier
		nodes, err := Place(w.s, w.seen, w.now, spec)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), string(tier)) {
				t.Errorf("%s: %v, %v", tier, nodes, err)
			}
			continue
		}
		if err != nil || nodes[0].Machine != machineID(want) {
			t.Errorf("%s: %v, %v", tier, nodes, err)
		}
	}
	spec := specOf("c", 0, 1)
	spec.Isolation, spec.Egress = raylink.IsolationGVisor, raylink.EgressNone
	w.create(tenant, spec)
	open := specOf("d", 0, 1)
	open.EgressBytes = 5
	w.create(tenant, open)
	if o := Orders(w.s, machineID("strong"))[0]; o.Isolation != raylink.IsolationGVisor || o.Egress.Allow {
		t.Errorf("%+v", o)
	}
	if o := Orders(w.s, machineID("plain"))[0]; o.Isolation != "" || !o.Egress.Allow || o.Egress.Bytes != 5 {
		t.Errorf("%+v", o)
	}
	w.apply(&state.MakeQuote{ID: "q-aaaaaaaaab", Owner: tenant, Spec: func() raylink.ClusterSpec { s := specOf("e", 0, 1); s.Isolation = raylink.IsolationGVisor; return s }(), Image: "x",
		Nodes: []state.QuoteNode{{Node: "e", Machine: machineID("plain"), Resources: spec.Head.Resources, Rate: 10_000}}})
	raw, err := state.Encode("x", "", &state.CreateCluster{ID: "c-aaaaaaaaab", Owner: tenant, Quote: "q-aaaaaaaaab", Leases: []raylink.LeaseID{"l-aaaaaaaaab"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.ReadResult(w.s.Apply(w.index+1, w.now, []json.RawMessage{raw})[0], nil); err == nil {
		t.Error("a quote for a machine without the tier is accepted")
	}
}

// TestNoGPUInGVisor: the machine that has both gives one or the other, and the refusal says so, whichever node it is that wants both.
func TestNoGPUInGVisor(t *testing.T) {
	w := newWorld(t)
	offer := offerOf(8, 16, 10_000)
	offer.Resources.GPU, offer.Accelerator = raylink.Unit, "RTX-4090"
	w.machine("strong", w.account("sam", ""), offer)
	strong := hostOf()
	strong.Isolation = append(strong.Isolation, raylink.IsolationGVisor)
	strong.Devices = append(strong.Devices, raylink.Device{ID: "GPU-1", Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: "NVIDIA GeForce RTX 4090", Model: "RTX-4090", Memory: 24 << 30})
	w.hear("strong", wire.AgentReport{Host: strong})
	w.settle()
	for role, want := range map[string]func(*raylink.ClusterSpec){
		"head":   func(s *raylink.ClusterSpec) { s.Head.Resources.GPU = raylink.Unit },
		"worker": func(s *raylink.ClusterSpec) { s.Workers[0].Resources.GPU = raylink.Unit / 2 },
	} {
		spec := specOf("c", 1, 1)
		want(&spec)
		spec.Isolation = raylink.IsolationGVisor
		_, err := Place(w.s, w.seen, w.now, spec)
		if told := raylink.AsError(err); err == nil || told.Code != raylink.CodeUnsupported || !strings.Contains(told.Error(), "GPU in gVisor") || told.Hint == "" {
			t.Errorf("%s: %v", role, err)
		}
		spec.Isolation = raylink.IsolationContainer
		if _, err := Place(w.s, w.seen, w.now, spec); err != nil && raylink.AsError(err).Code == raylink.CodeUnsupported {
			t.Errorf("%s, without gVisor: %v", role, err)
		}
	}
}

// TestImageIsNear: of machines at one price those that have the image come first; a cheaper one without it comes before them.
func TestImageIsNear(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	for _, m := range []struct {
		name  string
		price int64
	}{{"aone", 10_000}, {"btwo", 10_000}, {"cthree", 10_000}, {"dfour", 9_000}} {
		w.machine(m.name, owner, offerOf(2, 4, m.price))
	}
	w.report()
	for _, near := range []string{"aone", "btwo", "cthree"} {
		for _, name := range []string{"aone", "btwo", "cthree", "dfour"} {
			r := wire.AgentReport{Images: []string{"other"}}
			if name == near {
				r.Images = append(r.Images, "raylink/worker:1")
			}
			w.hear(name, r)
		}
		for workers, spread := range map[int]int64{1: 2, 7: 1} { // apart, and together
			nodes, err := PlaceImage(w.s, w.seen, w.now, specOf("c", workers, spread), "raylink/worker:1")
			if err != nil {
				t.Fatal(err)
			}
			if nodes[0].Machine != machineID("dfour") || nodes[1].Machine != machineID(near) {
				t.Errorf("%s has it, and %d nodes lie on %v", near, workers+1, nodes)
			}
		}
	}
}

// TestWithoutAnEngineTheImageHasToBeThere: a machine whose leases are processes fetches nothing. It is placed on where it says that it has the image, and the tenant
// reads why where it does not; while no image is asked for nothing is held against it.
func TestWithoutAnEngineTheImageHasToBeThere(t *testing.T) {
	w := newWorld(t)
	w.machine("mone", w.account("sam", ""), offerOf(8, 16, 10_000))
	host := hostOf()
	host.Runtime = raylink.RuntimeProcess
	for _, c := range []struct {
		images []string
		image  string
		why    string
	}{
		{nil, "raylink/worker:1", "1 without the image, and without an engine to fetch it"},
		{[]string{"raylink/worker:2"}, "raylink/worker:1", "1 without the image"},
		{[]string{"raylink/worker:1"}, "raylink/worker:1", ""},
		{nil, "", ""},
	} {
		w.hear("mone", wire.AgentReport{Host: host, Images: c.images})
		w.settle()
		_, err := PlaceImage(w.s, w.seen, w.now, specOf("c", 0, 1), c.image)
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("with %q for %q: %v", c.images, c.image, err)
		}
	}
}

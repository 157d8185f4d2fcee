package plan

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// TestPlaceTwin compares Place with a twin that tries every assignment of nodes to machines.
func TestPlaceTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		owner, tenant := w.account("sam", ""), w.account("ada", "1000")
		zones := []string{"", "east", "west"}
		for i := range rapid.IntRange(0, 4).Draw(t, "machines") {
			o := offerOf(rapid.Int64Range(1, 6).Draw(t, "cores"), rapid.Int64Range(1, 6).Draw(t, "gib"), rapid.Int64Range(0, 3).Draw(t, "price")*100_000)
			o.Labels = map[string]string{"zone": rapid.SampledFrom(zones).Draw(t, "zone")}
			name := fmt.Sprintf("m%c", 'a'+i)
			h := w.machine(name, owner, o)
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				w.apply(&state.SetMachine{ID: machineID(name), State: state.MachineDraining})
			case 1:
				h.dead = true
			}
		}
		w.report()
		for round := range 2 { // the second one finds what the first has taken
			spec := specOf(fmt.Sprintf("r%c", 'a'+round), rapid.IntRange(0, 3).Draw(t, "workers"), 1)
			for g := range spec.Workers {
				spec.Workers[g].Resources = needs(t)
				if zone := rapid.SampledFrom(zones).Draw(t, "wants"); zone != "" {
					spec.Workers[g].Require = map[string]string{"zone": zone}
				}
			}
			spec.Head.Resources = needs(t)
			holds(t, w, spec)
			if _, err := Place(w.s, w.seen, w.now, spec); err == nil {
				w.create(tenant, spec) // the state takes what was placed, or the test stops here
			}
			for id, m := range w.s.Machines {
				if u, o := w.s.Used(id), m.Offer.Resources; u.CPU > o.CPU || u.Memory > o.Memory || u.GPU > o.GPU {
					t.Fatalf("machine %s is over-committed: %+v of %+v", id, u, o)
				}
			}
		}
	})
}

func needs(t *rapid.T) raylink.Resources {
	return raylink.Resources{CPU: rapid.Int64Range(1, 12).Draw(t, "halves") * raylink.Unit / 2, Memory: rapid.Int64Range(1, 5).Draw(t, "need") << 30}
}

// holds checks one placement against the twin's knowledge of all of them.
func holds(t *rapid.T, w *world, spec raylink.ClusterSpec) {
	nodes := asked(spec)
	possible, apart := twin(w, nodes, nil)
	got, err := Place(w.s, w.seen, w.now, spec)
	if err != nil {
		var e *raylink.Error
		if possible || !errors.As(err, &e) || e.Code != raylink.CodeCapacity || e.Hint == "" {
			t.Fatalf("possible is %v, Place says %v", possible, err)
		}
		return
	}
	var where []raylink.MachineID
	distinct := map[raylink.MachineID]bool{}
	for i, n := range got {
		where = append(where, n.Machine)
		distinct[n.Machine] = true
		if rate, err := state.RateOf(w.s.Machines[n.Machine].Offer, n.Resources); err != nil || rate != n.Rate {
			t.Fatalf("node %s costs %d, was told %d", n.Node, rate, n.Rate)
		}
		if n.Node != nodes[i].Node || (n.Role == raylink.NodeHead) != (i == 0) {
			t.Fatalf("node %d is %s %s", i, n.Role, n.Node)
		}
	}
	if !fit(w, nodes, where) {
		t.Fatalf("%v does not fit", where)
	}
	if (len(distinct) == len(got)) != apart {
		t.Fatalf("a machine for each node is possible: %v; placed on %v", apart, where)
	}
}

// twin tries everything: is there any way, and one with a machine for each node?
func twin(w *world, nodes []need, where []raylink.MachineID) (possible, apart bool) {
	if len(where) == len(nodes) {
		if !fit(w, nodes, where) {
			return false, false
		}
		distinct := map[raylink.MachineID]bool{}
		for _, m := range where {
			distinct[m] = true
		}
		return true, len(distinct) == len(where)
	}
	for _, h := range w.machines {
		p, a := twin(w, nodes, append(where[:len(where):len(where)], machineID(h.name)))
		possible, apart = possible || p, apart || a
	}
	return possible, apart
}

func fit(w *world, nodes []need, where []raylink.MachineID) bool {
	cpu, memory := map[raylink.MachineID]int64{}, map[raylink.MachineID]int64{}
	for i, id := range where {
		m := w.s.Machines[id]
		if m.State != state.MachineActive || !w.seen.Up(id, w.now) {
			return false
		}
		if zone := nodes[i].require["zone"]; zone != "" && m.Offer.Labels["zone"] != zone {
			return false
		}
		cpu[id] += nodes[i].Resources.CPU
		memory[id] += nodes[i].Resources.Memory
		used := w.s.Used(id)
		if used.CPU+cpu[id] > m.Offer.Resources.CPU || used.Memory+memory[id] > m.Offer.Resources.Memory {
			return false
		}
	}
	return true
}

// One node goes to the cheapest machine that takes it.
func TestPlaceCheapest(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	w.machine("dear", owner, offerOf(8, 8, 900_000))
	w.machine("cheap", owner, offerOf(2, 8, 100_000))
	w.machine("middle", owner, offerOf(4, 8, 500_000))
	w.report()
	for cores, want := range map[int64]string{1: "cheap", 2: "cheap", 3: "middle", 5: "dear"} {
		nodes, err := Place(w.s, w.seen, w.now, specOf("one", 0, cores))
		if err != nil || nodes[0].Machine != machineID(want) {
			t.Errorf("%d cores go to %v (%v), not to %s", cores, nodes, err, want)
		}
	}
	_, err := Place(w.s, w.seen, w.now, specOf("big", state.MaxNodes, 1))
	var e *raylink.Error
	if !errors.As(err, &e) || e.Code != raylink.CodeInvalid {
		t.Errorf("%d nodes: %v", state.MaxNodes+1, err)
	}
}

// A machine for each node where there is a way, though the cheapest machine of the one is the only one of the other.
func TestPlaceApart(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	east := offerOf(8, 8, 100_000)
	east.Labels = map[string]string{"zone": "east"}
	w.machine("cheap", owner, east)
	w.machine("dear", owner, offerOf(8, 8, 900_000))
	w.report()
	spec := specOf("pair", 1, 1)
	spec.Head.Resources.CPU = 2 * raylink.Unit // the largest chooses first
	spec.Workers[0].Require = map[string]string{"zone": "east"}
	nodes, err := Place(w.s, w.seen, w.now, spec)
	if err != nil || nodes[0].Machine != machineID("dear") || nodes[1].Machine != machineID("cheap") {
		t.Errorf("%+v %v", nodes, err)
	}
}

// Where nodes must share, the simple way (the cheapest machine with the fewest nodes) may lead nowhere while another way is there.
func TestPlacePacked(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	w.machine("cheap", owner, offerOf(6, 8, 100_000))
	w.machine("dear", owner, offerOf(4, 8, 900_000))
	w.report()
	spec := specOf("trio", 2, 3)
	spec.Head.Resources.CPU = 4 * raylink.Unit
	nodes, err := Place(w.s, w.seen, w.now, spec)
	if err != nil || nodes[0].Machine != machineID("dear") || nodes[1].Machine != machineID("cheap") || nodes[2].Machine != machineID("cheap") {
		t.Errorf("%+v %v", nodes, err)
	}
	spec.Workers[0].Replicas = 3
	if nodes, err := Place(w.s, w.seen, w.now, spec); err == nil {
		t.Errorf("13 of 10 cores are placed: %+v", nodes)
	}
}

// need is a node as the specification asks for it, in the order that Place answers in.
type need struct {
	Node      string
	Resources raylink.Resources
	require   map[string]string
}

func asked(spec raylink.ClusterSpec) []need {
	nodes := []need{{spec.Name + "-headgroup", spec.Head.Resources, spec.Head.Require}}
	for _, g := range spec.Workers {
		for i := range g.Replicas {
			nodes = append(nodes, need{fmt.Sprintf("%s-%s-%d", spec.Name, g.Name, i), g.Resources, g.Require})
		}
	}
	return nodes
}

package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

const pinned = "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"

// mixedOf has its head and its workers ask for an architecture each; an empty one asks for none.
func mixedOf(head, workers string) raylink.ClusterSpec {
	spec := specOf("mixed", 1, 1)
	spec.Image = "rayproject/ray:2.60.0-py311"
	if head != "" {
		spec.Head.Require = map[string]string{raylink.LabelArch: head}
	}
	if workers != "" {
		spec.Workers[0].Require = map[string]string{raylink.LabelArch: workers}
	}
	return spec
}

func TestEachArchitectureRunsItsOwnImage(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	tenant := w.account("ada", "10")
	arm := offerOf(8, 8, 100_000)
	arm.Arch = "arm64"
	w.machine("arm", owner, arm)
	w.machine("amd", owner, offerOf(8, 8, 900_000))
	w.create(tenant, mixedOf("amd64", "arm64"))
	image := func(machine string) (string, bool) {
		orders := Orders(w.s, machineID(machine))
		return orders[0].Image, orders[0].Signature != nil
	}
	const own = "raylink/worker:2.60.0-py311"
	for machine, want := range map[string]string{"amd": own, "arm": own + "-arm64"} {
		if got, signed := image(machine); got != want || signed {
			t.Errorf("%s runs %s (signed: %v), wanted %s", machine, got, signed, want)
		}
	}
	w.apply(&state.PinImage{Pin: state.ImagePin{Image: own + "-arm64", Digest: pinned}})
	if got, _ := image("arm"); got != own+"-arm64@"+pinned {
		t.Errorf("a pinned image is ordered as %s", got)
	}
	if got, _ := image("amd"); got != own {
		t.Errorf("another image is ordered as %s", got)
	}
}

// TestAPlanNamesTheImagesThatRun: the head's own, whatever its machine turns out to be, and a note for each other.
func TestAPlanNamesTheImagesThatRun(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	arm := offerOf(8, 8, 100_000)
	arm.Arch = "arm64"
	w.machine("arm", owner, arm)
	w.machine("second", owner, arm)
	w.machine("amd", owner, offerOf(8, 8, 900_000))
	w.machine("last", owner, offerOf(8, 8, 900_000))
	w.report()
	const own = "raylink/worker:2.60.0-py311"
	for _, c := range []struct {
		head, workers, image string
		notes                []string
	}{
		{"", "", own + "-arm64", nil}, // the cheapest machines are arm64
		{"amd64", "", own, []string{"1 of 2 nodes runs " + own + "-arm64, because its machine is arm64"}},
		{"arm64", "amd64", own + "-arm64", []string{"1 of 2 nodes runs " + own + ", because its machine is amd64"}},
		{"amd64", "amd64", own, nil},
	} {
		spec := mixedOf(c.head, c.workers)
		nodes, err := Place(w.s, w.seen, w.now, spec)
		if err != nil {
			t.Fatal(err)
		}
		image, notes, err := Runs(w.s, spec, nodes)
		if err != nil || image != c.image || !slices.Equal(notes, c.notes) {
			t.Errorf("head %q, workers %q: %s, %q, %v", c.head, c.workers, image, notes, err)
		}
	}
	spec := mixedOf("amd64", "arm64")
	spec.Workers[0].Replicas = 2
	nodes, err := Place(w.s, w.seen, w.now, spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, notes, _ := Runs(w.s, spec, nodes); len(notes) != 1 || notes[0] != "2 of 3 nodes run "+own+"-arm64, because their machines are arm64" {
		t.Errorf("%q", notes)
	}
}

func TestAnEmulatedMachineIsOnlyForWhoAsks(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	slow := offerOf(8, 8, 100_000)
	slow.Arch, slow.Labels = "arm64", map[string]string{raylink.LabelEmulated: "true"}
	w.machine("slow", owner, slow)
	w.machine("dear", owner, offerOf(8, 8, 900_000))
	w.report()
	nodes, err := Place(w.s, w.seen, w.now, mixedOf("", ""))
	if err != nil || nodes[0].Machine != machineID("dear") || nodes[1].Machine != machineID("dear") {
		t.Errorf("nobody asked for it: %+v %v", nodes, err)
	}
	nodes, err = Place(w.s, w.seen, w.now, mixedOf("", "arm64"))
	if err != nil || nodes[0].Machine != machineID("dear") || nodes[1].Machine != machineID("slow") {
		t.Errorf("one asked for it: %+v %v", nodes, err)
	}
	w.machines[1].dead, w.now = true, w.now.Add(UpFor*2)
	w.report()
	if _, err = Place(w.s, w.seen, w.now, mixedOf("", "")); err == nil || !strings.Contains(err.Error(), "emulated") {
		t.Errorf("nothing else is there: %v", err)
	}
}

// TestAnEmulatedNodeHasMoreTime: Ray takes minutes to start on an emulated processor, and a cluster that has one is not given up after those of a real one.
func TestAnEmulatedNodeHasMoreTime(t *testing.T) {
	w := newWorld(t)
	owner, tenant := w.account("sam", ""), w.account("ada", "10")
	slow := offerOf(8, 8, 100_000)
	slow.Arch, slow.Labels = "arm64", map[string]string{raylink.LabelEmulated: "true"}
	w.machine("slow", owner, slow)
	w.machine("dear", owner, offerOf(8, 8, 900_000))
	for arch, want := range map[string]time.Duration{"amd64": 3 * time.Minute, "arm64": 12 * time.Minute} {
		spec := mixedOf("amd64", arch)
		spec.Name = arch
		c := w.create(tenant, spec)
		if got := deadline(w.s, &state.Cluster{Phase: raylink.PhaseWorkers}, w.s.ClusterLeases(c.ID)); got != want {
			t.Errorf("workers on %s have %s, wanted %s", arch, got, want)
		}
	}
}

package converge

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
)

const one = raylink.LeaseID("l-aaaaaaaaaa")

func mesh(peers int) overlay.Mesh {
	m := overlay.Mesh{Address: netip.MustParsePrefix("100.64.1.2/24"), Peers: []overlay.Peer{}}
	address := netip.MustParseAddr("100.64.1.10")
	for i := range peers {
		m.Peers = append(m.Peers, overlay.Peer{Name: "l-" + strings.Repeat(string(rune('b'+i)), 10), PublicKey: overlay.Key{byte(i + 1)}, Address: address})
		address = address.Next()
	}
	return m
}

func order(want raylink.Want) wire.LeaseOrder {
	return wire.LeaseOrder{Lease: one, Want: want, Image: "image", Mesh: mesh(2), Command: []string{"ray", "start"}, RayToken: "secret"}
}

// whole is a lease that runs.
func whole() Have {
	o := order(raylink.WantRun)
	return Have{Image: true, Dir: true, Files: FilesDigest(o), Container: Alive, Pid: 7, Plane: Alive, Attached: 7,
		Mesh: PlaneDigest(o), Reached: ReachDigest(o.Mesh), Go: true}
}

func with(h Have, change func(*Have)) Have { change(&h); return h }

func TestTranscripts(t *testing.T) {
	const bring = "fetch-image prepare start-container start-plane set-mesh"
	for _, c := range []struct {
		name, want string
		order      wire.LeaseOrder
		have       Have
	}{
		{"from nothing to mesh", bring, order(raylink.WantMesh), Have{}},
		{"from nothing to preflight", bring + " preflight", order(raylink.WantPreflight), Have{}},
		{"from nothing to run", bring + " go", order(raylink.WantRun), Have{}},
		{"preflight is done once", "", order(raylink.WantPreflight), with(whole(), func(h *Have) { h.Go = false })},
		{"a mesh that grew is set and dialled again", "set-mesh preflight", order(raylink.WantPreflight),
			with(whole(), func(h *Have) { h.Go, h.Mesh, h.Reached = false, "old", "old" })},
		{"go after preflight", "go", order(raylink.WantRun), with(whole(), func(h *Have) { h.Go = false })},
		{"all is well", "", order(raylink.WantRun), whole()},
		{"a peer left a running lease", "set-mesh", order(raylink.WantRun), with(whole(), func(h *Have) { h.Mesh = "old" })},
		{"the data plane died under Ray", "start-plane set-mesh", order(raylink.WantRun),
			with(whole(), func(h *Have) { h.Plane, h.Attached, h.Mesh = Absent, 0, "" })},
		{"the data plane hangs for good", "stop-plane start-plane set-mesh", order(raylink.WantRun), with(whole(), func(h *Have) { h.Plane = Broken })},
		{"the container died", "hold-back start-container stop-plane start-plane set-mesh go", order(raylink.WantRun),
			with(whole(), func(h *Have) { h.Container, h.Pid = Broken, 0 })},
		{"the container died and its plane with it", "hold-back start-container start-plane set-mesh go", order(raylink.WantRun),
			with(whole(), func(h *Have) { h.Container, h.Pid, h.Plane, h.Attached = Broken, 0, Absent, 0 })},
		{"the container was started again behind our back", "stop-plane start-plane set-mesh", order(raylink.WantRun),
			with(whole(), func(h *Have) { h.Pid = 8 })},
		{"the image went while Ray runs", "", order(raylink.WantRun), with(whole(), func(h *Have) { h.Image = false })},
		{"files changed while the container waits", "prepare", order(raylink.WantMesh), with(whole(), func(h *Have) { h.Go, h.Files = false, "old" })},
		{"files are not changed under a running Ray", "", order(raylink.WantRun), with(whole(), func(h *Have) { h.Files = "old" })},
		{"the end", "stop-container stop-plane remove-dir", order(raylink.WantEnd), whole()},
		{"the end of what never began", "", order(raylink.WantEnd), Have{Image: true}},
		{"the end of what was given up", "stop-container remove-dir", order(raylink.WantEnd), Have{Dir: true, Container: Broken, GivenUp: true}},
		{"given up", "", order(raylink.WantRun), with(whole(), func(h *Have) { h.GivenUp, h.Container = true, Broken })},
		{"evicted", "stop-container stop-plane remove-dir", order(raylink.WantRun), with(whole(), func(h *Have) { h.GivenUp, h.Evicted = true, true })},
		{"evicted, and gone", "", order(raylink.WantRun), Have{Image: true, GivenUp: true, Evicted: true}},
		{"waiting", "", order(raylink.WantRun), Have{Wait: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := text(Steps(Orders{Leases: []wire.LeaseOrder{c.order}}, map[raylink.LeaseID]Have{one: c.have}))
			if got != c.want {
				t.Errorf("steps are %q, wanted %q", got, c.want)
			}
		})
	}
}

func TestOrphansGoOnlyWhenReallyAsked(t *testing.T) {
	have := map[raylink.LeaseID]Have{one: whole()}
	if got := Steps(Orders{}, have); len(got) != 0 {
		t.Errorf("without an assignment the steps are %q", text(got))
	}
	if got := text(Steps(Orders{Received: true}, have)); got != "stop-container stop-plane remove-dir" {
		t.Errorf("after an empty assignment the steps are %q", got)
	}
}

func TestStage(t *testing.T) {
	for _, c := range []struct {
		want raylink.Stage
		o    wire.LeaseOrder
		h    Have
	}{
		{raylink.StageNone, order(raylink.WantMesh), Have{}},
		{raylink.StageImage, order(raylink.WantMesh), Have{Image: true}},
		{raylink.StageImage, order(raylink.WantMesh), with(whole(), func(h *Have) { h.Plane = Absent })},
		{raylink.StageMesh, order(raylink.WantMesh), with(whole(), func(h *Have) { h.Go, h.Reached = false, "" })},
		{raylink.StagePreflight, order(raylink.WantPreflight), with(whole(), func(h *Have) { h.Go = false })},
		{raylink.StageMesh, order(raylink.WantPreflight), with(whole(), func(h *Have) { h.Go, h.Reached = false, "old" })},
		{raylink.StageRunning, order(raylink.WantRun), whole()},
		{raylink.StageImage, order(raylink.WantRun), with(whole(), func(h *Have) { h.Container = Broken })},
		{raylink.StageGone, order(raylink.WantEnd), Have{Image: true}},
		{raylink.StageRunning, order(raylink.WantEnd), whole()},
	} {
		if got := Stage(c.o, c.h); got != c.want {
			t.Errorf("stage of %+v under %s is %q, wanted %q", c.h, c.o.Want, got, c.want)
		}
	}
}

func TestAGatewayNeedsNoPreflight(t *testing.T) {
	a, b := mesh(2), mesh(2)
	b.Peers = append(b.Peers, overlay.Peer{Name: "g-aaaaaaaaaa", PublicKey: overlay.Key{9}, Address: netip.MustParseAddr("100.64.1.3")})
	if ReachDigest(a) != ReachDigest(b) || MeshDigest(a) == MeshDigest(b) {
		t.Error("a gateway that joins changes what has to be reached, or does not change the mesh")
	}
	b.Peers[0].PublicKey = overlay.Key{8}
	if ReachDigest(a) == ReachDigest(b) {
		t.Error("a node with another key need not be reached again")
	}
}

func TestMeshDigestIgnoresOrder(t *testing.T) {
	a, b := mesh(3), mesh(3)
	slices.Reverse(b.Peers)
	if MeshDigest(a) != MeshDigest(b) {
		t.Error("the order of peers changes the digest")
	}
	if b.Peers[0].PublicKey[0] != 3 {
		t.Error("the digest changed its argument")
	}
	a.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:1")
	if MeshDigest(a) == MeshDigest(b) {
		t.Error("another endpoint leaves the digest")
	}
}

// TestFixedPoint drives a model of a machine, from any state, with any orders: it comes to rest, at what was ordered, and no step on the
// way is taken before what it needs.
func TestFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		orders := Orders{Received: rapid.Bool().Draw(t, "received")}
		have := map[raylink.LeaseID]Have{}
		for i := range rapid.IntRange(0, 4).Draw(t, "leases") {
			lease := raylink.LeaseID("l-" + strings.Repeat(string(rune('a'+i)), 10))
			o := order(rapid.SampledFrom([]raylink.Want{raylink.WantMesh, raylink.WantPreflight, raylink.WantRun, raylink.WantEnd}).Draw(t, "want"))
			o.Lease = lease
			if rapid.Bool().Draw(t, "ordered") {
				orders.Leases = append(orders.Leases, o)
			}
			if rapid.Bool().Draw(t, "present") {
				have[lease] = drawHave(t, o)
			}
		}
		before := maps.Clone(have)
		for range 3 {
			for _, step := range Steps(orders, have) {
				have[step.Lease] = apply(t, have[step.Lease], step, orders)
			}
		}
		if rest := Steps(orders, have); len(rest) != 0 {
			t.Fatalf("after three rounds there is still %q to do", text(rest))
		}
		check(t, orders, before, have)
	})
}

func drawHave(t *rapid.T, o wire.LeaseOrder) Have {
	presence := rapid.SampledFrom([]Presence{Absent, Broken, Alive})
	h := Have{
		Image: rapid.Bool().Draw(t, "image"), Dir: rapid.Bool().Draw(t, "dir"), Container: presence.Draw(t, "container"),
		Plane: presence.Draw(t, "plane"), Attached: rapid.IntRange(1, 2).Draw(t, "attached"), GivenUp: rapid.IntRange(0, 9).Draw(t, "given up") == 0,
		Mesh: rapid.SampledFrom([]string{"", "old", PlaneDigest(o)}).Draw(t, "mesh"),
	}
	h.Evicted = h.GivenUp && rapid.Bool().Draw(t, "evicted")
	if h.Container == Alive {
		h.Pid = 1
	}
	if h.Dir {
		h.Files = rapid.SampledFrom([]string{"", "old", FilesDigest(o)}).Draw(t, "files")
		h.Go = rapid.Bool().Draw(t, "go")
	}
	return h
}

// apply is the model of a machine.
func apply(t *rapid.T, h Have, step Step, orders Orders) Have {
	var o wire.LeaseOrder
	if i := slices.IndexFunc(orders.Leases, func(o wire.LeaseOrder) bool { return o.Lease == step.Lease }); i >= 0 {
		o = orders.Leases[i]
	}
	must := func(ok bool, why string) {
		if !ok {
			t.Fatalf("%s of %+v: %s", step.Kind, h, why)
		}
	}
	switch step.Kind {
	case FetchImage:
		h.Image = true
	case Prepare:
		h.Dir, h.Files = true, FilesDigest(o)
	case HoldBack:
		h.Go = false
	case StartContainer:
		must(h.Image && h.Dir && !h.Go && h.Container != Alive, "a container starts without image or directory, or would not wait")
		h.Container, h.Pid = Alive, h.Pid+10
	case StartPlane:
		must(h.Container == Alive && h.Plane == Absent, "a data plane starts without a namespace, or beside another")
		h.Plane, h.Attached, h.Mesh = Alive, h.Pid, ""
	case SetMesh, Preflight, Go:
		must(h.Plane == Alive && h.Attached == h.Pid, "the overlay is not attached")
		must(step.Kind == SetMesh || h.Mesh == PlaneDigest(o), "the mesh is not set")
		switch step.Kind {
		case SetMesh:
			h.Mesh = PlaneDigest(o)
		case Preflight:
			h.Reached = ReachDigest(o.Mesh)
		default:
			h.Go = true
		}
	case StopContainer:
		h.Container, h.Pid = Absent, 0
	case StopPlane:
		h.Plane, h.Attached, h.Mesh = Absent, 0, ""
	case RemoveDir:
		must(h.Container == Absent && h.Plane == Absent, "the directory goes before what uses it")
		h.Dir, h.Files, h.Go = false, "", false
	}
	return h
}

func check(t *rapid.T, orders Orders, before, have map[raylink.LeaseID]Have) {
	named := map[raylink.LeaseID]bool{}
	for _, o := range orders.Leases {
		named[o.Lease] = true
		h := have[o.Lease]
		switch {
		case o.Want == raylink.WantEnd, h.Evicted:
			if !h.Nothing() {
				t.Fatalf("%s ended but there is %+v", o.Lease, h)
			}
		case h.GivenUp:
			if h != before[o.Lease] {
				t.Fatalf("%s was given up, yet %+v became %+v", o.Lease, before[o.Lease], h)
			}
		case h.Container != Alive || h.Plane != Alive || h.Attached != h.Pid || h.Mesh != PlaneDigest(o):
			t.Fatalf("%s wants %s but rests at %+v", o.Lease, o.Want, h)
		case o.Want == raylink.WantRun && Stage(o, h) != raylink.StageRunning:
			t.Fatalf("%s is to run but rests at %s", o.Lease, Stage(o, h))
		}
	}
	for lease, h := range have {
		if !named[lease] && !orders.Received && h != before[lease] {
			t.Fatalf("%s is in no order that was received, yet %+v became %+v", lease, before[lease], h)
		}
		if !named[lease] && orders.Received && !h.Nothing() {
			t.Fatalf("%s is an orphan but there is %+v", lease, h)
		}
	}
}

func text(steps []Step) string {
	var words []string
	for _, step := range steps {
		words = append(words, string(step.Kind))
	}
	return strings.Join(words, " ")
}

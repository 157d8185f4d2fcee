// Package converge decides what an agent does next: from what is ordered and what is there, the steps in between.
//
// It is pure and idempotent: where nothing is missing there is no step, and a step done twice is a step done once. Its central rule
// is the order overlay before Ray: a container that starts, or starts again, waits until the mesh is up, and only then is let go.
package converge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
)

// Kind is what a step does.
type Kind string

// The kinds of step, in the order in which a lease meets them.
const (
	FetchImage     Kind = "fetch-image"     // make the image present
	Prepare        Kind = "prepare"         // make the lease's directory and write its files
	HoldBack       Kind = "hold-back"       // take the go file away, so that a container that starts again waits
	StartContainer Kind = "start-container" // start it, or replace an exited one
	StartPlane     Kind = "start-plane"     // put a TUN into the container's namespace
	SetMesh        Kind = "set-mesh"        // tell the data plane its address and peers, and what may pass to the Internet
	Preflight      Kind = "preflight"       // dial every other node
	Go             Kind = "go"              // let Ray start
	StopContainer  Kind = "stop-container"
	StopPlane      Kind = "stop-plane"
	RemoveDir      Kind = "remove-dir"
)

// Step is one thing to do for one lease. The steps of one lease are done in their order; one that fails ends the row.
type Step struct {
	Lease raylink.LeaseID
	Kind  Kind
}

// Orders is what the coordinators want of this machine. Only when it was Received from one by this process does the absence of a lease
// mean anything: an agent that could not ask removes nothing.
type Orders struct {
	Received bool
	Leases   []wire.LeaseOrder
}

// Presence is whether something is there and works.
type Presence int

// The presences of a container or a data plane.
const (
	Absent Presence = iota
	Broken          // an exited container; a data plane that has not answered for long
	Alive
)

// Have is what there is of one lease on this machine.
type Have struct {
	Image     bool     // the image is present
	Dir       bool     // the lease's directory exists
	Files     string   // FilesDigest of the order whose files are in it
	Container Presence // Alive: its first process runs
	Pid       int      // of that process
	Plane     Presence
	Attached  int    // the pid whose namespace the data plane's TUN is in
	Mesh      string // PlaneDigest of the order that the data plane was told
	Reached   string // ReachDigest of the mesh whose nodes all answered
	Go        bool   // the go file is there
	Wait      bool   // something failed a moment ago; do not try again yet
	GivenUp   bool   // it failed for good: nothing more until the lease ends
	Evicted   bool   // and what is there of it goes at once, because the machine cannot bear it
}

// Nothing says that there is nothing left of the lease.
func (h Have) Nothing() bool { return !h.Dir && h.Container == Absent && h.Plane == Absent }

// Steps is what has to be done so that what is there becomes what is wanted, ordered by lease.
func Steps(orders Orders, have map[raylink.LeaseID]Have) []Step {
	wanted := map[raylink.LeaseID]wire.LeaseOrder{}
	for _, order := range orders.Leases {
		wanted[order.Lease] = order
	}
	all := maps.Clone(have)
	if all == nil {
		all = map[raylink.LeaseID]Have{}
	}
	for lease := range wanted {
		all[lease] = have[lease]
	}
	var out []Step
	for _, lease := range slices.Sorted(maps.Keys(all)) {
		order, named := wanted[lease]
		var kinds []Kind
		switch {
		case all[lease].Wait:
		case named && all[lease].Evicted:
			kinds = end(all[lease])
		case named && order.Want != raylink.WantEnd:
			kinds = build(order, all[lease])
		case named || orders.Received:
			kinds = end(all[lease])
		}
		for _, kind := range kinds {
			out = append(out, Step{Lease: lease, Kind: kind})
		}
	}
	return out
}

// build is the way from what there is to a mesh, a preflight or a running Ray.
func build(order wire.LeaseOrder, have Have) []Kind {
	if have.GivenUp {
		return nil
	}
	var out []Kind
	running := have.Container == Alive
	if !running && !have.Image {
		out = append(out, FetchImage)
	}
	if !have.Dir || have.Files != FilesDigest(order) && !(running && have.Go) {
		out = append(out, Prepare)
	}
	attached := running && have.Plane == Alive && have.Attached == have.Pid
	if !running {
		if have.Go {
			out = append(out, HoldBack)
			have.Go = false
		}
		out = append(out, StartContainer)
	}
	if !attached {
		if have.Plane != Absent {
			out = append(out, StopPlane)
		}
		out = append(out, StartPlane)
		have.Mesh = ""
	}
	digest := PlaneDigest(order)
	if have.Mesh != digest {
		out = append(out, SetMesh)
	}
	if order.Want == raylink.WantPreflight && have.Reached != ReachDigest(order.Mesh) && !have.Go {
		out = append(out, Preflight)
	}
	if order.Want == raylink.WantRun && !have.Go {
		out = append(out, Go)
	}
	return out
}

// end is the way to nothing.
func end(have Have) []Kind {
	var out []Kind
	if have.Container != Absent {
		out = append(out, StopContainer)
	}
	if have.Plane != Absent {
		out = append(out, StopPlane)
	}
	if have.Dir {
		out = append(out, RemoveDir)
	}
	return out
}

// Stage is how far a lease has come, for the report.
func Stage(order wire.LeaseOrder, have Have) raylink.Stage {
	meshed := have.Container == Alive && have.Plane == Alive && have.Attached == have.Pid
	switch {
	case order.Want == raylink.WantEnd && have.Nothing():
		return raylink.StageGone
	case meshed && have.Go:
		return raylink.StageRunning
	case meshed && have.Reached != "" && have.Reached == ReachDigest(order.Mesh):
		return raylink.StagePreflight
	case meshed:
		return raylink.StageMesh
	case have.Image || have.Container != Absent:
		return raylink.StageImage
	}
	return raylink.StageNone
}

// MeshDigest names a mesh: equal meshes have equal digests, in whatever order their peers come.
func MeshDigest(mesh overlay.Mesh) string {
	mesh.Peers = slices.SortedFunc(slices.Values(mesh.Peers), func(a, b overlay.Peer) int {
		return cmp.Or(a.Address.Compare(b.Address), slices.Compare(a.PublicKey[:], b.PublicKey[:]))
	})
	return digest(mesh)
}

// PlaneDigest names what an order wants a data plane to be told: the mesh, and what may pass to the Internet.
func PlaneDigest(order wire.LeaseOrder) string {
	return digest(struct {
		Mesh   string
		Egress wire.Egress
	}{MeshDigest(order.Mesh), order.Egress})
}

// Nodes are the peers of a mesh that are nodes. Gateways come and go while a cluster assembles; whether one reaches the head shows when
// it looks for Ray.
func Nodes(mesh overlay.Mesh) []overlay.Peer {
	var out []overlay.Peer
	for _, peer := range mesh.Peers {
		if raylink.ValidID(peer.Name, "l") {
			out = append(out, peer)
		}
	}
	return out
}

// ReachDigest names what a preflight of the mesh has to reach.
func ReachDigest(mesh overlay.Mesh) string {
	return MeshDigest(overlay.Mesh{Address: mesh.Address, Peers: Nodes(mesh)})
}

// FilesDigest names what an order wants written into the lease's directory. It says nothing about the secret in it.
func FilesDigest(order wire.LeaseOrder) string {
	return digest(struct {
		Command []string
		Env     map[string]string
		Token   string
	}{order.Command, order.Env, order.RayToken})
}

func digest(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("converge: a mesh or an order that came as JSON does not become JSON: " + err.Error())
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/raylink/manifest"
	"raylink/raylink/wire"
)

// Runs is the image that the head of a plan runs on its machine, with a note for each other image that its workers run: machines of another architecture
// have one of their own.
func Runs(s *state.State, spec raylink.ClusterSpec, nodes []state.QuoteNode) (image string, notes []string, err error) {
	arches := map[string]int{}
	for _, n := range nodes {
		arch := s.Machines[n.Machine].Offer.Arch
		arches[arch]++
		if n.Role == raylink.NodeHead {
			if image, _, err = manifest.Image(spec.Image, arch); err != nil {
				return "", nil, err
			}
		}
	}
	for _, arch := range slices.Sorted(maps.Keys(arches)) {
		run, _, err := manifest.Image(spec.Image, arch)
		switch {
		case err != nil:
			return "", nil, err
		case run == image:
		case arches[arch] == 1:
			notes = append(notes, fmt.Sprintf("1 of %d nodes runs %s, because its machine is %s", len(nodes), run, arch))
		default:
			notes = append(notes, fmt.Sprintf("%d of %d nodes run %s, because their machines are %s", arches[arch], len(nodes), run, arch))
		}
	}
	return image, notes, nil
}

// ImageFor is what a cluster's node runs on a machine of this architecture. A cluster whose image is no longer in the catalogue keeps what was quoted.
func ImageFor(c *state.Cluster, arch string) string {
	if run, _, err := manifest.Image(c.Spec.Image, arch); err == nil {
		return run
	}
	return c.Image
}

// stocks says whether a machine of this architecture has the image that it would run. Which digest is pinned does not count: what a machine has under
// the name is most often what it would fetch, and a guess costs nothing but a fetch.
func stocks(has []string, asked, quoted, arch string) bool {
	run, _, err := manifest.Image(asked, arch)
	if err != nil {
		run = quoted
	}
	return slices.ContainsFunc(has, func(ref string) bool { name, _, _ := strings.Cut(ref, "@"); return name == run })
}

// pin has an order name the digest that its image is pinned to, with the signature over it.
func pin(s *state.State, o *wire.LeaseOrder) {
	p := s.Images[o.Image]
	if p == nil {
		return
	}
	o.Image = imagesign.Pin(o.Image, p.Digest)
	if p.Signed() {
		o.Signature = &wire.ImageSignature{Payload: p.Payload, Signature: p.Signature}
	}
}

// foreign says why a machine's architecture is not for a node: there is no build of the image, or it is only emulated and nobody asked for it. Emulated
// processors are slower by an order of magnitude, so a group gets one only if it names the architecture.
func foreign(o raylink.Offer, n wanted) string {
	if e, err := manifest.Images().Find(n.image); err == nil && e.Run[o.Arch] == "" {
		return "of an architecture that the image is not built for"
	}
	if o.Labels[raylink.LabelEmulated] != "" && n.require[raylink.LabelArch] == "" {
		return "with an emulated processor"
	}
	return ""
}

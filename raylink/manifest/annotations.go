package manifest

import (
	"strconv"
	"strings"

	"raylink/raylink"
)

// Annotations of a RayCluster that are Raylink's own.
const (
	AnnotationIsolation   = "raylink.io/isolation"    // container, gvisor; vm is refused for now
	AnnotationEgress      = "raylink.io/egress"       // none, internet
	AnnotationEgressBytes = "raylink.io/egress-bytes" // both ways together, over a node's life
)

// maxEgress is the greatest limit of bytes: 1 PiB.
const maxEgress = 1 << 50

// annotations takes the cluster's annotations. A misspelled one of Raylink's own is refused: it may have been meant to protect.
func (p *parser) annotations(all map[string]string, spec *raylink.ClusterSpec) {
	for _, k := range sortedKeys(all) {
		path, v := "metadata.annotations."+k, all[k]
		switch {
		case k == overwriteCommand:
			if strings.EqualFold(v, "true") {
				p.unsupported(path, "not supported by Raylink: %s", whyCommand)
			}
		case k == AnnotationIsolation:
			tier := raylink.Isolation(v)
			switch {
			case tier == raylink.IsolationVM:
				p.unsupported(path, "%s", WhyNoVM)
			case !tier.Valid():
				p.invalid(path, "%.40q is no tier of isolation; there are container and gvisor", v)
			default:
				spec.Isolation = tier
			}
		case k == AnnotationEgress:
			if v != raylink.EgressNone && v != raylink.EgressInternet {
				p.invalid(path, "%.40q is neither none nor internet", v)
			}
			spec.Egress = v
		case k == AnnotationEgressBytes:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n <= 0 || n > maxEgress {
				p.invalid(path, "%.40q is no number of bytes from 1 to %d", v, int64(maxEgress))
			}
			spec.EgressBytes = n
		case strings.HasPrefix(k, "raylink.io/"):
			p.unsupported(path, "unknown; Raylink's own annotations are %s, %s and %s", AnnotationIsolation, AnnotationEgress, AnnotationEgressBytes)
		default:
			p.note("metadata.annotations", path, "ignored: "+whyKubernetes)
		}
	}
	if spec.Egress == raylink.EgressNone && spec.EgressBytes > 0 {
		p.invalid("metadata.annotations."+AnnotationEgressBytes, "makes no sense where %s is none", AnnotationEgress)
	}
}

// WhyNoVM is why the strongest tier is refused everywhere.
const WhyNoVM = "no machine offers virtual machines yet: a GPU would have to be handed through to each; gvisor is the strongest tier"

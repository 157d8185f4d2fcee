package manifest

import (
	"math"
	"strings"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	corev1 "k8s.io/api/core/v1"

	"raylink/raylink"
	"raylink/raylink/ray"
)

const overwriteCommand = "ray.io/overwrite-container-cmd" // KubeRay then leaves the container's own command alone

// cluster converts what the rules let through; problems are collected beside it.
func (p *parser) cluster(c *rayv1.RayCluster) raylink.ClusterSpec {
	p.dnsLabel("metadata.name", c.Name)
	for _, k := range sortedKeys(c.Labels) {
		if err := ray.ValidLabel(k, c.Labels[k]); err != nil {
			p.invalid("metadata.labels."+k, "%s", err)
		}
	}
	spec := raylink.ClusterSpec{Name: c.Name, Labels: c.Labels}
	p.annotations(c.Annotations, &spec)
	if len(c.Labels) > maxLabels {
		p.invalid("metadata.labels", "has %d labels; the limit is %d", len(c.Labels), maxLabels)
	}
	head := &c.Spec.HeadGroupSpec
	spec.Head = p.group(source{"spec.headGroupSpec", ray.HeadGroup, raylink.NodeHead, head.RayStartParams, head.Resources, head.Labels, &head.Template})
	spec.Head.Replicas = 1
	p.workers(c, &spec)
	p.image(c, &spec)
	return spec
}

func (p *parser) workers(c *rayv1.RayCluster, spec *raylink.ClusterSpec) {
	if n := len(c.Spec.WorkerGroupSpecs); n > MaxGroups {
		p.invalid("spec.workerGroupSpecs", "has %d groups; the limit is %d", n, MaxGroups)
		return
	}
	seen := map[string]bool{ray.HeadGroup: true}
	nodes := int64(1)
	for i := range c.Spec.WorkerGroupSpecs {
		w := &c.Spec.WorkerGroupSpecs[i]
		path := "spec.workerGroupSpecs[" + itoa(i) + "]"
		p.dnsLabel(path+".groupName", w.GroupName)
		if seen[w.GroupName] {
			p.invalid(path+".groupName", "%q is taken by another group", w.GroupName)
		}
		seen[w.GroupName] = true
		g := p.group(source{path, w.GroupName, raylink.NodeWorker, w.RayStartParams, w.Resources, w.Labels, &w.Template})
		g.Replicas = p.replicas(path, w)
		nodes += int64(g.Replicas)
		spec.Workers = append(spec.Workers, g)
	}
	if nodes > MaxNodes {
		p.invalid("spec.workerGroupSpecs", "the cluster has %d nodes with its head; the limit is %d", nodes, MaxNodes)
	}
}

// replicas follows KubeRay: kept between the bounds, and the lower bound where nothing is said.
func (p *parser) replicas(path string, w *rayv1.WorkerGroupSpec) int {
	least, most := int32(0), int32(math.MaxInt32)
	if w.MinReplicas != nil {
		least = *w.MinReplicas
	}
	if w.MaxReplicas != nil {
		most = *w.MaxReplicas
	}
	n := least
	if w.Replicas != nil {
		n = *w.Replicas
	}
	if n < 0 || least < 0 || most < 0 || least > most {
		p.invalid(path+".replicas", "replicas %d between minReplicas %d and maxReplicas %d makes no sense", n, least, most)
		return 0
	}
	used := min(max(n, least), most)
	if used != n {
		p.note("", path+".replicas", itoa(int(n))+" lies outside minReplicas and maxReplicas: "+itoa(int(used))+" it is, as KubeRay has it")
	}
	if (w.MinReplicas != nil && least != used) || (w.MaxReplicas != nil && most != used) {
		p.note("", path, "always "+itoa(int(used))+" of it: minReplicas and maxReplicas have no effect, Raylink does not scale yet")
	}
	return int(used)
}

// image finds the one image of all groups in the catalogue.
func (p *parser) image(c *rayv1.RayCluster, spec *raylink.ClusterSpec) {
	type place struct{ path, image string }
	var places []place
	add := func(path string, t *corev1.PodTemplateSpec) {
		if len(t.Spec.Containers) > 0 {
			places = append(places, place{path + ".template.spec.containers[0].image", t.Spec.Containers[0].Image})
		}
	}
	add("spec.headGroupSpec", &c.Spec.HeadGroupSpec.Template)
	for i := range c.Spec.WorkerGroupSpecs {
		add("spec.workerGroupSpecs["+itoa(i)+"]", &c.Spec.WorkerGroupSpecs[i].Template)
	}
	if len(places) == 0 {
		return // group has said that the container is missing
	}
	spec.Image = places[0].image
	for _, q := range places[1:] {
		if q.image != spec.Image {
			p.unsupported(q.path, "%q differs from the head's %q; a cluster has one image", q.image, spec.Image)
		}
	}
	e, err := p.catalogue.Find(spec.Image)
	if err != nil {
		re := raylink.AsError(err)
		p.unsupported(places[0].path, "%s; %s", re.Message, re.Hint)
		return
	}
	spec.RayVersion = e.RayVersion
	if v := c.Spec.RayVersion; v != "" && v != e.RayVersion {
		p.invalid("spec.rayVersion", "%q differs from the image's Ray %s", v, e.RayVersion)
	}
	var runs []string
	own := false
	for _, arch := range sortedKeys(e.Run) {
		runs = append(runs, e.Run[arch]+" on "+arch)
		own = own || e.Run[arch] == spec.Image
	}
	if !own { // the name of Raylink's own image stands for its builds for all architectures
		p.note("", places[0].path, spec.Image+" runs as "+strings.Join(runs, " and as ")+": Raylink's own image with Ray "+e.RayVersion+" and Python "+e.Python)
	}
}

// dnsLabel checks a name that becomes part of node names and paths (RFC 1123).
func (p *parser) dnsLabel(path, s string) {
	ok := s != "" && len(s) <= MaxName && s[0] != '-' && s[len(s)-1] != '-'
	if !ok || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		p.invalid(path, "%q is not a name: 1 to %d of a-z, 0-9 and -, no - at either end", s, MaxName)
	}
}

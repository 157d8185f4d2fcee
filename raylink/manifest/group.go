package manifest

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"raylink/raylink"
	"raylink/raylink/ray"
)

// source is one group as the manifest has it.
type source struct {
	path      string
	name      string
	role      raylink.NodeRole
	params    map[string]string
	resources map[string]string
	labels    map[string]string
	template  *corev1.PodTemplateSpec
}

// Bounds of one node.
const (
	maxCPU    = 1024 * raylink.Unit
	maxMemory = 16 << 40
	minMemory = 512 << 20 // Ray's own processes take about as much
	maxDisk   = 1 << 50
	minDisk   = 256 << 20 // a session's logs and the GCS's storage
	maxGPU    = 64
	maxEnvSum = 128 << 10 // bytes of a group's names and values; the kernel refuses a start with 2 MiB of them
)

func (p *parser) group(s source) raylink.NodeGroup {
	g := raylink.NodeGroup{Name: s.name}
	pod := &s.template.Spec
	at := s.path + ".template.spec"
	if len(pod.Containers) == 0 {
		p.invalid(at+".containers", "needs one container, for Ray")
	} else {
		c := &pod.Containers[0]
		g.Resources = p.limits(at+".containers[0].resources", c.Resources)
		g.Env = p.env(at+".containers[0].env", c.Env)
		p.volumes(at, pod, c)
	}
	for _, k := range []string{"gpu-fraction", "gpu-memory"} { // a scheduler's way to ask for a part of a device: ignored, there would be none
		if s.template.Annotations[k] != "" {
			p.unsupported(s.path+".template.metadata.annotations."+k, "not supported by Raylink: a device is rented whole; ask for nvidia.com/gpu in the limits")
		}
	}
	g.Require = p.require(at+".nodeSelector", pod.NodeSelector)
	p.params(s, &g)
	return g
}

// limits reads a container's resources as KubeRay does: the limit, or the request where there is no limit.
func (p *parser) limits(path string, r corev1.ResourceRequirements) raylink.Resources {
	var out raylink.Resources
	pick := func(name corev1.ResourceName) (resource.Quantity, string, bool) {
		if q, ok := r.Limits[name]; ok && !q.IsZero() {
			return q, path + ".limits." + string(name), true
		}
		if q, ok := r.Requests[name]; ok && !q.IsZero() {
			return q, path + ".requests." + string(name), true
		}
		return resource.Quantity{}, path + ".limits." + string(name), false
	}
	if q, at, ok := pick(corev1.ResourceCPU); ok {
		out.CPU = p.quantity(at, q, raylink.Unit, 1, maxCPU)
	} else {
		p.invalid(at, "is needed: a node is rented by its size")
	}
	if q, at, ok := pick(corev1.ResourceMemory); ok {
		out.Memory = p.quantity(at, q, 1, minMemory, maxMemory)
	} else {
		p.invalid(at, "is needed: a node is rented by its size")
	}
	for _, list := range []struct {
		path string
		list corev1.ResourceList
	}{{path + ".limits", r.Limits}, {path + ".requests", r.Requests}} {
		for _, name := range sortedKeys(textKeys(list.list)) {
			at := list.path + "." + name
			q := list.list[corev1.ResourceName(name)]
			switch {
			case q.IsZero() || name == "cpu" || name == "memory":
			case name == "nvidia.com/gpu":
				n := p.quantity(at, q, raylink.Unit, raylink.Unit, maxGPU*raylink.Unit)
				if n%raylink.Unit != 0 || (out.GPU != 0 && out.GPU != n) {
					p.invalid(at, "must be a whole number, the same in limits and requests")
				}
				out.GPU = n
			case name == "ephemeral-storage":
				p.disk(at, q, &out)
			default:
				p.unsupported(at, "not supported by Raylink: machines offer cpu, memory and nvidia.com/gpu; Ray's own resources go into the group's `resources`")
			}
		}
	}
	for name, limit := range r.Limits {
		if q, ok := r.Requests[name]; ok && q.Cmp(limit) != 0 && (name == corev1.ResourceCPU || name == corev1.ResourceMemory) {
			p.note("C.resources.requests", path, "requests differ from limits: a node is rented whole, at its limits")
			break
		}
	}
	return out
}

// disk takes the bound of a node's disk. A limit counts before a request, as with cpu and memory; limits are gone through first.
func (p *parser) disk(at string, q resource.Quantity, out *raylink.Resources) {
	n := p.quantity(at, q, 1, minDisk, maxDisk)
	if out.Disk == 0 {
		out.Disk = n
	}
	p.note("C.resources.storage", at, "a node that holds more of the disk is ended, with the reason; a machine's owner may give less (64Gi, unless he says otherwise)")
}

func textKeys(l corev1.ResourceList) map[string]struct{} {
	out := make(map[string]struct{}, len(l))
	for k := range l {
		out[string(k)] = struct{}{}
	}
	return out
}

// quantity is q in units of 1/unit, between least and most, or a problem.
func (p *parser) quantity(path string, q resource.Quantity, unit, least, most int64) int64 {
	scale := resource.Scale(0)
	if unit == raylink.Unit {
		scale = -4
	}
	n := q.ScaledValue(scale)
	if exact := *resource.NewScaledQuantity(n, scale); exact.Cmp(q) != 0 || n < least || n > most {
		p.invalid(path, "%s is out of bounds: from %s to %s", q.String(), bound(least, unit), bound(most, unit))
		return 0
	}
	return n
}

func bound(n, unit int64) string {
	if n%unit != 0 {
		return itoa(int(n)) + "/" + itoa(int(unit))
	}
	return strconv.FormatInt(n/unit, 10)
}

// params applies the group's resources and labels over rayStartParams, as KubeRay does, and takes apart what has a field of its own.
func (p *parser) params(s source, g *raylink.NodeGroup) {
	if len(s.params) > maxParams || len(s.resources) > maxParams {
		p.invalid(s.path+".rayStartParams", "has more than %d params or resources", maxParams)
		return
	}
	params := maps.Clone(s.params)
	if params == nil {
		params = map[string]string{}
	}
	origin := map[string]string{} // where a param came from, for messages
	p.overrides(s, params, origin)
	if len(s.labels) > 0 {
		delete(params, "labels")
	}
	kept, notes, problems := ray.Params(params)
	where := func(name string) string {
		if at := origin[name]; at != "" {
			return at
		}
		return s.path + ".rayStartParams." + name
	}
	for _, q := range problems {
		p.problems = append(p.problems, problem{where(q.Param), q.Code, q.Reason})
	}
	for _, name := range sortedKeys(notes) {
		p.note("G.rayStartParams."+name, where(name), notes[name])
	}
	if v, ok := kept["num-cpus"]; ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > 1_000_000 {
			p.invalid(where("num-cpus"), "must be at most 1000000")
		} else {
			n *= raylink.Unit
			g.RayCPU = &n
		}
		delete(kept, "num-cpus")
	}
	if v, ok := kept["resources"]; ok {
		g.Resources.Custom, _ = ray.Custom(v) // Params has read it once
		delete(kept, "resources")
	}
	labels := s.labels
	if v, ok := kept["labels"]; ok {
		labels, _ = ray.ParseLabels(v)
		delete(kept, "labels")
	}
	g.Labels = p.labels(s, labels)
	if len(kept) > 0 {
		g.Params = kept
	}
}

// overrides writes the group's `resources` into the params.
func (p *parser) overrides(s source, params, origin map[string]string) {
	custom := map[string]json.Number{}
	for _, name := range sortedKeys(s.resources) {
		at := s.path + ".resources." + name
		q, err := resource.ParseQuantity(s.resources[name])
		if err != nil || q.Sign() < 0 {
			p.invalid(at, "%q is not a quantity", s.resources[name])
			continue
		}
		lower := strings.ToLower(name)
		switch {
		case lower == "cpu":
			params["num-cpus"], origin["num-cpus"] = strconv.FormatInt(q.Value(), 10), at
		case lower == "memory":
			params["memory"], origin["memory"] = strconv.FormatInt(q.Value(), 10), at
		case strings.HasSuffix(lower, "gpu"):
			params["num-gpus"], origin["num-gpus"] = strconv.FormatInt(q.Value(), 10), at
		default:
			custom[name] = json.Number(q.AsDec().String())
		}
	}
	if len(custom) > 0 {
		text, err := json.Marshal(custom)
		if err != nil {
			p.invalid(s.path+".resources", "cannot be written as JSON: %v", err)
			return
		}
		params["resources"], origin["resources"] = string(text), s.path+".resources"
	}
}

func (p *parser) labels(s source, labels map[string]string) map[string]string {
	if len(labels) > maxLabels {
		p.invalid(s.path+".labels", "has %d labels; the limit is %d", len(labels), maxLabels)
	}
	for _, k := range sortedKeys(labels) {
		at := s.path + ".labels." + k
		if err := ray.ValidLabel(k, labels[k]); err != nil {
			p.invalid(at, "%s", err)
		} else if ray.ReservedLabel(k) {
			p.invalid(at, "is a label that Raylink or Ray sets itself")
		}
	}
	return labels
}

// env reads plain variables; $(NAME) of one that stands before it is put in, and $$ is a $, as in Kubernetes.
func (p *parser) env(path string, list []corev1.EnvVar) map[string]string {
	if len(list) == 0 {
		return nil
	}
	if len(list) > maxEnv {
		p.invalid(path, "has %d variables; the limit is %d", len(list), maxEnv)
		return nil
	}
	out := map[string]string{}
	sum := 0
	for i, e := range list {
		at := path + "[" + itoa(i) + "]"
		if e.ValueFrom != nil {
			continue // the rules have refused it
		}
		value := expand(e.Value, out)
		if err := ray.ValidEnv(e.Name, value); err != nil {
			p.invalid(at+".name", "%s", err)
			continue
		}
		if ray.ReservedEnv(e.Name) {
			p.note("C.env."+e.Name, at, e.Name+" is set by Raylink: identity, addresses, authentication and the GCS's storage are its own")
			continue
		}
		out[e.Name] = value
		if sum += len(e.Name) + len(value); sum > maxEnvSum {
			p.invalid(path, "has more than %d bytes of names and values", maxEnvSum)
			return nil
		}
	}
	return out
}

// expand may return more than a variable can hold, but not much more: a short text can name a long variable many times.
func expand(s string, known map[string]string) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() <= MaxBytes; i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if s[i+1] == '$' {
			b.WriteByte('$')
			i++
			continue
		}
		end := strings.IndexByte(s[i:], ')')
		if s[i+1] == '(' && end > 0 {
			if v, ok := known[s[i+2:i+end]]; ok {
				b.WriteString(v)
				i += end
				continue
			}
		}
		b.WriteByte('$')
	}
	return b.String()
}

// require turns a nodeSelector into labels that the machine must have.
func (p *parser) require(path string, selector map[string]string) map[string]string {
	if len(selector) == 0 {
		return nil
	}
	if len(selector) > maxLabels {
		p.invalid(path, "has %d labels; the limit is %d", len(selector), maxLabels)
		return nil
	}
	out := map[string]string{}
	for _, k := range sortedKeys(selector) {
		v := selector[k]
		switch {
		case k == "kubernetes.io/arch" || k == raylink.LabelArch:
			if v != "amd64" && v != "arm64" {
				p.unsupported(path+"."+k, "%q: machines are amd64 or arm64", v)
			}
			if old, both := out[raylink.LabelArch]; both && old != v {
				p.invalid(path+"."+k, "no machine is %s and %s", old, v)
			}
			out[raylink.LabelArch] = v
		case k == "kubernetes.io/os":
			if v != "linux" {
				p.unsupported(path+"."+k, "nodes run Linux")
			}
		default:
			if err := ray.ValidLabel(k, v); err != nil {
				p.invalid(path+"."+k, "%s", err)
			}
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// volumes lets pass what Raylink provides anyway: a directory for Ray's sessions, and shared memory.
func (p *parser) volumes(path string, pod *corev1.PodSpec, c *corev1.Container) {
	if len(pod.Volumes) > maxVolumes || len(c.VolumeMounts) > maxVolumes {
		p.invalid(path+".volumes", "has more than %d volumes or mounts", maxVolumes)
		return
	}
	provided := map[string]bool{}
	for i, v := range pod.Volumes {
		at := path + ".volumes[" + itoa(i) + "]"
		rest := v.VolumeSource
		rest.EmptyDir = nil
		if v.EmptyDir == nil || rest != (corev1.VolumeSource{}) {
			p.unsupported(at, "not supported by Raylink yet; remove it: %s", whyFiles)
			continue
		}
		provided[v.Name] = true
		for _, m := range c.VolumeMounts {
			if m.Name == v.Name && m.MountPath != ray.TempDir && m.MountPath != "/dev/shm" {
				provided[v.Name] = false
				p.unsupported(at, "mounted at %s; Raylink provides %s and /dev/shm only", m.MountPath, ray.TempDir)
			}
		}
		if provided[v.Name] {
			p.note("P.volumes", at, "Raylink provides "+ray.TempDir+" and /dev/shm itself")
		}
	}
	for i, m := range c.VolumeMounts {
		if _, known := provided[m.Name]; !known {
			p.unsupported(path+".containers[0].volumeMounts["+itoa(i)+"]", "not supported by Raylink yet; remove it with its volume")
		}
	}
}

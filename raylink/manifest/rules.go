package manifest

import "strings"

type action string

const (
	honour action = "honoured"
	ignore action = "ignored with a note"
	silent action = "ignored"
	refuse action = "refused"
)

// rule says what becomes of one field. In paths, G is a group (spec.headGroupSpec or spec.workerGroupSpecs[*]), P its pod
// (G.template.spec) and C its first container (P.containers[0]). A field without a rule is refused.
type rule struct {
	path string
	do   action
	only string // the one value that is fine, without a note; any other is treated as do says
	why  string
}

const (
	whyKubernetes = "has no meaning outside Kubernetes"
	whyScale      = "Raylink does not scale a cluster yet: give each group the replicas it needs"
	whyEndpoint   = "Raylink issues an endpoint itself"
	whyCommand    = "the container runs Raylink's own `ray start` line; put it into the job's entrypoint or runtime environment"
	whySandbox    = "a node runs in Raylink's sandbox: no privileges, no capabilities, its own network"
	whyProbe      = "Raylink watches Ray's health itself"
	whyFiles      = "bring files with the job's working_dir"
	whyGang       = "Raylink always places a whole cluster or nothing"
)

// rules is the table of fields, in the order in which FIELDS.md shows it. It is a function because nothing may change it.
func rules() []rule { return append(clusterRules(), groupRules()...) }

func clusterRules() []rule {
	return []rule{
		{"apiVersion", honour, "", "must be ray.io/v1"},
		{"kind", honour, "", "must be RayCluster"},
		{"metadata.name", honour, "", "a DNS label of at most 40 characters"},
		{"metadata.labels", honour, "", "kept with the cluster; Ray's own labels are a group's `labels`"},
		{"metadata.annotations", honour, "", "`raylink.io/isolation` (container, gvisor; vm is refused for now), `raylink.io/egress` (none, internet), `raylink.io/egress-bytes`; an unknown one of raylink.io is refused, as is one that changes the command; others are ignored with a note"},
		{"metadata", ignore, "", whyKubernetes},
		{"status", ignore, "", "it is an answer, not a wish"},

		{"spec.rayVersion", honour, "", "must be the image's"},
		{"spec.suspend", refuse, "", "create the cluster when it is to run"},
		{"spec.managedBy", refuse, "ray.io/kuberay-operator", "another controller cannot manage a cluster here"},
		{"spec.enableInTreeAutoscaling", refuse, "", whyScale},
		{"spec.autoscalerOptions", refuse, "", whyScale},
		{"spec.authOptions.mode", refuse, "token", "Ray's token authentication is always on"},
		{"spec.authOptions.secretName", refuse, "", "Raylink makes the cluster's token itself and nobody has to hold it"},
		{"spec.authOptions.enableK8sTokenAuth", refuse, "", whyKubernetes},
		{"spec.gcsFaultToleranceOptions", ignore, "", "Raylink always keeps the GCS, in RocksDB on the head's lease; no Redis is used"},
		{"spec.headServiceAnnotations", ignore, "", whyEndpoint},
		{"spec.upgradeStrategy", ignore, "", "a cluster is not changed in place: create another"},
		{"spec.headGroupSpec.serviceType", ignore, "ClusterIP", whyEndpoint},
		{"spec.headGroupSpec.enableIngress", ignore, "", whyEndpoint},
		{"spec.headGroupSpec.headService", refuse, "", whyEndpoint},
		{"spec.workerGroupSpecs[*].groupName", honour, "", "a DNS label of at most 40 characters, once only"},
		{"spec.workerGroupSpecs[*].replicas", honour, "", "this many nodes, kept between the bounds"},
		{"spec.workerGroupSpecs[*].minReplicas", honour, "", "as a bound of replicas"},
		{"spec.workerGroupSpecs[*].maxReplicas", honour, "", "as a bound of replicas"},
		{"spec.workerGroupSpecs[*].idleTimeoutSeconds", ignore, "", whyScale},
		{"spec.workerGroupSpecs[*].numOfHosts", refuse, "1", "write a group with more replicas"},
		{"spec.workerGroupSpecs[*].suspend", refuse, "", "leave the group away"},
		{"spec.workerGroupSpecs[*].scaleStrategy.workersToDelete", refuse, "", whyScale},
	}
}

func groupRules() []rule {
	return []rule{
		{"G.rayStartParams", honour, "", "win over what follows from the limits, except over identity, addresses, ports and authentication"},
		{"G.resources", honour, "", "win over rayStartParams"},
		{"G.labels", honour, "", "Ray node labels; win over rayStartParams"},
		{"G.template.metadata.labels", silent, "", whyKubernetes},
		{"G.template.metadata.annotations", ignore, "", whyKubernetes + "; gpu-fraction and gpu-memory are refused: a device is rented whole"},
		{"G.template.metadata", silent, "", whyKubernetes},

		{"P.nodeSelector", honour, "", "labels that the machine must have; kubernetes.io/arch is understood"},
		{"P.volumes", honour, "", "emptyDir mounted at /tmp/ray or /dev/shm, which Raylink provides; refused otherwise: " + whyFiles},
		{"P.initContainers", refuse, "", "a node has one container; prepare in the job instead"},
		{"P.ephemeralContainers", refuse, "", "a node has one container"},
		{"P.hostNetwork", refuse, "", whySandbox},
		{"P.hostPID", refuse, "", whySandbox},
		{"P.hostIPC", refuse, "", whySandbox},
		{"P.securityContext.runAsNonRoot", silent, "", "always so"},
		{"P.securityContext", refuse, "", whySandbox},
		{"P.serviceAccountName", refuse, "", "there is no Kubernetes API to have an account at"},
		{"P.serviceAccount", refuse, "", "there is no Kubernetes API to have an account at"},
		{"P.affinity", refuse, "", "use nodeSelector"},
		{"P.topologySpreadConstraints", refuse, "", "use nodeSelector"},
		{"P.tolerations", ignore, "", "machines have no taints"},
		{"P.schedulerName", ignore, "", whyGang},
		{"P.imagePullSecrets", ignore, "", "images come from Raylink's catalogue"},
		{"P.restartPolicy", ignore, "", "Raylink decides what is started again"},
		{"P.terminationGracePeriodSeconds", ignore, "", "an ended lease ends at once"},
		{"P.dnsPolicy", ignore, "", "nodes know one another by address"},

		{"C.name", silent, "", whyKubernetes},
		{"C.image", honour, "", "the same in every group, mapped by Raylink's catalogue"},
		{"C.resources.limits", honour, "", "cpu, memory, nvidia.com/gpu; ephemeral-storage bounds what a node may hold of its machine's disk (`/tmp/ray` and what else it writes there)"},
		{"C.resources.requests", honour, "", "where there is no limit; otherwise a node is rented at its limits"},
		{"C.env[*].name", honour, "", ""},
		{"C.env[*].value", honour, "", "$(NAME) of an earlier variable is put in"},
		{"C.env[*].valueFrom", refuse, "", "write the value itself"},
		{"C.envFrom", refuse, "", "write the variables themselves"},
		{"C.volumeMounts", honour, "", "see volumes"},
		{"C.ports", silent, "", "all ports are open between the nodes of a cluster, and none from outside"},
		{"C.imagePullPolicy", ignore, "IfNotPresent", "images come from Raylink's catalogue"},
		{"C.command", refuse, "", whyCommand},
		{"C.args", refuse, "", whyCommand},
		{"C.workingDir", refuse, "", "set the job's working_dir"},
		{"C.lifecycle.preStop", ignore, "", "an ended lease ends at once"},
		{"C.lifecycle.postStart", refuse, "", whyCommand},
		{"C.livenessProbe", ignore, "", whyProbe},
		{"C.readinessProbe", ignore, "", whyProbe},
		{"C.startupProbe", ignore, "", whyProbe},
		{"C.securityContext.runAsNonRoot", silent, "", "always so"},
		{"C.securityContext.capabilities.drop", silent, "", "all are dropped, always"},
		{"C.securityContext", refuse, "", whySandbox},
		{"C.terminationMessagePath", silent, "", whyKubernetes},
		{"C.terminationMessagePolicy", silent, "", whyKubernetes},
	}
}

// index finds rules by path, with P and C written out, and knows below which paths rules lie, so that a walk has to go on there.
type index struct {
	rule   map[string]rule
	deeper map[string]bool
}

func newIndex() index {
	out := index{map[string]rule{}, map[string]bool{"": true, "spec.headGroupSpec": true, "spec.workerGroupSpecs[*]": true}}
	for _, r := range rules() {
		path := r.path
		if rest, ok := strings.CutPrefix(path, "C."); ok {
			path = "P.containers[*]." + rest
		}
		if rest, ok := strings.CutPrefix(path, "P."); ok {
			path = "G.template.spec." + rest
		}
		out.rule[path] = r
		for i, c := range path {
			if c == '.' || c == '[' {
				out.deeper[path[:i]] = true
			}
		}
	}
	return out
}

// general brings a field's path into the form of the index.
func general(path string) string {
	path = unindex(path)
	for _, group := range []string{"spec.headGroupSpec.", "spec.workerGroupSpecs[*]."} {
		if in, ok := strings.CutPrefix(path, group); ok && groupField(in) {
			return "G." + in
		}
	}
	return path
}

func groupField(in string) bool {
	for _, f := range []string{"rayStartParams", "resources", "labels", "template"} {
		if in == f || strings.HasPrefix(in, f+".") {
			return true
		}
	}
	return false
}

// unindex replaces every [n] by [*].
func unindex(s string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(s, '[')
		if open < 0 {
			return b.String() + s
		}
		shut := strings.IndexByte(s[open:], ']')
		if shut < 0 {
			return b.String() + s
		}
		b.WriteString(s[:open] + "[*]")
		s = s[open+shut+1:]
	}
}

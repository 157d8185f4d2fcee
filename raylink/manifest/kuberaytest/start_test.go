package kuberaytest

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/common"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"raylink/raylink"
	"raylink/raylink/manifest"
	"raylink/raylink/ray"
)

// differences is the whole list of options in which Raylink's line may differ from KubeRay's, and why. Everything else must be equal.
func differences() map[string]string {
	return map[string]string{
		"node-ip-address":           "a pod's address is its route's; here the overlay's address has to be named",
		"address":                   "KubeRay names the head's service, Raylink its overlay address",
		"dashboard-host":            "KubeRay listens everywhere, Raylink on the overlay's address only",
		"disable-usage-stats":       "a node has no way to the Internet",
		"object-store-memory":       "Ray would measure the memory that is free at start; only where the manifest is silent",
		"num-gpus":                  "Ray's guess is wrong on many machines, so that 0 is said too; only where KubeRay is silent",
		"labels":                    "Raylink adds its own; the manifest's are all there",
		"port":                      "pinned: the overlay is dialled before Ray starts",
		"dashboard-port":            "pinned",
		"ray-client-server-port":    "pinned",
		"node-manager-port":         "pinned",
		"object-manager-port":       "pinned",
		"dashboard-agent-grpc-port": "pinned",
		"runtime-env-agent-port":    "pinned",
		"min-worker-port":           "pinned",
		"max-worker-port":           "pinned",
		"redis-username":            "the GCS lives in RocksDB, there is no Redis",
		"redis-password":            "the GCS lives in RocksDB, there is no Redis",
	}
}

// both says that an option may differ even where KubeRay's line has it too. The others of the list must be options that KubeRay does not write.
func both(option string) bool {
	return slices.Contains([]string{"address", "dashboard-host", "labels", "redis-username", "redis-password"}, option)
}

type group struct {
	name    string
	node    ray.Node
	kuberay map[string]string
}

func TestStartLinesAreKubeRays(t *testing.T) {
	compared := 0
	for name, text := range clusters(t) {
		spec, _, err := anyImage(text).Parse([]byte(text))
		if err != nil {
			t.Logf("%s: refused by Raylink, nothing to compare", name)
			continue
		}
		var cluster rayv1.RayCluster
		if err := yaml.UnmarshalStrict([]byte(text), &cluster); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups(t, &cluster, spec) {
			compared++
			t.Run(name+"/"+g.name, func(t *testing.T) { compare(t, g) })
		}
	}
	if compared < 15 {
		t.Errorf("only %d groups were compared", compared)
	}
}

func compare(t *testing.T, g group) {
	ours := options(ray.Command(g.node))
	for name, theirs := range g.kuberay {
		mine, has := ours[name]
		switch {
		case name == "labels":
			want, err := ray.ParseLabels(theirs)
			if err != nil {
				t.Error(err)
			}
			got, err := ray.ParseLabels(mine)
			if err != nil {
				t.Error(err)
			}
			for k, v := range want {
				if got[k] != v {
					t.Errorf("label %s=%s became %q", k, v, got[k])
				}
			}
		case both(name):
		case name == "resources":
			if !has || !reflect.DeepEqual(asJSON(t, mine), asJSON(t, theirs)) {
				t.Errorf("--resources: KubeRay %s, Raylink %s", theirs, mine)
			}
		case !has || mine != theirs:
			t.Errorf("--%s: KubeRay %q, Raylink %q (given: %v)", name, theirs, mine, has)
		}
	}
	for name, mine := range ours {
		if _, has := g.kuberay[name]; !has && differences()[name] == "" {
			t.Errorf("--%s=%s is Raylink's alone, and not on the list", name, mine)
		}
	}
}

// groups pairs each group's start line by KubeRay with the node that Raylink would start.
func groups(t *testing.T, c *rayv1.RayCluster, spec raylink.ClusterSpec) []group {
	const fqdn, port = "head.default.svc.cluster.local", "6379"
	ctx := context.Background()
	head := netip.MustParseAddr("100.64.9.2")
	var out []group
	add := func(role raylink.NodeRole, g raylink.NodeGroup, pod corev1.Pod) {
		n := ray.Node{Cluster: spec.Name, Lease: "l-aaaaaaaaaa", Machine: "m-aaaaaaaaaa", Role: role, Address: head, Head: head, Group: g, Arch: "amd64"}
		if role == raylink.NodeWorker {
			n.Address = netip.MustParseAddr("100.64.9.10")
		}
		if err := n.Check(); err != nil {
			t.Error(err)
		}
		out = append(out, group{g.Name, n, options(words(t, pod))})
	}
	hs := *c.Spec.HeadGroupSpec.DeepCopy()
	if hs.RayStartParams == nil {
		hs.RayStartParams = map[string]string{}
	}
	tmpl := common.DefaultHeadPodTemplate(ctx, *c, hs, "head", port)
	add(raylink.NodeHead, spec.Head, common.BuildPod(ctx, tmpl, rayv1.HeadNode, hs.RayStartParams, port, false, utils.RayClusterCRD, "", nil, c.Spec.RayVersion))
	for i, w := range c.Spec.WorkerGroupSpecs {
		ws := *w.DeepCopy()
		if ws.RayStartParams == nil {
			ws.RayStartParams = map[string]string{}
		}
		if ws.NumOfHosts == 0 {
			ws.NumOfHosts = 1
		}
		if want, got := utils.GetWorkerGroupDesiredReplicas(ws), spec.Workers[i].Replicas; int(want) != got {
			t.Errorf("%s: KubeRay wants %d replicas, Raylink %d", w.GroupName, want, got)
		}
		tmpl := common.DefaultWorkerPodTemplate(ctx, *c, ws, "worker", fqdn, port, "", 0, 0)
		add(raylink.NodeWorker, spec.Workers[i], common.BuildPod(ctx, tmpl, rayv1.WorkerNode, ws.RayStartParams, port, false, utils.RayClusterCRD, fqdn, nil, c.Spec.RayVersion))
	}
	return out
}

// words lets a shell split KubeRay's line, as it does in the pod.
func words(t *testing.T, pod corev1.Pod) []string {
	t.Helper()
	var line string
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == utils.KUBERAY_GEN_RAY_START_CMD {
			line = e.Value
		}
	}
	if line == "" {
		t.Fatal("KubeRay made no start line")
	}
	out, err := exec.Command("/bin/sh", "-c", `set -f; eval "set -- $1"; for w; do printf '%s\0' "$w"; done`, "sh", line).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// options takes a line apart: option → value, "" for a switch.
func options(argv []string) map[string]string {
	out := map[string]string{}
	for _, a := range argv[2:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		out[name] = value
	}
	return out
}

func asJSON(t *testing.T, s string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		t.Errorf("%q: %v", s, err)
	}
	return out
}

// clusters are the RayClusters among KubeRay's samples, and some of our own for what the samples do not show.
func clusters(t *testing.T) map[string]string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/ray-project/kuberay/ray-operator").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "config", "samples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no samples in the module: ", err)
	}
	own, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil || len(own) == 0 {
		t.Fatal("no manifests of our own: ", err)
	}
	out := map[string]string{}
	for _, file := range append(files, own...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range regexp.MustCompile(`(?m)^---\s*$`).Split(string(text), -1) {
			if regexp.MustCompile(`(?m)^kind: RayCluster\s*$`).MatchString(doc) {
				out[strings.TrimSuffix(filepath.Base(file), ".yaml")] = doc
			}
		}
	}
	return out
}

// anyImage is a catalogue that has the manifest's own images: the samples are older than Raylink's image.
func anyImage(text string) manifest.Catalogue {
	e := manifest.Entry{RayVersion: "?", Run: map[string]string{"amd64": "sample"}}
	if m := regexp.MustCompile(`(?m)^\s*rayVersion:\s*["']?([^\s"']+)`).FindStringSubmatch(text); m != nil {
		e.RayVersion = m[1]
	}
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:- )?image:\s*["']?([^\s"']+)`).FindAllStringSubmatch(text, -1) {
		e.Names = append(e.Names, m[1])
	}
	return manifest.Catalogue{e}
}

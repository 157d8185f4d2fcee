package kuberaytest

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
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

// difference is one option in which the two lines may differ, and how far.
type difference struct {
	may    func(c comparison) bool
	reason string
}

// comparison is one option of one group in both lines.
type comparison struct {
	name        string
	node        ray.Node
	params      map[string]string // the manifest's rayStartParams
	mine, their string
	has, theyDo bool // the option is in Raylink's line, in KubeRay's
}

func pinnedPort(c comparison) bool { return mineAlone(c) || bothHave(c) && c.their == c.params[c.name] }

func mineAlone(c comparison) bool  { return c.has && !c.theyDo }
func theirAlone(c comparison) bool { return !c.has && c.theyDo }
func bothHave(c comparison) bool   { return c.has && c.theyDo }

// differences is the whole list of options in which Raylink's line may differ from KubeRay's, and why. Everything else must be equal, and each
// entry must be needed by some manifest.
func differences() map[string]difference {
	pinned := difference{pinnedPort, "pinned, as the overlay is dialled before Ray starts; a port that the manifest names is dropped with a note"}
	redis := difference{theirAlone, "the GCS lives in RocksDB, there is no Redis; dropped with a note"}
	room := difference{theirAlone, "a pod may be laid out freely, a lease not: dropped with a note"}
	return map[string]difference{
		"node-ip-address": {mineAlone, "a pod's address is its route's; here the overlay's address has to be named"},
		"address":         {bothHave, "KubeRay names the head's service, Raylink its overlay address"},
		"dashboard-host":  {bothHave, "KubeRay listens everywhere, Raylink on the overlay's address only"},

		"disable-usage-stats": {mineAlone, "a node has no way to the Internet"},
		"object-store-memory": {mineAlone, "Ray would measure the memory that is free at start; only where the manifest is silent"},
		"memory":              {onlyRequested, "KubeRay leaves Ray to guess where there is a request and no limit; a node is rented at its request then"},
		"num-gpus":            {mineAlone, "Ray's guess is wrong on many machines, so that 0 is said too; only where KubeRay is silent"},
		"labels":              {moreLabels, "Raylink adds its own; the manifest's are all there"},
		"include-log-monitor": {saysFalse, "KubeRay takes the option for a switch and drops false, Ray's default being true; Raylink does what was asked"},

		"port": pinned, "dashboard-port": pinned, "ray-client-server-port": pinned, "node-manager-port": pinned, "object-manager-port": pinned,
		"dashboard-agent-grpc-port": pinned, "runtime-env-agent-port": pinned, "min-worker-port": pinned, "max-worker-port": pinned,
		"metrics-export-port": pinned, "dashboard-agent-listen-port": pinned,
		"worker-port-list": {theirAlone, "pinned to the range of min-worker-port and max-worker-port; dropped with a note"},
		"redis-password":   redis, "redis-username": redis, "redis-shard-ports": redis, "temp-dir": room, "node-name": room,
		"include-dashboard": {theirAlone, "the cluster's endpoint is the dashboard's, so that it always runs; dropped with a note"},
	}
}

func onlyRequested(c comparison) bool {
	return mineAlone(c) && c.mine == strconv.FormatInt(c.node.Group.Resources.Memory, 10) && c.params["memory"] == ""
}

func saysFalse(c comparison) bool {
	return mineAlone(c) && c.mine == "false" && strings.EqualFold(c.params["include-log-monitor"], "false")
}

// moreLabels: those of KubeRay's line, and beside them none but Raylink's.
func moreLabels(c comparison) bool {
	theirs, err := ray.ParseLabels(c.their)
	if err != nil {
		return false
	}
	mine, err := ray.ParseLabels(c.mine)
	if err != nil {
		return false
	}
	for k, v := range theirs {
		if mine[k] != v {
			return false
		}
		delete(mine, k)
	}
	for k := range mine {
		if !ray.ReservedLabel(k) {
			return false
		}
	}
	return true
}

type group struct {
	name    string
	node    ray.Node
	params  map[string]string
	kuberay map[string]string
}

func TestStartLinesAreKubeRays(t *testing.T) {
	compared, needed := 0, map[string]bool{}
	for name, text := range clusters(t) {
		spec, _, err := anyImage(text).Parse([]byte(text))
		if err != nil {
			if strings.HasPrefix(name, "own/") {
				t.Errorf("%s: %v", name, err)
			}
			continue // refused by Raylink, there is nothing to compare; the golden file of package manifest says why
		}
		var cluster rayv1.RayCluster
		if err := yaml.UnmarshalStrict([]byte(text), &cluster); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups(t, &cluster, spec) {
			compared++
			t.Run(name+"/"+g.name, func(t *testing.T) { compare(t, g, needed) })
		}
	}
	if compared < 23 {
		t.Errorf("only %d groups were compared", compared)
	}
	t.Logf("%d groups compared", compared)
	for name := range differences() {
		if !needed[name] {
			t.Errorf("no manifest needs --%s on the list of differences", name)
		}
	}
}

// compare marks in needed what was equal only by the list.
func compare(t *testing.T, g group, needed map[string]bool) {
	ours := options(t, ray.Command(g.node))
	names := maps.Clone(ours)
	maps.Copy(names, g.kuberay)
	for name := range names {
		c := comparison{name: name, node: g.node, params: g.params}
		c.mine, c.has = ours[name]
		c.their, c.theyDo = g.kuberay[name]
		if c.has == c.theyDo && (c.mine == c.their || name == "resources" && reflect.DeepEqual(asJSON(t, c.mine), asJSON(t, c.their))) {
			continue
		}
		d, listed := differences()[name]
		if !listed || !d.may(c) {
			t.Errorf("--%s: KubeRay %q (given: %v), Raylink %q (given: %v); excuse: %q", name, c.their, c.theyDo, c.mine, c.has, d.reason)
			continue
		}
		needed[name] = true
	}
}

// groups pairs each group's start line by KubeRay with the node that Raylink would start.
func groups(t *testing.T, c *rayv1.RayCluster, spec raylink.ClusterSpec) []group {
	const fqdn, port = "head.default.svc.cluster.local", "6379"
	ctx := context.Background()
	head := netip.MustParseAddr("100.64.9.2")
	var out []group
	add := func(role raylink.NodeRole, g raylink.NodeGroup, params map[string]string, pod corev1.Pod) {
		n := ray.Node{Cluster: spec.Name, Lease: "l-aaaaaaaaaa", Machine: "m-aaaaaaaaaa", Role: role, Address: head, Head: head, Group: g, Arch: "amd64"}
		if role == raylink.NodeWorker {
			n.Address = netip.MustParseAddr("100.64.9.10")
		}
		if err := n.Check(); err != nil {
			t.Error(err)
		}
		out = append(out, group{g.Name, n, params, options(t, words(t, pod))})
	}
	hs := *c.Spec.HeadGroupSpec.DeepCopy()
	if hs.RayStartParams == nil {
		hs.RayStartParams = map[string]string{}
	}
	tmpl := common.DefaultHeadPodTemplate(ctx, *c, hs, "head", port)
	add(raylink.NodeHead, spec.Head, c.Spec.HeadGroupSpec.RayStartParams, common.BuildPod(ctx, tmpl, rayv1.HeadNode, hs.RayStartParams, port, false, utils.RayClusterCRD, "", nil, c.Spec.RayVersion))
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
		add(raylink.NodeWorker, spec.Workers[i], w.RayStartParams, common.BuildPod(ctx, tmpl, rayv1.WorkerNode, ws.RayStartParams, port, false, utils.RayClusterCRD, fqdn, nil, c.Spec.RayVersion))
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
func options(t *testing.T, argv []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	i := slices.Index(argv, "ray") // KubeRay begins with ulimit -n N;
	if i < 0 || i+1 >= len(argv) || argv[i+1] != "start" {
		t.Fatalf("%q is no start line", argv)
	}
	for _, a := range argv[i+2:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if _, twice := out[name]; twice || !strings.HasPrefix(a, "--") {
			t.Errorf("%q in %q", a, argv)
		}
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
				name := strings.TrimSuffix(filepath.Base(file), ".yaml")
				if slices.Contains(own, file) {
					name = "own/" + name
				}
				if _, twice := out[name]; twice {
					t.Fatalf("%s holds two clusters", file)
				}
				out[name] = doc
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

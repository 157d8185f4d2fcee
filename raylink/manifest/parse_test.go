package manifest

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/ray"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the difference. Now:\n%s", path, got)
	}
}

const whole = `# comment
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: first
  labels: {team: vision}
spec:
  rayVersion: "2.60.0"
  headGroupSpec:
    rayStartParams: {dashboard-host: 0.0.0.0, num-cpus: "0", port: "6379"}
    template:
      spec:
        containers:
          - name: ray-head
            image: rayproject/ray:2.60.0-py311
            ports: [{containerPort: 6379, name: gcs}]
            resources: {limits: {cpu: 500m, memory: 2Gi}}
  workerGroupSpecs:
    - groupName: left
      replicas: 2
      minReplicas: 1
      maxReplicas: 5
      labels: {side: left}
      resources: {CPU: "3", disk: "7"}
      rayStartParams: {object-store-memory: "200000000", no-monitor: "true"}
      template:
        spec:
          nodeSelector: {kubernetes.io/arch: amd64, kubernetes.io/os: linux, region: eu}
          volumes: [{name: logs, emptyDir: {}}]
          containers:
            - name: w
              image: rayproject/ray:2.60.0-py311
              volumeMounts: [{name: logs, mountPath: /tmp/ray}]
              resources:
                requests: {cpu: "1", memory: 1Gi}
                limits: {cpu: "2", memory: 1Gi, nvidia.com/gpu: "1"}
              env:
                - {name: A, value: x}
                - {name: B, value: "$(A)-$(C)-$$(A)"}
                - {name: RAY_AUTH_TOKEN, value: mine}
    - groupName: right
      rayStartParams: {labels: "side=right,zone=b", resources: '"{\"ssd\": 2}"'}
      template:
        spec:
          containers:
            - name: w
              image: rayproject/ray:2.60.0-py311
              resources: {requests: {cpu: 1500m, memory: 1Gi}}
`

func TestParseKeepsWhatItHonours(t *testing.T) {
	spec, notes, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	zero, three := int64(0), int64(3*raylink.Unit)
	want := raylink.ClusterSpec{
		Name: "first", RayVersion: "2.60.0", Image: "rayproject/ray:2.60.0-py311", Labels: map[string]string{"team": "vision"},
		Head: raylink.NodeGroup{Name: "headgroup", Replicas: 1, RayCPU: &zero, Resources: raylink.Resources{CPU: 5000, Memory: 2 << 30}},
		Workers: []raylink.NodeGroup{{
			Name: "left", Replicas: 2, RayCPU: &three, Labels: map[string]string{"side": "left"},
			Resources: raylink.Resources{CPU: 2 * raylink.Unit, Memory: 1 << 30, GPU: raylink.Unit, Custom: map[string]int64{"disk": 7 * raylink.Unit}},
			Params:    map[string]string{"object-store-memory": "200000000", "no-monitor": "true"},
			Env:       map[string]string{"A": "x", "B": "x-$(C)-$(A)"},
			Require:   map[string]string{raylink.LabelArch: "amd64", "region": "eu"},
		}, {
			Name: "right", Labels: map[string]string{"side": "right", "zone": "b"},
			Resources: raylink.Resources{CPU: 15000, Memory: 1 << 30, Custom: map[string]int64{"ssd": 2 * raylink.Unit}},
		}},
	}
	if !reflect.DeepEqual(spec, want) {
		got, _ := json.MarshalIndent(spec, "", " ")
		t.Errorf("got %s", got)
	}
	golden(t, "testdata/notes.golden", strings.Join(notes, "\n")+"\n")
}

// TestExample: what the README tells a newcomer to send is understood.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../examples/first-job/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, notes, err := Parse(text)
	if err != nil || len(spec.Workers) != 2 || spec.Nodes() != 3 {
		t.Fatalf("%+v %v", spec, err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "runs as raylink/worker") {
		t.Error(notes)
	}
}

func TestJSONIsUnderstoodToo(t *testing.T) {
	text := `{"apiVersion":"ray.io/v1","kind":"RayCluster","metadata":{"name":"j"},"spec":{"headGroupSpec":{"rayStartParams":{},"template":{"spec":
	{"containers":[{"name":"h","image":"raylink/worker:2.60.0-py311","resources":{"limits":{"cpu":1,"memory":"1Gi"}}}]}}}}}`
	spec, notes, err := Parse([]byte(text))
	if err != nil || spec.Name != "j" || spec.Head.Resources.CPU != raylink.Unit || spec.RayVersion != "2.60.0" {
		t.Fatal(spec, err)
	}
	if len(notes) != 0 {
		t.Error(notes)
	}
}

// in is the whole manifest with one thing otherwise.
func in(old, new string) string {
	if strings.Count(whole, old) == 0 {
		panic(old + " is not in the manifest")
	}
	return strings.Replace(whole, old, new, 1)
}

func pod(more string) string { return in("nodeSelector:", more+"\n          nodeSelector:") }

func con(more string) string {
	return in("              env:\n", "              "+more+"\n              env:\n")
}

const (
	w0 = "spec.workerGroupSpecs[0]."
	p0 = w0 + "template.spec."
)

type refusal struct{ text, want string }

func TestRefusalsNameTheField(t *testing.T) {
	for _, cases := range []map[string]refusal{clusterRefusals(), groupRefusals()} {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				_, _, err := Parse([]byte(c.text))
				var e *raylink.Error
				if !errors.As(err, &e) {
					t.Fatalf("got %v", err)
				}
				if !strings.Contains(e.Message, c.want) || e.Hint == "" || (e.Code != raylink.CodeInvalid && e.Code != raylink.CodeUnsupported) {
					t.Errorf("%s: %s\nhint: %s", e.Code, e.Message, e.Hint)
				}
			})
		}
	}
}

func clusterRefusals() map[string]refusal {
	return map[string]refusal{
		"unknown field": {in("  rayVersion:", "  rayVersoin: x\n  rayVersion:"), "spec.rayVersoin: ray.io/v1 has no such field (line 8)"},
		"twice, quoted": {in("labels: {side: left}", "labels: {1: a, '1': b}"), w0 + "labels.1: is there twice, with and without quotes"},
		"alias bomb":    {in("# comment", "x: &a "+strings.Repeat("y", 2000)+"\ny: ["+strings.Repeat("*a,", 100)+"]"), "aliases 100 times"},
		"old line ends": {strings.ReplaceAll(strings.TrimPrefix(whole, "# comment\n")+"---\nkind: Service\n", "\n", "\r"), "more than one document"},
		"all a comment": {"#a: 1\r# b\r", "is empty"},
		"not a number":  {in("replicas: 2", "replicas: .inf"), w0 + "replicas: is not a number"},
		"huge replicas": {in("replicas: 2", "replicas: 4294967298"), "spec.workerGroupSpecs.replicas"},
		"escapes":       {in("no-monitor:", "\"\\e[31m\\u202e\":"), w0 + "rayStartParams.\ufffd[31m\ufffd: `ray start`"},
		"look-alike":    {in("name: first", "name: fir\u0455t"), "metadata.name"},
		"twice":         {in("  rayVersion:", "  rayVersion: x\n  rayVersion:"), "already set in map"},
		"two documents": {whole + "---\nkind: Service\n", "holds 2 documents"},
		"empty":         {"---\n# nothing\n", "is empty"},
		"kind":          {in("kind: RayCluster", "kind: RayJob"), `kind "RayJob"`},
		"not yaml":      {"a: [", "not YAML or JSON"},
		"wrong type":    {in(`num-cpus: "0"`, `num-cpus: 0`), "rayStartParams"},
		"version":       {in(`"2.60.0"`, `"2.52.0"`), `spec.rayVersion: "2.52.0" differs from the image's Ray 2.60.0 (line 8)`},
		"image":         {strings.ReplaceAll(whole, ":2.60.0-py311", ":2.60.0"), "use one of: rayproject/ray:2.60.0-py311"},
		"two images":    {in("- name: w\n              image: rayproject/ray:2.60.0-py311", "- name: w\n              image: raylink/worker:2.60.0-py311"), "a cluster has one image (line 32)"},
		"name":          {in("name: first", "name: First_"), "metadata.name: \"First_\" is not a name"},
		"long name":     {in("name: first", "name: "+strings.Repeat("a", 41)), "metadata.name"},
		"group twice":   {in("groupName: right", "groupName: left"), "spec.workerGroupSpecs[1].groupName: \"left\" is taken by another group (line 41)"},
		"head's name":   {in("groupName: right", "groupName: headgroup"), "is taken by another group"},
		"replicas":      {in("replicas: 2", "replicas: -1"), w0 + "replicas"},
		"bounds":        {in("maxReplicas: 5", "maxReplicas: 0"), "makes no sense"},
		"too many":      {in("replicas: 2\n      minReplicas: 1\n      maxReplicas: 5", "replicas: 64"), "has 65 nodes with its head; the limit is 64"},
		"hosts":         {in("replicas: 2", "numOfHosts: 2\n      replicas: 2"), w0 + "numOfHosts: not supported"},
		"autoscaling":   {in("  rayVersion:", "  enableInTreeAutoscaling: true\n  rayVersion:"), "spec.enableInTreeAutoscaling: not supported by Raylink: Raylink does not scale"},
		"auth off":      {in("  rayVersion:", "  authOptions: {mode: disabled}\n  rayVersion:"), "spec.authOptions.mode"},
		"suspend":       {in("  rayVersion:", "  suspend: true\n  rayVersion:"), "spec.suspend"},
		"managedBy":     {in("  rayVersion:", "  managedBy: kueue.x-k8s.io/multikueue\n  rayVersion:"), "spec.managedBy"},
	}
}

func groupRefusals() map[string]refusal {
	return map[string]refusal{
		"no cpu":          {in("{cpu: 500m, memory: 2Gi}", "{memory: 2Gi}"), "spec.headGroupSpec.template.spec.containers[0].resources.limits.cpu: is needed"},
		"no memory":       {in("{cpu: 500m, memory: 2Gi}", "{cpu: 1}"), "resources.limits.memory: is needed"},
		"negative cpu":    {in("cpu: 500m", "cpu: -1"), "out of bounds"},
		"part of a gpu":   {in("template:\n        spec:\n          nodeSelector", "template:\n        metadata: {annotations: {gpu-fraction: '0.5'}}\n        spec:\n          nodeSelector"), w0 + "template.metadata.annotations.gpu-fraction: not supported by Raylink: a device is rented whole"},
		"no quantity":     {in("cpu: 500m", "cpu: much"), "spec.headGroupSpec.template.spec.containers[0].resources.limits.cpu: is not a quantity"},
		"colour":          {in(`no-monitor: "true"`, `log-color: purple`), w0 + "rayStartParams.log-color: must be one of auto, false, true"},
		"many gpus":       {in(`no-monitor: "true"`, `num-gpus: "1000000000000000"`), w0 + "rayStartParams.num-gpus: must be a whole number from 0 to 1000000"},
		"all memory":      {in(`no-monitor: "true"`, `memory: "1000000000000000"`), w0 + "rayStartParams.memory: must be a whole number from 0 to"},
		"resource twice":  {in(`'"{\"ssd\": 2}"'`, `'{"ssd": 2, "ssd": 3}'`), `rayStartParams.resources: is not JSON like {"name": 1}: "ssd" stands there twice`},
		"resource's tail": {in(`'"{\"ssd\": 2}"'`, `'{"ssd": 2}]'`), "something follows"},
		"shell's name":    {in("{name: A, value: x}", "{name: OPTIND, value: x}"), p0 + "containers[0].env[0].name: variable OPTIND belongs to the shell"},
		"much env":        {in("{name: A, value: x}", "{name: A, value: "+strings.Repeat("y", 30000)+"}"+strings.Repeat("\n                - {name: B, value: $(A)}", 5)), p0 + "containers[0].env: has more than"},
		"odd arch":        {in("kubernetes.io/arch: amd64", "kubernetes.io/arch: riscv"), p0 + "nodeSelector.kubernetes.io/arch: \"riscv\": machines are amd64 or arm64"},
		"two archs":       {in("region: eu", "raylink.io/arch: arm64"), p0 + "nodeSelector.raylink.io/arch: no machine is amd64 and arm64"},
		"many selectors":  {in("region: eu", "region: eu"+many(65, func(i int) string { return ", k" + itoa(i) + ": v" })), p0 + "nodeSelector: has 68 labels; the limit is 64"},
		"fine cpu":        {in("cpu: 500m", "cpu: 1u"), "out of bounds"},
		"huge memory":     {in("memory: 2Gi", "memory: 1Ei"), "out of bounds"},
		"little disk":     {in(`nvidia.com/gpu: "1"`, `nvidia.com/gpu: "1", ephemeral-storage: 1Mi`), p0 + "containers[0].resources.limits.ephemeral-storage: 1Mi is out of bounds"},
		"half a gpu":      {in(`nvidia.com/gpu: "1"`, `nvidia.com/gpu: 1500m`), "whole number"},
		"tpu":             {in(`nvidia.com/gpu: "1"`, `google.com/tpu: "4"`), p0 + "containers[0].resources.limits.google.com/tpu: not supported"},
		"volume":          {in("emptyDir: {}", "hostPath: {path: /}"), p0 + "volumes[0]: not supported by Raylink yet; remove it"},
		"mount elsewhere": {in("mountPath: /tmp/ray", "mountPath: /data"), "mounted at /data"},
		"mount of none":   {in("volumes: [{name: logs, emptyDir: {}}]", ""), p0 + "containers[0].volumeMounts[0]"},
		"init":            {pod("initContainers: [{name: i, image: x}]"), p0 + "initContainers: not supported"},
		"sidecar":         {in("  workerGroupSpecs:", "          - {name: side, image: x}\n  workerGroupSpecs:"), "spec.headGroupSpec.template.spec.containers[1]: sidecar"},
		"host network":    {pod("hostNetwork: true"), p0 + "hostNetwork: not supported by Raylink: a node runs in Raylink's sandbox: no privileges, no capabilities, its own network (line 28)"},
		"account":         {pod("serviceAccountName: me"), p0 + "serviceAccountName"},
		"affinity":        {pod("affinity: {nodeAffinity: {}}\n          priority: 4"), p0 + "priority: not supported by Raylink yet; remove it"},
		"pod security":    {pod("securityContext: {runAsUser: 0}"), p0 + "securityContext.runAsUser: not supported"},
		"privileged":      {con("securityContext: {privileged: true}"), p0 + "containers[0].securityContext.privileged"},
		"command":         {con(`command: ["sh"]`), p0 + "containers[0].command"},
		"args":            {con(`args: ["sh"]`), p0 + "containers[0].args"},
		"envFrom":         {con("envFrom: [{secretRef: {name: s}}]"), p0 + "containers[0].envFrom"},
		"valueFrom":       {in("{name: A, value: x}", "{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}"), p0 + "containers[0].env[0].valueFrom: not supported by Raylink: write the value itself"},
		"env name":        {in("{name: A, value: x}", "{name: a.b, value: x}"), p0 + "containers[0].env[0].name"},
		"param":           {in("no-monitor:", "no-mointor:"), w0 + "rayStartParams.no-mointor: `ray start` of Ray 2.60 has no such option"},
		"param refused":   {in("no-monitor:", "system-config:"), w0 + "rayStartParams.system-config: not supported"},
		"shell":           {in(`no-monitor: "true"`, `num-gpus: "$N"`), "do not pass through a shell"},
		"custom":          {in(`disk: "7"`, `disk: "0.5"`), w0 + "resources: disk: 0.5 is not a whole number"},
		"label":           {in("labels: {side: left}", "labels: {side: 'a,b'}"), w0 + "labels.side"},
		"our label":       {in("labels: {side: left}", "labels: {raylink.io/machine: m}"), w0 + "labels.raylink.io/machine: is a label"},
		"overwrite":       {in("  labels: {team: vision}", "  annotations: {ray.io/overwrite-container-cmd: 'true'}"), "metadata.annotations.ray.io/overwrite-container-cmd"},
		"windows":         {in("kubernetes.io/os: linux", "kubernetes.io/os: windows"), "nodes run Linux"},
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	text := strings.NewReplacer("name: first", "name: First", `"2.60.0"`, `"1"`, "emptyDir: {}", "nfs: {server: s, path: /}", "replicas: 2", "replicas: -2").Replace(whole)
	_, _, err := Parse([]byte(text))
	for _, want := range []string{"in 5 places", "metadata.name", "spec.rayVersion", "volumes[0]", "volumeMounts[0]", "replicas"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestLimitOfSize(t *testing.T) {
	_, _, err := Parse([]byte(whole + "#" + strings.Repeat("x", MaxBytes)))
	if raylink.AsError(err).Code != raylink.CodeTooLarge {
		t.Error(err)
	}
}

func TestExpansionStaysSmall(t *testing.T) {
	text := strings.Replace(whole, "{name: A, value: x}", "{name: A, value: "+strings.Repeat("y", 30000)+"}", 1)
	text = strings.Replace(text, `"$(A)-$(C)-$$(A)"`, `"`+strings.Repeat("$(A)", 40000)+`"`, 1)
	if _, _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%.200v", err)
	}
}

func TestImage(t *testing.T) {
	run, version, err := Image("rayproject/ray:2.60.0-py311", "amd64")
	if err != nil || run != "raylink/worker:2.60.0-py311" || version != "2.60.0" {
		t.Error(run, version, err)
	}
	if _, _, err := Image("rayproject/ray:2.60.0", "amd64"); !strings.Contains(raylink.AsError(err).Hint, "py311") {
		t.Error(err)
	}
	if run, _, err := Image("rayproject/ray:2.60.0-py311", "arm64"); err != nil || run != "raylink/worker:2.60.0-py311-arm64" {
		t.Error(run, err)
	}
	if _, _, err := Image("rayproject/ray:2.60.0-py311", "riscv64"); err == nil || !strings.Contains(raylink.AsError(err).Hint, "amd64, arm64") {
		t.Error(err)
	}
}

// TestFields keeps the page for people equal to the rules.
func TestFields(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What Raylink honours of a RayCluster\n\nWritten by `go test ./raylink/manifest -run TestFields -update` from `rules.go`. A field that is not here is refused by its path.\n\n" +
		"In paths, `G` is a group (`spec.headGroupSpec`, `spec.workerGroupSpecs[*]`), `P` its pod (`G.template.spec`), `C` its container (`P.containers[0]`).\n\n" +
		"| field | | what happens, or why not |\n| --- | --- | --- |\n")
	seen := map[string]bool{}
	for _, r := range rules() {
		if seen[r.path] {
			t.Errorf("%s has two rules", r.path)
		}
		seen[r.path] = true
		do := string(r.do)
		if r.only != "" {
			do += ", but `" + r.only + "` is fine"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.path, do, r.why)
	}
	golden(t, "FIELDS.md", b.String())
}

func many(n int, f func(int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

// hostile are texts within the limit of size that once took seconds to minutes, or would in a simpler reader.
func hostile() map[string]string {
	const top = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: a}\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9))
	}
	return map[string]string{
		"exponent":       strings.Replace(whole, "500m", "1e100000000", 1),
		"small exponent": strings.Replace(whole, `"3"`, "'-1e-99999999'", 1),
		"long number":    strings.Replace(whole, "500m", "'"+strings.Repeat("1", 200000)+"'", 1),
		"limit 'value'":  strings.Replace(whole, "500m", "1, value: '1e50000000'", 1),
		"res. 'value'":   strings.Replace(whole, `disk: "7"`, `value: "1e50000000"`, 1),
		"spaced number":  strings.Replace(whole, "500m", "' 1e50000000 '", 1),
		"long key":       strings.Replace(whole, "no-monitor:", "? "+strings.Repeat("a.", 100000)+"\n      :", 1),
		"long key twice": strings.Repeat(strings.Repeat("k", 100000)+": 1\n", 2),
		"digits bomb":    "a: &a " + strings.Repeat("1", 100000) + "\nb: [" + strings.Repeat("*a,", 40000) + "]",
		"nested bomb":    "a: " + many(20, func(i int) string { return "&a" + itoa(i) + " [" }) + "&a20 " + strings.Repeat("1", 100000) + many(20, func(i int) string { return ", *a" + itoa(20-i) + "]" }),
		"dashes":         strings.Repeat("- ", 100000) + "a",
		"brackets":       strings.Repeat("[", 100000),
		"deep":           top + "spec: {headGroupSpec: {template: " + strings.Repeat("{a: ", 9000) + strings.Repeat("}", 9000) + "}}",
		"aliases":        top + bomb,
		"unknown":        top + "spec:\n" + many(20000, func(i int) string { return "  k" + itoa(i) + ": 1\n" }),
		"params":         top + "spec:\n  headGroupSpec:\n    rayStartParams:\n" + many(9000, func(i int) string { return "      k" + itoa(i) + ": '1'\n" }),
		"groups":         top + "spec: {workerGroupSpecs: [" + strings.Repeat("{suspend: true},", 12000) + "]}",
		"volumes": top + "spec: {headGroupSpec: {template: {spec: {volumes: [" + strings.Repeat("{name: v, emptyDir: {}},", 5000) + "], containers: [{volumeMounts: [" +
			strings.Repeat("{name: v, mountPath: /x},", 5000) + "]}]}}}}",
	}
}

func TestHostileTextIsQuicklyRefused(t *testing.T) {
	for name, text := range hostile() {
		begin := time.Now()
		_, _, err := Parse([]byte(text))
		if e := raylink.AsError(err); err == nil || e.Code == raylink.CodeInternal || e.Code == raylink.CodeTooLarge || len(e.Message) > 64<<10 {
			t.Errorf("%s: %.500v", name, err)
		}
		if took := time.Since(begin); took > 10*time.Second { // a tenth of a second is usual
			t.Errorf("%s took %s", name, took)
		}
	}
}

// FuzzParse: no text breaks the reader, and what it accepts can be started.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("")
	f.Add("a: &a [*a]")
	f.Add("- - - x:\n -")
	f.Add(strings.Repeat("[", 1000))
	f.Add(strings.ReplaceAll(whole, "left", "\x00"))
	f.Add(strings.ReplaceAll(whole, "'", ""))
	f.Fuzz(func(t *testing.T, text string) {
		spec, _, err := Parse([]byte(text))
		if err != nil {
			var e *raylink.Error
			if !errors.As(err, &e) || e.Code == raylink.CodeInternal || e.Hint == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		if n := spec.Nodes(); n < 1 || n > MaxNodes {
			t.Fatalf("%d nodes", n)
		}
		head := netip.MustParseAddr("100.64.0.2")
		for i, g := range append([]raylink.NodeGroup{spec.Head}, spec.Workers...) {
			n := ray.Node{Cluster: spec.Name, Lease: "l-aaaaaaaaaa", Role: raylink.NodeWorker, Address: netip.MustParseAddr("100.64.0.10"), Head: head, Group: g, Arch: "amd64"}
			if i == 0 {
				n.Role, n.Address = raylink.NodeHead, head
			}
			if err := n.Check(); err != nil {
				t.Fatal(err)
			}
			if _, err := ray.StartScript(ray.Command(n), ray.Environment(n)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLines(t *testing.T) {
	got := lines("a:\n  b:\n  - c: 1\n    d: |\n      x: y\n    e: 2\n  - c: 2\nf: {g: 1}\n")
	want := map[string]int{"a": 1, "a.b": 2, "a.b[0]": 3, "a.b[0].c": 3, "a.b[0].d": 4, "a.b[0].e": 6, "a.b[1]": 7, "a.b[1].c": 7, "f": 8}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func sampleDir() string {
	home := os.Getenv("GOMODCACHE")
	if home == "" {
		path := os.Getenv("GOPATH")
		if path == "" {
			h, err := os.UserHomeDir()
			if err != nil {
				return ""
			}
			path = filepath.Join(h, "go")
		}
		home = filepath.Join(path, "pkg", "mod")
	}
	return filepath.Join(home, "github.com", "ray-project", "kuberay", "ray-operator@v1.6.2", "config", "samples")
}

// TestOrdinaryAliasesAreFine: people share a pod's parts between groups.
func TestOrdinaryAliasesAreFine(t *testing.T) {
	text := strings.Replace(whole, "{limits: {cpu: 500m, memory: 2Gi}}", "&size {limits: {cpu: 500m, memory: 2Gi}}", 1)
	text = strings.Replace(text, "{requests: {cpu: 1500m, memory: 1Gi}}", "{<<: *size}", 1)
	spec, _, err := Parse([]byte(text))
	if err != nil || !reflect.DeepEqual(spec.Workers[1].Resources.Memory, spec.Head.Resources.Memory) {
		t.Error(spec.Workers, err)
	}
	if _, _, err := Parse([]byte(strings.Replace(whole, "{name: A, value: x}", "{name: E100, value: 1e100000000}", 1))); err != nil {
		t.Errorf("a variable may hold anything, and be called like a number: %v", err)
	}
}

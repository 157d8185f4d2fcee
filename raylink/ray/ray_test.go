package ray

import (
	"flag"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"raylink/raylink"
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

func head() Node {
	addr := netip.MustParseAddr("100.64.9.2")
	return Node{
		Cluster: "first", Lease: "l-aaaaaaaaaa", Machine: "m-bbbbbbbbbb", Role: raylink.NodeHead, Address: addr, Head: addr, Arch: "amd64",
		Group: raylink.NodeGroup{Name: HeadGroup, Replicas: 1, RayCPU: new(int64), Resources: raylink.Resources{CPU: 5000, Memory: 2 << 30}},
	}
}

func worker() Node {
	return Node{
		Cluster: "first", Lease: "l-cccccccccc", Machine: "m-dddddddddd", Role: raylink.NodeWorker, Arch: "amd64", Accelerator: "RTX-4090",
		Address: netip.MustParseAddr("100.64.9.10"), Head: netip.MustParseAddr("100.64.9.2"), Labels: map[string]string{"region": "eu", "side": "machine"},
		Group: raylink.NodeGroup{
			Name: "left", Replicas: 2, Labels: map[string]string{"side": "left"},
			Resources: raylink.Resources{CPU: 15000, Memory: 4 << 30, GPU: 2 * raylink.Unit, Custom: map[string]int64{"disk": 7 * raylink.Unit}},
			Params:    map[string]string{"memory": "1000000000", "no-monitor": "true", "include-log-monitor": "false", "port": "1", "node-ip-address": "10.0.0.1"},
			Env:       map[string]string{"RAY_AUTH_TOKEN": "x", "NCCL_SOCKET_IFNAME": "lo", "HELLO": "it's"},
		},
	}
}

func TestStartLines(t *testing.T) {
	var b strings.Builder
	for _, n := range []Node{head(), worker()} {
		if err := n.Check(); err != nil {
			t.Error(err)
		}
		b.WriteString(strings.Join(Command(n), "\n") + "\n\n")
		env := Environment(n)
		for _, k := range sortedKeys(env) {
			b.WriteString(k + "=" + env[k] + "\n")
		}
		b.WriteString("\n")
	}
	golden(t, "testdata/start.golden", b.String())
}

func TestTheUserWinsOnlyWhereHeMay(t *testing.T) {
	n := worker()
	n.Group.Params = map[string]string{
		"num-cpus": "9", "num-gpus": "0", "object-store-memory": "999999999999", "dashboard-agent-listen-port": "1", "max-worker-port": "2",
		"address": "10.0.0.1:6379", "labels": "raylink.io/machine=m-x", "resources": `{"GPU":9}`, "no-monitor": "FALSE",
	}
	argv := Command(n)
	for _, want := range []string{"--num-cpus=9", "--num-gpus=0", "--dashboard-agent-listen-port=52365", "--max-worker-port=19999", "--address=100.64.9.2:6379",
		`--resources={"accelerator_type:RTX-4090":1,"disk":7}`, "--object-store-memory=2226126848"} {
		if !slices.Contains(argv, want) {
			t.Errorf("%s is not in %q", want, argv)
		}
	}
	if ShmBytes(4<<30) < 2226126848 {
		t.Error("the object store does not fit into the shared memory")
	}
	for _, arg := range argv {
		if strings.Contains(arg, "m-x") || strings.HasPrefix(arg, "--no-monitor") {
			t.Errorf("%s", arg)
		}
	}
	env := Environment(n)
	if env["RAY_AUTH_TOKEN"] != "" || env["NCCL_SOCKET_IFNAME"] != "lo" || env["RAY_gcs_storage"] != "" {
		t.Error(env)
	}
}

// TestDevicesAreKnownToRay: by all their names as resources, a processor's name as a label, and nothing else that a machine says of Raylink's own words.
func TestDevicesAreKnownToRay(t *testing.T) {
	n := worker()
	n.Accelerator = "A100-80G"
	n.Device = map[string]int64{"accelerator_type:A100-80G": raylink.Unit, "accelerator_type:A100": raylink.Unit, "accelerator_type:a,b": 1, "GPU": 9 * raylink.Unit}
	n.Labels[LabelProcessor], n.Labels[LabelGroup] = "EPYC-7003", "another"
	argv := Command(n)
	for _, want := range []string{`--resources={"accelerator_type:A100":1,"accelerator_type:A100-80G":1,"disk":7}`,
		"--labels=raylink.io/arch=amd64,raylink.io/group=left,raylink.io/lease=l-cccccccccc,raylink.io/machine=m-dddddddddd,raylink.io/processor=EPYC-7003,ray.io/accelerator-type=A100-80G,region=eu,side=left"} {
		if !slices.ContainsFunc(argv, func(arg string) bool { return sameWords(arg, want) }) {
			t.Errorf("%s is not in %q", want, argv)
		}
	}
	n.Group.Resources.GPU, n.Accelerator, n.Device = 0, "M2-Pro", map[string]int64{"accelerator_type:M2-Pro": raylink.Unit}
	if argv := Command(n); !slices.Contains(argv, `--resources={"accelerator_type:M2-Pro":1,"disk":7}`) {
		t.Errorf("a Mac is started by %q", argv)
	}
}

// TestMachinesDoNotPoseInRaysLabels: a machine without an accelerator is none by a label of its own, nor a node of another group; where it is it may say.
func TestMachinesDoNotPoseInRaysLabels(t *testing.T) {
	n := worker()
	n.Accelerator, n.Group.Labels = "", nil
	n.Labels = map[string]string{LabelAccelerator: "H100", "ray.io/node-group": "another", "ray.io/node-id": "another", "ray.io/availability-zone": "eu-1a"}
	want := "--labels=raylink.io/arch=amd64,raylink.io/group=left,raylink.io/lease=l-cccccccccc,raylink.io/machine=m-dddddddddd,ray.io/availability-zone=eu-1a"
	if argv := Command(n); !slices.ContainsFunc(argv, func(arg string) bool { return sameWords(arg, want) }) {
		t.Errorf("%s is not in %q", want, argv)
	}
}

// sameWords compares arguments but for the order of what commas part.
func sameWords(a, b string) bool {
	sorted := func(arg string) []string {
		name, list, _ := strings.Cut(arg, "=")
		words := strings.Split(list, ",")
		slices.Sort(words)
		return append(words, name)
	}
	return slices.Equal(sorted(a), sorted(b))
}

func TestHeadOnlyFlagsStayWithTheHead(t *testing.T) {
	for _, arg := range Command(worker()) {
		for _, only := range []string{"--head", "--port=", "--dashboard-host", "--include-dashboard"} {
			if strings.HasPrefix(arg, only) {
				t.Errorf("a worker has %s, which ends it at once", arg)
			}
		}
	}
}

// TestPortsDoNotOverlap: Ray refuses to start when two of its ports are one.
func TestPortsDoNotOverlap(t *testing.T) {
	ports := []int{GCSPort, NodeManagerPort, ObjectManagerPort, MetricsPort, DashboardPort, ClientPort, AgentPort, AgentGRPCPort, RuntimeEnvPort}
	slices.Sort(ports)
	if len(slices.Compact(slices.Clone(ports))) != len(ports) {
		t.Error(ports)
	}
	for _, p := range ports {
		if p >= WorkerPortFirst && p <= WorkerPortLast {
			t.Error(p)
		}
	}
}

func TestParams(t *testing.T) {
	kept, notes, problems := Params(map[string]string{
		"num-cpus": "03", "dashboard-host": "0.0.0.0", "port": "6379", "block": "true", "redis-password": "$X", "log-color": "false",
		"enable-resource-isolation": "false", "cgroup-path": "/x", "nonsense": "1", "memory": "4Gi", "temp-dir": "/data", "no-monitor": "yes",
		"resources": `"{\"a\": 2.0}"`, "object-spilling-directory": "/etc",
	})
	if want := map[string]string{"num-cpus": "3", "log-color": "false", "resources": `"{\"a\": 2.0}"`}; !maps.Equal(kept, want) {
		t.Error(kept)
	}
	if got := strings.Join(sortedKeys(notes), " "); got != "dashboard-host redis-password temp-dir" {
		t.Error(got)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Param+" "+string(p.Code))
	}
	if want := []string{"cgroup-path unsupported", "memory invalid", "no-monitor invalid", "nonsense invalid", "object-spilling-directory invalid"}; !slices.Equal(got, want) {
		t.Error(got)
	}
}

// TestParamsThatWouldEndRay: each of these ends `ray start` or the raylet of Ray 2.60 after the machine was rented.
func TestParamsThatWouldEndRay(t *testing.T) {
	for name, value := range map[string]string{
		"log-color": "purple", "log-style": "fancy", "num-gpus": "1000000000000000", "num-cpus": "1000001", "memory": "1000000000000000",
		"object-store-memory": "9223372036854775807", "resources": `{"a":1,"a":2}`, "labels": "a=b=c",
	} {
		if _, _, problems := Params(map[string]string{name: value}); len(problems) != 1 || problems[0].Param != name || problems[0].Code != raylink.CodeInvalid {
			t.Errorf("%s=%s: %v", name, value, problems)
		}
	}
}

func TestCustomResources(t *testing.T) {
	for text, want := range map[string]map[string]int64{
		`{"a": 1}`: {"a": 10_000}, `'{"a":2,"b":3}'`: {"a": 20_000, "b": 30_000}, `"{\"a\": 2.0}"`: {"a": 20_000}, `{}`: {},
	} {
		if got, err := Custom(text); err != nil || !maps.Equal(got, want) {
			t.Error(text, got, err)
		}
	}
	for _, text := range []string{`{"a":0.5}`, `{"a":-1}`, `{"CPU":1}`, `{"a":"x"}`, `[1]`, `{"a":1e400}`, `{"a":1}{}`, `{"node:x":1}`, `{"a b":1}`, ``, `{"a":1,"a":2}`, `{"a":1}]`, `{"a":1}}`, `{"a":1`, `{"a":{"b":1}}`, `null`} {
		if got, err := Custom(text); err == nil {
			t.Error(text, got)
		}
	}
}

func TestLabels(t *testing.T) {
	for _, ok := range [][2]string{{"a", ""}, {"ray.io/region", "eu-1"}, {"a.b/c_d", "A.b-c"}, {"a", strings.Repeat("x", 63)}} {
		if err := ValidLabel(ok[0], ok[1]); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][2]string{{"", "x"}, {"-a", "x"}, {"a,b", "x"}, {"a", "x,y"}, {"a", "x=y"}, {"/a", ""}, {"a/b/", ""}, {"a", strings.Repeat("x", 64)}, {"a", "x\n"}, {"ä", ""}} {
		if ValidLabel(bad[0], bad[1]) == nil {
			t.Errorf("%q is a label", bad)
		}
	}
	if got, err := ParseLabels(`"a=b, c=d"`); err != nil || !maps.Equal(got, map[string]string{"a": "b", "c": "d"}) {
		t.Error(got, err)
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Node){
		"role":          func(n *Node) { n.Role = "boss" },
		"no address":    func(n *Node) { n.Address = netip.Addr{} },
		"head's":        func(n *Node) { n.Address = n.Head },
		"label":         func(n *Node) { n.Group.Labels = map[string]string{"a": "b,c=d"} },
		"machine label": func(n *Node) { n.Labels = map[string]string{"a b": "c"} },
		"our label":     func(n *Node) { n.Group.Labels = map[string]string{LabelMachine: "m"} },
		"env":           func(n *Node) { n.Group.Env = map[string]string{"A;B": "c"} },
		"resource":      func(n *Node) { n.Group.Resources.Custom = map[string]int64{"CPU": 1} },
		"param":         func(n *Node) { n.Group.Params = map[string]string{"--head": "1"} },
	} {
		n := worker()
		spoil(&n)
		if n.Check() == nil {
			t.Error(name)
		}
	}
}

// TestStartScriptRuns lets a real shell read the script.
func TestStartScriptRuns(t *testing.T) {
	nasty := "a'b\"c$(id)`id`\\\n$HOME ;&|"
	script, err := StartScript([]string{"/bin/sh", "-c", `printf '%s|%s' "$NASTY" "$1"`, "x", nasty}, map[string]string{"NASTY": nasty})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != nasty+"|"+nasty {
		t.Errorf("%v: %q", err, out)
	}
	for _, env := range []map[string]string{{"A B": ""}, {"1A": ""}, {"": ""}, {"A": "\x00"}, {"A=B": ""}, {"OPTIND": "x"}, {"PPID": "1"}, {"SHELLOPTS": "x"}} {
		if _, err := StartScript([]string{"x"}, env); err == nil {
			t.Error(env)
		}
	}
	if _, err := StartScript(nil, nil); err == nil {
		t.Error("no command")
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAnswersOfRealRay reads what Ray 2.60.0 said.
func TestAnswersOfRealRay(t *testing.T) {
	nodes, err := Nodes(read(t, "nodes.json"))
	if err != nil || len(nodes) != 3 {
		t.Fatal(nodes, err)
	}
	h := nodes[0]
	if !h.Head || !h.Alive || h.Address != netip.MustParseAddr("100.64.9.2") || len(h.ID) != 56 || h.Labels["side"] != "head" || h.Lease() != "" {
		t.Errorf("%+v", h)
	}
	v, err := Version(read(t, "version.json"))
	if err != nil || v.Ray != "2.60.0" || v.API != "4" || !strings.HasPrefix(v.Session, "session_") {
		t.Error(v, err)
	}
	job, err := Job(read(t, "job.json"))
	if want := (JobView{ID: "sample-1", Status: "SUCCEEDED", Message: "Job finished successfully.", Entrypoint: "python train.py --seconds 10"}); err != nil || job != want || !job.Terminal() {
		t.Error(job, err)
	}
	jobs, err := Jobs(read(t, "jobs.json"))
	if err != nil || len(jobs) != 2 || jobs[1] != job {
		t.Error(jobs, err)
	}
}

// TestHeadThatWasStartedAgain: the old head stays in the list, dead, at the same address; the lease is in the labels.
func TestHeadThatWasStartedAgain(t *testing.T) {
	nodes, err := Nodes(read(t, "nodes-restarted.json"))
	if err != nil || len(nodes) != 3 {
		t.Fatal(nodes, err)
	}
	dead, left, again := nodes[0], nodes[1], nodes[2]
	if dead.Alive || !dead.Head || !strings.Contains(dead.Reason, "heartbeats") || !again.Alive || again.Address != dead.Address || again.ID == dead.ID {
		t.Errorf("%+v\n%+v", dead, again)
	}
	if again.Lease() != head().Lease || left.Lease() != worker().Lease || left.Head || left.Labels["side"] != "left" {
		t.Errorf("%+v", left)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	if (JobView{Status: "RUNNING"}).Terminal() || (JobView{Status: "PENDING"}).Terminal() {
		t.Error("a running job is not over")
	}
	for _, text := range []string{``, `{}`, `{"result":false,"msg":"x"}`, `{"result":true,"data":{"result":{"num_filtered":3,"num_after_truncation":2}}}`,
		`{"result":true,"data":{"result":{"result":[{"node_id":"../x","node_ip":"1.2.3.4"}]}}}`, `{"result":true,"data":{"result":{"result":[{"node_id":"ab","node_ip":"x"}]}}}`,
		`{"result":true,"data":{"result":{"result":[{"node_id":"ab","node_ip":"fe80::1%\u001b[31m"}]}}}`} {
		if got, err := Nodes([]byte(text)); err == nil {
			t.Error(text, got)
		}
	}
	if _, err := Job([]byte(`{"status":"RUNNING"}`)); err == nil {
		t.Error("a job without a name")
	}
	if _, err := Version([]byte(`{}`)); err == nil {
		t.Error("no version")
	}
	if v, err := Version([]byte(`{"ray_version":"2","session_name":"` + strings.Repeat("s", 10000) + `"}`)); err != nil || len(v.Session) > 520 {
		t.Error(len(v.Session), err)
	}
	if _, err := Version(make([]byte, MaxAnswer+1)); err == nil {
		t.Error("too long")
	}
	if got := JobPath("../../x?y"); got != "/api/jobs/..%2F..%2Fx%3Fy" {
		t.Error(got)
	}
}

func TestURLs(t *testing.T) {
	a := netip.MustParseAddr("100.64.9.2")
	if HeadHealthURL(a) != "http://100.64.9.2:8265/api/gcs_healthz" || AgentHealthURL(a) != "http://100.64.9.2:52365/api/healthz" {
		t.Error(HeadHealthURL(a), AgentHealthURL(a))
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{"", "{}", "[]", `{"result":true}`, `{"job_id":null,"status":"RUNNING"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		nodes, err := Nodes(b)
		for _, n := range nodes {
			if err != nil || !n.Address.IsValid() || len(n.Reason) > 520 {
				t.Fatalf("%+v %v", n, err)
			}
		}
		if j, err := Job(b); err == nil && (j.ID == "" || j.Status == "") {
			t.Fatalf("%+v", j)
		}
		_, _ = Jobs(b)
		_, _ = Version(b)
	})
}

// FuzzCommand: whatever a group holds, the line keeps its identity, and a label never becomes two.
func FuzzCommand(f *testing.F) {
	f.Add("side", "left", "num-cpus", "1")
	f.Add("a,b", "c=d,e", "node-ip-address", "6.6.6.6")
	f.Add("", "", "", "")
	f.Add("raylink.io/lease", "l-x", "labels", "a=b")
	f.Fuzz(func(t *testing.T, label, value, param, arg string) {
		n := worker()
		n.Group.Labels, n.Group.Params, n.Group.Env = map[string]string{label: value}, map[string]string{param: arg}, map[string]string{label: value, param: arg}
		argv := Command(n)
		seen := map[string]bool{}
		for _, a := range argv[2:] {
			name, v, _ := strings.Cut(a, "=")
			if seen[name] {
				t.Fatalf("%s twice in %q", name, argv)
			}
			seen[name] = true
			if name == "--labels" {
				labels, err := ParseLabels(v)
				if err != nil || labels[LabelLease] != string(n.Lease) || len(labels) > 8 {
					t.Fatal(v, err)
				}
			}
		}
		if !slices.Contains(argv, "--node-ip-address=100.64.9.10") || !slices.Contains(argv, "--address=100.64.9.2:6379") {
			t.Fatal(argv)
		}
		if _, err := StartScript(argv, Environment(n)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReservedEnv(t *testing.T) {
	for _, name := range []string{"RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_ADDRESS", "RAY_gcs_storage_path", "RAY_REDIS_ADDRESS", "RAYLINK_X"} {
		if !ReservedEnv(name) {
			t.Error(name)
		}
	}
	for name := range defaults() {
		if ReservedEnv(name) {
			t.Errorf("%s is a default that nobody may change", name)
		}
	}
	if !reflect.DeepEqual(Environment(head())["RAY_gcs_storage"], "rocksdb") {
		t.Error("the head's GCS is in memory")
	}
}

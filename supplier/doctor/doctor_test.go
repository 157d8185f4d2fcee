package doctor

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/supplier/device/nvml"
)

// well is a machine that lacks nothing.
func well() Facts {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	return Facts{
		At: now, Data: "/var/lib/raylink/supplier", Root: true, Caps: 1<<capNetAdmin | 1<<capSysAdmin, Kernel: "6.1.0-18-amd64",
		Engine: &Engine{Version: "20.10.24+dfsg1", Cgroup: "2", Driver: "systemd", Root: "/var/lib/docker", Runtimes: []string{"runc", "runsc"}, GVisor: true, Security: []string{"name=seccomp,profile=default"}},
		Image:  "raylink/worker:test", HasImage: true, Disks: []Disk{{What: "data", Path: "/var/lib/raylink/supplier", Free: 100 << 30, Keys: true}},
		Cores: 8, Offered: raylink.Resources{CPU: 8 * raylink.Unit, Memory: 14 << 30}, Memory: 16 << 30,
		Joined: true, CertUntil: now.Add(20 * time.Hour), Coordinators: []Coordinator{{URL: "https://a:1"}, {URL: "https://b:1"}},
		Agents: []int{7}, AgentRun: true, Standing: &raylink.Standing{State: raylink.MachineReady},
	}
}

// spoilt is one thing that is wrong, and what is to be said of it.
type spoilt struct {
	check string
	level Level
	says  string
	spoil func(*Facts)
}

func spoils() []spoilt {
	since := well().At.Add(-time.Hour)
	return []spoilt{
		{"rights", Missing, "not root", func(f *Facts) { f.Root = false }},
		{"rights", Missing, "without NET_ADMIN", func(f *Facts) { f.Caps = 1 << capSysAdmin }},
		{"kernel", Missing, "older than", func(f *Facts) { f.Kernel = "5.4.0-150-generic" }},
		{"kernel", Missing, "no net namespaces", func(f *Facts) { f.NoNS = []string{"net"} }},
		{"tun", Missing, "no such file", func(f *Facts) { f.TUN = "no such file or directory" }},
		{"engine", Missing, "older than", func(f *Facts) { f.Engine.Version = "19.3.8" }},
		{"engine", Warning, "cgroups v1", func(f *Facts) { f.Engine.Cgroup = "1" }},
		{"sandbox", Missing, "rootless", func(f *Facts) { f.Engine.Security = append(f.Engine.Security, "name=rootless") }},
		{"sandbox", Warning, "filters no", func(f *Facts) { f.Engine.Security = []string{"name=apparmor"} }},
		{"sandbox", Note, "leases have user namespaces", func(f *Facts) { f.Engine.Security = append(f.Engine.Security, "name=userns") }},
		{"image", Note, "first lease fetches", func(f *Facts) { f.HasImage = false }},
		{"disk data", Missing, "nothing can be written", func(f *Facts) { f.Disks[0].Closed = "read-only file system" }},
		{"disk data", Missing, "7.0 GiB", func(f *Facts) { f.Disks[0].Free = 7 << 30 }},
		{"disk data", Warning, "20.0 GiB", func(f *Facts) { f.Disks[0].Free = 20 << 30 }},
		{"wiping", Note, "what its tenant removed before is not", func(f *Facts) { f.Disks[0].Keys = false }},
		{"wiping", Note, "does not see the engine's logs", func(f *Facts) { f.Container = true }},
		{"cores", Warning, "9 cores are offered", func(f *Facts) { f.Offered.CPU = 9 * raylink.Unit }},
		{"cores", Note, "2.5", func(f *Facts) { f.CgroupCPUs = 2.5 }},
		{"memory", Missing, "1.0 GiB in all", func(f *Facts) { f.Memory = 1 << 30 }},
		{"memory", Warning, "offered", func(f *Facts) { f.Offered.Memory = 32 << 30 }},
		{"swap", Note, "4.0 GiB", func(f *Facts) { f.Swap = 4 << 30 }},
		{"nvidia", Warning, "no driver", func(f *Facts) { f.NvidiaPCI = 2 }},
		{"nvidia", Warning, "cannot have", func(f *Facts) { f.NvidiaPCI, f.NvidiaDriver = 1, "550.54.15" }},
		{"device GPU-1", Warning, "fallen off the bus", func(f *Facts) {
			f.Host = &raylink.Host{Devices: []raylink.Device{{ID: "GPU-1", Name: "RTX", Fault: "it has fallen off the bus"}}}
		}},
		{"nvidia", Warning, "built without cgo", func(f *Facts) {
			f.NvidiaPCI, f.NvidiaDriver, f.NvidiaToolkit, f.NvidiaBuild = 1, "550.54.15", "/usr/bin/nvidia-ctk", nvml.ErrBuild.Error()
		}},
		{"nvidia", Warning, "cannot be seen from this container", func(f *Facts) { f.NvidiaPCI, f.NvidiaDriver, f.Container, f.HostHidden = 1, "550.54.15", true, true }},
		{"kernel", Warning, "not known", func(f *Facts) { f.Kernel = "" }},
		{"gvisor", Note, "does not know", func(f *Facts) { f.Engine.Runtimes, f.Runsc = nil, "/usr/bin/runsc" }},
		{"gvisor", Note, "version cannot be seen", func(f *Facts) { f.Container, f.HostHidden = true, true }},
		{"gvisor", Note, "without --network=host", func(f *Facts) { f.Engine.GVisor = false }},
		{"gvisor", Note, "plain containers", func(f *Facts) { f.Engine.Runtimes = nil }},
		{"identity", Missing, "not joined", func(f *Facts) { f.Joined = false; f.AgentRun = true }},
		{"identity", Missing, "permission", func(f *Facts) { f.IdentityErr = "permission denied" }},
		{"coordinator", Warning, "b:1 does not answer", func(f *Facts) { f.Coordinators[1].Err = "refused" }},
		{"coordinator", Missing, "does not answer", func(f *Facts) { f.Coordinators[0].Err, f.Coordinators[1].Err = "refused", "refused" }},
		{"tls", Warning, "not who", func(f *Facts) { f.Coordinators[0].Err, f.Coordinators[0].Trust = "unknown authority", true }},
		{"clock", Warning, "5s off", func(f *Facts) { f.Coordinators[0].Offset, f.Coordinators[1].Offset = 5*time.Second, 5*time.Second }},
		{"clock", Missing, "-1h0m0s off", func(f *Facts) { f.Coordinators[0].Offset, f.Coordinators[1].Offset = -time.Hour, -time.Hour }},
		{"certificate", Warning, "ends in 1h0m0s", func(f *Facts) { f.CertUntil = f.At.Add(time.Hour) }},
		{"certificate", Missing, "over since", func(f *Facts) { f.CertUntil = f.At }},
		{"firewall", Warning, "DROP", func(f *Facts) { f.Firewall = []string{":INPUT DROP [0:0]"} }},
		{"settings", Missing, "unexpected end", func(f *Facts) { f.Owner = "unexpected end of JSON input" }},
		{"agent", Missing, "does not run", func(f *Facts) { f.AgentRun = false }},
		{"agent", Missing, "since 2026-11-28T11", func(f *Facts) { f.Silent = &since }},
		{"agents", Warning, "pids 7 8", func(f *Facts) { f.Agents = []int{7, 8} }},
		{"others", Warning, "m-bbbbbbbbbb", func(f *Facts) { f.Strange = []string{"m-bbbbbbbbbb"} }},
		{"leftovers", Warning, "raylink-l-a", func(f *Facts) { f.Left = []string{"raylink-l-a"} }},
		{"market", Missing, "an admin has blocked it (spam)", func(f *Facts) {
			f.Standing = &raylink.Standing{State: raylink.MachineBlocked, Reason: raylink.ReasonBanned, Detail: "spam"}
		}},
		{"market", Missing, "quarantined", func(f *Facts) {
			f.Standing = &raylink.Standing{State: raylink.MachineQuarantined, Reason: raylink.ReasonProofFailed}
		}},
		{"market", Warning, "paused", func(f *Facts) {
			f.Standing = &raylink.Standing{State: raylink.MachineDraining, Reason: raylink.ReasonPaused}
		}},
		{"market", Warning, "not known", func(f *Facts) { f.Standing, f.StandErr = nil, "nobody answers" }},
	}
}

// TestEveryFinding spoils one thing at a time: the check that is meant finds it, says what to do, and no other changes its mind.
func TestEveryFinding(t *testing.T) {
	before := Judge(well())
	if !Earns(before) {
		t.Fatalf("a machine that lacks nothing earns nothing: %+v", before)
	}
	for _, f := range before {
		if f.Level != OK && f.Check != "udp" {
			t.Errorf("a machine that lacks nothing has %+v", f)
		}
	}
	for _, c := range spoils() {
		f := well()
		c.spoil(&f)
		after := Judge(f)
		i := slices.IndexFunc(after, func(x Finding) bool {
			return x.Check == c.check && x.Level == c.level && strings.Contains(x.Found, c.says)
		})
		if i < 0 {
			t.Errorf("%s: no %s that says %q in %+v", c.check, c.level, c.says, after)
			continue
		}
		if after[i].Remedy == "" {
			t.Errorf("%s: %q, and no remedy", c.check, after[i].Found)
		}
		if Earns(after) != (c.level != Missing) {
			t.Errorf("%s, %s: earns is %v", c.check, c.says, Earns(after))
		}
		// One fault does not hide what the others say, unless they have nothing to look at.
		for _, x := range before {
			if x.Check != c.check && !slices.ContainsFunc(after, func(y Finding) bool { return y.Check == x.Check }) && !slices.Contains([]string{"clock", "certificate", "coordinators"}, x.Check) {
				t.Errorf("%s hides %s", c.check, x.Check)
			}
		}
	}
}

// TestRemediesDoNotHarm: what doctor recommends is what the runtimes here need. runsc registered without --network=host gives leases without an overlay, an
// engine that is told to map user ids finds none of its owner's containers and images any more, and an engine that is restarted ends every lease that runs.
func TestRemediesDoNotHarm(t *testing.T) {
	for _, c := range spoils() {
		f := well()
		c.spoil(&f)
		for _, x := range Judge(f) {
			if strings.Contains(x.Remedy, "runsc install") && !strings.Contains(x.Remedy, "runsc install -- --network=host") {
				t.Errorf("%s: %q registers a runsc that no lease can use", x.Check, x.Remedy)
			}
			if strings.Contains(x.Remedy, "userns-remap") {
				t.Errorf("%s: %q takes the owner's own containers and images out of sight", x.Check, x.Remedy)
			}
			if x.Check == "gvisor" && strings.Contains(x.Remedy, "restart") {
				t.Errorf("%q ends the leases that run", x.Remedy)
			}
		}
	}
}

// TestAGPUWithoutTheLibrary: in a container the driver's library comes with --gpus and in no other way, so that is what is said, as README.md and --help say it;
// a restart, or looking for an Xid, would mend nothing.
func TestAGPUWithoutTheLibrary(t *testing.T) {
	for name, c := range map[string]struct {
		fault     string
		container bool
		says      string
	}{
		"in a container":     {nvml.ErrNoDriver.Error() + " (library not found)", true, "--gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"},
		"on the host":        {nvml.ErrNoDriver.Error() + " (library not found)", false, "libnvidia-ml1"},
		"without cgo":        {nvml.ErrBuild.Error(), true, "Raylink's image"},
		"off the bus":        {"Xid 79: it has fallen off the bus", true, "dmesg"},
		"after a reload":     {"the driver does not let this container at its GPUs any more", true, "daemon-reload"},
		"with another fault": {"its memory has errors", false, "dmesg"},
	} {
		f := well()
		f.Container, f.NvidiaPCI, f.NvidiaDriver, f.NvidiaToolkit = c.container, 1, "550.54.15", "/usr/bin/nvidia-ctk"
		f.Host = &raylink.Host{Devices: []raylink.Device{{ID: "GPU-1", Name: "RTX", Fault: c.fault}}}
		found := Judge(f)
		i := slices.IndexFunc(found, func(x Finding) bool { return x.Check == "device GPU-1" })
		if i < 0 || !strings.Contains(found[i].Remedy, c.says) {
			t.Errorf("%s: %+v", name, found)
		}
	}
	for _, file := range []string{"../../README.md", "../../raylink/cmd/raylink/supplier.go"} {
		if !strings.Contains(text(file), gpuFlags) {
			t.Errorf("%s does not give the command with %s", file, gpuFlags)
		}
	}
}

// TestNothingAtAll: without anything every check still speaks.
func TestNothingAtAll(t *testing.T) {
	findings := Judge(Facts{Data: "/nowhere", TUN: "no such file"})
	if Earns(findings) || len(findings) < 8 {
		t.Errorf("%+v", findings)
	}
}

// TestLook runs on whatever machine this is: a directory that is not there is no machine that has joined, and looking makes none.
func TestLook(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	dir := t.TempDir() + "/none"
	f := Look(t.Context(), Ask{Data: dir, Image: "x", Join: "https://127.0.0.1:1"})
	if f.Joined || f.Engine != nil || f.EngineErr == "" || f.Cores == 0 || f.Kernel == "" || len(f.Disks) != 1 || f.Disks[0].Free == 0 ||
		len(f.Coordinators) != 1 || f.Coordinators[0].Err == "" {
		t.Errorf("%+v", f)
	}
	if text(dir) != "" || len(Judge(f)) < 8 {
		t.Error("looking made something, or is not judged")
	}
}

// TestAnEngineOfOthers: whoever may not ask the engine is not told to install one.
func TestAnEngineOfOthers(t *testing.T) {
	f := well()
	f.Engine, f.EngineErr = nil, "permission denied while trying to connect to the Docker daemon socket"
	if told := engine(f); told[0].Level != Missing || strings.Contains(told[0].Remedy, "install") {
		t.Errorf("%+v", told)
	}
}

// TestLookAtAClosedDirectory: an identity that cannot be looked at is not said to be none, and a directory that cannot be made is told.
func TestLookAtAClosedDirectory(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := Look(t.Context(), Ask{Data: file + "/data"})
	if f.IdentityErr == "" || f.Disks[0].Closed == "" {
		t.Errorf("identity %q, directory %q", f.IdentityErr, f.Disks[0].Closed)
	}
}

func TestParsers(t *testing.T) {
	if got := capEff("Name:\tx\nCapEff:\t000001ffffffffff\n"); got != 1<<41-1 {
		t.Errorf("capabilities %x", got)
	}
	if capEff("CapEff:\tzz\n") != 0 || capEff("") != 0 {
		t.Error("capabilities from nothing")
	}
	if got := swap("MemTotal: 1 kB\nSwapTotal:       2097148 kB\n"); got != 2097148<<10 {
		t.Errorf("swap %d", got)
	}
	if c, b := cgroup("150000 100000\n", "2147483648\n"); c != 1.5 || b != 2<<30 {
		t.Errorf("cgroup %v %v", c, b)
	}
	if c, b := cgroup("max 100000\n", "max\n"); c != 0 || b != 0 {
		t.Errorf("no limits %v %v", c, b)
	}
	// The two forms of NVIDIA's module, as its documentation shows them; not recorded on a machine here.
	for text, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12\n":             "535.183.01",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)  Tue Mar  5 2024\n": "550.54.15",
		"": "",
	} {
		if got := nvidiaVersion(text); got != want {
			t.Errorf("driver %q from %q", got, text)
		}
	}
	for line, want := range map[string]bool{"/usr/bin/raylink supplier": true, "raylink supplier --join x": true, "raylink supplier status": false, "raylink gateway": false, "vi supplier": false, "": false} {
		if isAgent(strings.Fields(line)) != want {
			t.Errorf("%q is an agent: %v", line, !want)
		}
	}
	rules := "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t}\n\tchain f {\n\t\ttype filter hook forward priority 0; policy drop;\n}\n*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n"
	if got := drops(rules); len(got) != 2 || !strings.Contains(got[0], "hook input") || got[1] != ":OUTPUT DROP [0:0]" {
		t.Errorf("rules in the way: %q", got)
	}
	for _, c := range []struct{ a, b string }{{"5.4", "5.6"}, {"5.6", "5.10"}, {"19.3.8", "20.10"}, {"", "1"}, {"5.6-rc1", "5.7"}} {
		if !less(c.a, c.b) || less(c.b, c.a) {
			t.Errorf("%s is not less than %s", c.a, c.b)
		}
	}
}

package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"raylink/raylink"
)

// wellAlone is a machine without an engine that lacks nothing.
func wellAlone() Facts {
	f := well()
	f.Engine, f.EngineErr = nil, ""
	f.Alone = &Alone{Cgroups: 2, Users: true, Images: []string{"raylink+worker:test"}}
	return f
}

// TestWithoutAnEngine: who runs leases as processes is not told to install Docker, and what he needs in its place is looked at: each fault is found alone.
func TestWithoutAnEngine(t *testing.T) {
	before := Judge(wellAlone())
	for _, f := range before {
		if f.Level != OK && f.Check != "udp" || strings.Contains(f.Remedy+f.Found, "Docker") {
			t.Errorf("a machine that lacks nothing has %+v", f)
		}
	}
	for _, c := range []spoilt{
		{"rights", Missing, "not root", func(f *Facts) { f.Root = false }},
		{"sandbox", Missing, "seccomp", func(f *Facts) { f.Alone.FilterErr = "this kernel does not filter system calls (seccomp)" }},
		{"sandbox", Warning, "no user namespaces", func(f *Facts) { f.Alone.Users = false }},
		{"limits", Missing, "read-only file system", func(f *Facts) { f.Alone.LimitsErr = "/sys/fs/cgroup: read-only file system" }},
		{"limits", Warning, "cgroups v1", func(f *Facts) { f.Alone.Cgroups = 1 }},
		{"image", Missing, "no image lies", func(f *Facts) { f.Alone.Images, f.HasImage = nil, false }},
		{"image", Warning, "is not there", func(f *Facts) { f.HasImage = false }},
		{"nvidia", Note, "get none", func(f *Facts) { f.NvidiaPCI, f.NvidiaDriver = 2, "550.54.15" }},
		{"leftovers", Warning, "l-aaaaaaaaaa", func(f *Facts) { f.Left = []string{"l-aaaaaaaaaa"} }},
	} {
		f := wellAlone()
		c.spoil(&f)
		after := Judge(f)
		i := slices.IndexFunc(after, func(x Finding) bool {
			return x.Check == c.check && x.Level == c.level && strings.Contains(x.Found, c.says)
		})
		if i < 0 || after[i].Remedy == "" || Earns(after) != (c.level != Missing) {
			t.Errorf("%s: no %s that says %q with a remedy, or it keeps from earning though it must not, in %+v", c.check, c.level, c.says, after)
		}
		for _, x := range before {
			if !slices.ContainsFunc(after, func(y Finding) bool { return y.Check == x.Check }) {
				t.Errorf("%s hides %s", c.check, x.Check)
			}
		}
	}
}

// TestOnAnotherSystem: the one thing that is missing is Linux; nobody is sent to look for /proc or a kernel module on a Mac.
func TestOnAnotherSystem(t *testing.T) {
	f := well()
	f.Engine, f.EngineErr, f.Root, f.Kernel, f.TUN = nil, "no engine", false, "", "no such file"
	f.System, f.SystemHint = "darwin", "run it in a Linux VM"
	var missing []string
	for _, x := range Judge(f) {
		if x.Level == Missing {
			missing = append(missing, x.Check+": "+x.Found+" → "+x.Remedy)
		}
	}
	if len(missing) != 1 || !strings.Contains(missing[0], "darwin") || !strings.Contains(missing[0], "run it in a Linux VM") {
		t.Errorf("missing is %q", missing)
	}
}

// TestLookWithoutAnEngine looks at this very machine: the engine is not asked, and leases that lie in the directory without an order are named.
func TestLookWithoutAnEngine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("leases run on Linux alone")
	}
	dir := t.TempDir()
	for _, lease := range []string{"l-aaaaaaaaaa", "l-bbbbbbbbbb"} {
		if err := os.MkdirAll(filepath.Join(dir, "containers", lease), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f := Look(t.Context(), Ask{Data: dir, Runtime: raylink.RuntimeProcess, Image: "raylink/worker:1", Orders: map[raylink.LeaseID]bool{"l-aaaaaaaaaa": true}})
	if f.Alone == nil || f.Engine != nil || f.EngineErr != "" || len(f.Alone.Images) != 0 || !slices.Equal(f.Left, []string{"l-bbbbbbbbbb"}) {
		t.Errorf("%+v", f)
	}
	if i := slices.IndexFunc(Judge(f), func(x Finding) bool { return x.Check == "engine" && x.Level != OK }); i >= 0 {
		t.Errorf("%+v", Judge(f)[i])
	}
}

//go:build linux

package process

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

func TestStartOf(t *testing.T) {
	fields := strings.Repeat("0 ", 18)
	for _, c := range []struct {
		stat string
		want uint64
	}{
		{"42 (sh) S " + fields + "4711 0 0\n", 4711},
		{"42 (a) b) (c S 1) R " + fields + "12 9\n", 12}, // a process may call itself anything
		{"42 (sh) S 1 2 3", 0},
		{"42 sh S " + fields + "4711", 0},
		{"42 (sh) S " + fields + "late", 0},
		{"", 0},
	} {
		if got, err := startOf(c.stat); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("the start of %q is %d (%v), wanted %d", c.stat, got, err, c.want)
		}
	}
}

// TestNobodyElseIsKilled: a life that names this very process, wrong in one point each time. A mistake would end the test.
func TestNobodyElseIsKilled(t *testing.T) {
	me, err := who(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for what, l := range map[string]life{
		"another boot":  {Boot: "5d2f", Init: me},
		"no boot":       {Init: me},
		"another start": {Boot: bootID(), Init: proc{Pid: me.Pid, Start: me.Start - 1}},
		"nobody":        {Boot: bootID()},
		"init":          {Boot: bootID(), Init: proc{Pid: 1}},
	} {
		if err := l.kill(l.Init); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestGroupsIn reads lines as mountinfo has them: the first host was recorded (Debian, Linux 6.18, both versions mounted), the second is
// written after systemd's layout and was never recorded.
func TestGroupsIn(t *testing.T) {
	const both = `30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
31 24 0:27 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
32 24 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
33 24 0:33 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
34 24 0:35 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	first, err := groupsIn(both)
	if err != nil || first.version != 1 || first.mounts["memory"] != "/sys/fs/cgroup/memory" || len(first.mounts) != 3 {
		t.Errorf("of both versions it takes %+v (%v)", first, err)
	}
	second, err := groupsIn("35 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
	if err != nil || second.version != 2 || second.mounts[""] != "/sys/fs/cgroup" {
		t.Errorf("of the second version it takes %+v (%v)", second, err)
	}
	for _, none := range []string{"", "31 24 0:27 / /x rw - cgroup cgroup rw,cpu\n", "31 24 0:27 / /x rw - cgroup"} {
		if _, err := groupsIn(none); raylink.AsError(err).Hint == "" {
			t.Errorf("%q: %v, wanted a hint", none, err)
		}
	}
}

func TestLimits(t *testing.T) {
	text := func(spec runtime.Spec, version int) string {
		var out []string
		for _, s := range limits(spec, version) {
			out = append(out, s.Controller+"/"+s.File+"="+s.Value)
		}
		return strings.Join(out, " ")
	}
	spec := runtime.Spec{CPU: 25_000, Memory: 1 << 30}
	for _, c := range []struct {
		spec    runtime.Spec
		version int
		want    string
	}{
		{spec, 1, "pids/pids.max=4096 cpu/cpu.cfs_period_us=100000 cpu/cpu.cfs_quota_us=250000 memory/memory.limit_in_bytes=1073741824 memory/memory.memsw.limit_in_bytes=1073741824"},
		{spec, 2, "/pids.max=4096 /cpu.max=250000 100000 /memory.max=1073741824 /memory.swap.max=0"},
		{runtime.Spec{CPU: 1, Pids: 7}, 2, "/pids.max=7 /cpu.max=1000 100000"}, // the kernel takes no less
		{runtime.Spec{}, 1, "pids/pids.max=4096"},
	} {
		if got := text(c.spec, c.version); got != c.want {
			t.Errorf("limits of version %d:\n got %s\nwant %s", c.version, got, c.want)
		}
	}
}

// TestGroupOnDisk makes and removes a group in a directory that only looks like the kernel's, of the second version.
func TestGroupOnDisk(t *testing.T) {
	top := t.TempDir()
	g := groups{version: 2, mounts: map[string]string{"": top}}
	l := g.of(runtime.Spec{Machine: "m-aaaaaaaaaa", Lease: "l-aaaaaaaaaa", Memory: 1 << 20})
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	if err := l.add(4711); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "raylink", "m-aaaaaaaaaa", "l-aaaaaaaaaa")
	for path, want := range map[string]string{
		filepath.Join(top, "cgroup.subtree_control"):            "+cpu +memory +pids",
		filepath.Join(top, "raylink", "cgroup.subtree_control"): "+cpu +memory +pids",
		filepath.Join(dir, "../cgroup.subtree_control"):         "+cpu +memory +pids",
		filepath.Join(dir, "memory.max"):                        "1048576",
		filepath.Join(dir, "cgroup.procs"):                      "4711",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), wanted %q", path, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "memory.swap.max")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a limit that the kernel does not have was written: %v", err)
	}
	events := "low 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n"
	if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := l.starved(); n != 2 {
		t.Errorf("%d processes starved, wanted 2", n)
	}
	if err := shredAllBut(t.Context(), dir, ""); err != nil { // the kernel's files go with the directory
		t.Fatal(err)
	}
	for range 2 {
		if err := l.remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
}

// verdict runs a filter as the kernel does.
func verdict(t *testing.T, program []unix.SockFilter, arch, call uint32, arg0 uint64) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data[0:], call)
	binary.LittleEndian.PutUint32(data[4:], arch)
	binary.LittleEndian.PutUint64(data[16:], arg0)
	var a uint32
	for at := 0; at < len(program); at++ {
		i := program[at]
		var yes bool
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.LittleEndian.Uint32(data[i.K:])
			continue
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ:
			yes = a == i.K
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JGE:
			yes = a >= i.K
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JSET:
			yes = a&i.K != 0
		default:
			t.Fatalf("instruction %d has code %#x", at, i.Code)
		}
		if yes {
			at += int(i.Jt)
		} else {
			at += int(i.Jf)
		}
	}
	t.Fatal("the filter ends without a verdict")
	return 0
}

func TestFilter(t *testing.T) {
	program := filter()
	for _, c := range []struct {
		what string
		arch uint32
		call uint32
		arg0 uint64
		want uint32
	}{
		{"read", auditArch, unix.SYS_READ, 0, allow},
		{"execve", auditArch, unix.SYS_EXECVE, 0, allow},
		{"a call of the future", auditArch, 900, 0, allow},
		{"mount", auditArch, unix.SYS_MOUNT, 0, refuse},
		{"vhangup, the last in the list", auditArch, unix.SYS_VHANGUP, 0, refuse},
		{"bpf", auditArch, unix.SYS_BPF, 0, refuse},
		{"clone of a thread", auditArch, unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND, allow},
		{"clone of a process", auditArch, unix.SYS_CLONE, uint64(unix.SIGCHLD), allow},
		{"clone into a user namespace", auditArch, unix.SYS_CLONE, unix.CLONE_NEWUSER | uint64(unix.SIGCHLD), refuse},
		{"clone into a network namespace", auditArch, unix.SYS_CLONE, unix.CLONE_NEWNET, refuse},
		{"clone3", auditArch, unix.SYS_CLONE3, 0, unknown},
		{"a TCP socket", auditArch, unix.SYS_SOCKET, unix.AF_INET, allow},
		{"a unix socket", auditArch, unix.SYS_SOCKET, unix.AF_UNIX, allow},
		{"a vsock", auditArch, unix.SYS_SOCKET, unix.AF_VSOCK, refuse},
		{"a crypto socket", auditArch, unix.SYS_SOCKET, unix.AF_ALG, refuse},
		{"another architecture's read", unix.AUDIT_ARCH_I386, 3, 0, deadly},
		{"an x32 call", auditArch, 0x4000_0000, 0, unknown},
	} {
		if got := verdict(t, program, c.arch, c.call, c.arg0); got != c.want {
			t.Errorf("%s: verdict %#x, wanted %#x", c.what, got, c.want)
		}
	}
	for _, call := range refused() {
		if got := verdict(t, program, auditArch, call, 0); got != refuse {
			t.Errorf("call %d is on the list and gets %#x", call, got)
		}
	}
	if filterErr := filterable(); filterErr != nil {
		t.Errorf("the kernel of this test: %v", filterErr)
	}
}

func TestMounts(t *testing.T) {
	p := plan{
		Spec: runtime.Spec{Dir: "/data/leases/l/node", ShmBytes: 5 << 20, Memory: 1 << 30}, Dir: "/data/containers/l", Root: "/data/images/x", Home: "/home/ray",
		Groups: groups{version: 1, mounts: map[string]string{"cpu": "/c/cpu", "memory": "/c/memory", "pids": "/c/pids"}}.of(runtime.Spec{Machine: "m", Lease: "l"}),
	}
	all := mounts(p)
	at := func(target string) int {
		i := slices.IndexFunc(all, func(m mount) bool { return m.target == target })
		if i < 0 {
			t.Fatalf("nothing is mounted on %s", target)
		}
		return i
	}
	for _, pair := range [][2]string{{"/dev", "/dev/shm"}, {"/tmp", "/tmp/ray"}, {"/sys", "/sys/fs/cgroup"}, {"/sys/fs/cgroup", "/sys/fs/cgroup/pids"}, {"/proc", "/proc/keys"}} {
		if at(pair[0]) > at(pair[1]) {
			t.Errorf("%s would hide %s", pair[0], pair[1])
		}
	}
	for _, m := range all {
		if m.target != "/dev/pts" && m.target != "/dev" && m.source != "/dev/null" && m.flags&unix.MS_NODEV == 0 {
			t.Errorf("%s may hold device nodes", m.target)
		}
		if m.source != "/dev/null" && m.flags&unix.MS_NOSUID == 0 {
			t.Errorf("%s may hold programs that change the user", m.target)
		}
	}
	if got := all[at("/dev/shm")].data; got != "mode=1777,size=5242880" {
		t.Errorf("/dev/shm is %s", got)
	}
	if got := all[at("/sys/fs/cgroup/memory")]; got.source != "/c/memory/raylink/m/l" || got.flags&unix.MS_RDONLY == 0 {
		t.Errorf("the lease sees control group %s with flags %#x", got.source, got.flags)
	}
	for memory, want := range map[int64]int64{0: tmpMost, 1 << 20: tmpLeast, 1 << 30: 256 << 20, 1 << 40: tmpMost} {
		if got := tmpBytes(memory); got != want {
			t.Errorf("/tmp of %d bytes of memory has %d, wanted %d", memory, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "A=1", "bad", "=worse"}, runtime.Spec{Hostname: "h", Env: map[string]string{"A": "2"}})
	if want := "A=2 HOME=/home/ray HOSTNAME=h PATH=/bin"; strings.Join(got, " ") != want {
		t.Errorf("the environment is %q, wanted %s", got, want)
	}
	for env, want := range map[string]string{"HOME=/home/me": "/home/me", "HOME=/root": "/home/ray", "HOME=/home/../etc": "/home/ray", "X=1": "/home/ray"} {
		if got := home([]string{env}); got != want {
			t.Errorf("with %s home is %s, wanted %s", env, got, want)
		}
	}
	text := hosts(runtime.Spec{Hostname: "w", Hosts: map[string]string{"w": "100.64.1.10", "head": "100.64.1.2"}})
	if !strings.HasSuffix(text, "100.64.1.2\thead\n100.64.1.10\tw\n") || strings.Contains(text, "127.0.1.1") {
		t.Errorf("/etc/hosts is %q", text)
	}
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, keptDir), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := openLog(filepath.Join(dir, logFile), 100)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range 40 {
		fmt.Fprintf(&lines, "\x1b[1;31mline\x1b[0m\t%d\r\n", i)
	}
	for line := range strings.Lines(lines.String()) {
		log.drain(strings.NewReader(line))
	}
	for _, name := range []string{logFile, logFile + ".1"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() > 100 {
			t.Errorf("%s is %+v (%v), wanted at most 100 bytes", name, info, err)
		}
	}
	words := lastWords(tail(dir))
	if len(words) == 0 || words[len(words)-1] != "line 39" || words[0] == "" {
		t.Errorf("the last words are %q", words)
	}
	if got := lastWords(strings.Repeat("x\n", 50) + strings.Repeat("y", 2000) + "\x1b[31"); len(got) != runtime.LastWordsLines || len(got[19]) > lineBytes+4 {
		t.Errorf("of long output %d lines are kept, the last of %d bytes", len(got), len(got[len(got)-1]))
	}
	if got := lastWords(tail(t.TempDir())); len(got) != 0 {
		t.Errorf("without a log the last words are %q", got)
	}
}

func TestImageName(t *testing.T) {
	for ref, want := range map[string]string{
		"raylink/worker:2.60.0-py311": "raylink+worker:2.60.0-py311", "a.b:5000/c/d@sha256:ab": "a.b:5000+c+d@sha256:ab", "x": "x",
		"": "", "..": "", "a/../b": "", "/etc": "", "a//b": "", "a/": "", "a b": "", "a+b": "", "-x": "", "a\x00": "", strings.Repeat("a", 300): "",
	} {
		if got, err := imageName(ref); got != want || (err == nil) != (want != "") {
			t.Errorf("image %.40q is called %q (%v), wanted %q", ref, got, err, want)
		}
	}
}

// entry is one of a tar's.
type entry struct {
	name, link, text string
	kind             byte
	mode             int64
}

func archive(t *testing.T, entries ...entry) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.text)), Uid: os.Getuid(), Gid: os.Getgid()}
		if err := errors.Join(w.WriteHeader(&h), func() error { _, err := w.Write([]byte(e.text)); return err }()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpack(t *testing.T) {
	to := filepath.Join(t.TempDir(), "image")
	from := archive(t, entry{name: "./", kind: tar.TypeDir, mode: 0o755}, entry{name: "bin", kind: tar.TypeSymlink, link: "usr/bin"},
		entry{name: "usr/bin/", kind: tar.TypeDir, mode: 0o755}, entry{name: "usr/bin/su", kind: tar.TypeReg, mode: 0o4755, text: "su"},
		entry{name: "usr/bin/su2", kind: tar.TypeLink, link: "usr/bin/su"}, entry{name: "dev/sda", kind: tar.TypeBlock, mode: 0o666},
		entry{name: "etc/", kind: tar.TypeDir, mode: 0o755}, entry{name: "etc/resolv.conf", kind: tar.TypeSymlink, link: "../run/resolv.conf"})
	if err := unpack(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if err := prepare(unpacked{root: to}); err != nil {
		t.Fatal(err)
	}
	if err := prepare(unpacked{root: to}); err != nil {
		t.Fatalf("preparing it once more: %v", err)
	}
	for _, name := range []string{"usr/bin/su", "usr/bin/su2"} {
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode() != 0o755 {
			t.Errorf("%s is %v (%v), wanted mode 755 without a set-user-id bit", name, info.Mode(), err)
		}
	}
	if _, err := os.Lstat(filepath.Join(to, "dev/sda")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a device node came out: %v", err)
	}
	for _, name := range []string{"raylink", "home/ray", "etc/resolv.conf"} {
		if info, err := os.Lstat(filepath.Join(to, name)); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			t.Errorf("%s is no place to mount on: %v (%v)", name, info, err)
		}
	}
}

// TestUnpackStaysInside: what a tar says never reaches beyond the image, and half an image is none.
func TestUnpackStaysInside(t *testing.T) {
	outside := t.TempDir()
	link := entry{name: "way", kind: tar.TypeSymlink, link: outside}
	for what, from := range map[string]string{
		"dots":           archive(t, entry{name: "../x", kind: tar.TypeReg, mode: 0o644}),
		"through a link": archive(t, link, entry{name: "way/x", kind: tar.TypeReg, mode: 0o644}),
		"a hard link":    archive(t, entry{name: "x", kind: tar.TypeLink, link: "../../etc/passwd"}),
		"onto a link":    archive(t, entry{name: "f", kind: tar.TypeSymlink, link: outside + "/f"}, entry{name: "f", kind: tar.TypeReg, mode: 0o644}),
		"a directory":    archive(t, link, entry{name: "way/d/", kind: tar.TypeDir, mode: 0o755}),
		"nothing at all": archive(t),
		"no such file":   filepath.Join(outside, "missing.tar"),
		"something else": func() string {
			p := filepath.Join(t.TempDir(), "x")
			_ = os.WriteFile(p, make([]byte, 99), 0o600)
			return p
		}(),
		"home is a link":   "",
		"called off early": archive(t, link),
	} {
		to := filepath.Join(t.TempDir(), "image")
		if what == "home is a link" {
			if err := errors.Join(os.Mkdir(to, 0o755), os.Symlink(outside, filepath.Join(to, "home")), prepare(unpacked{root: to})); err == nil {
				t.Errorf("%s: it was taken", what)
			}
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if what == "called off early" {
			cancel()
		}
		err := unpack(ctx, from, to)
		cancel()
		if err == nil {
			t.Errorf("%s: it was unpacked", what)
		}
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s: half an image is left", what)
		}
		if _, err := os.Stat(to + ".part"); err == nil {
			t.Errorf("%s: a half is left", what)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there are now %v (%v)", left, err)
	}
}

// TestRefusals need neither root nor an image.
func TestRefusals(t *testing.T) {
	r := &Runtime{root: t.TempDir(), machine: "m-aaaaaaaaaa"}
	good := runtime.Spec{Lease: "l-aaaaaaaaaa", Machine: "m-aaaaaaaaaa", Dir: "/x"}
	if err := r.accepts(good); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*runtime.Spec){
		"machine": func(s *runtime.Spec) { s.Machine = "m-bbbbbbbbbb" },
		"lease":   func(s *runtime.Spec) { s.Lease = "../../etc" },
		"dir":     func(s *runtime.Spec) { s.Dir = "x" },
		"gvisor":  func(s *runtime.Spec) { s.Isolation = raylink.IsolationGVisor },
		"gpu":     func(s *runtime.Spec) { s.GPUs = []string{"GPU-1"} },
	} {
		spec := good
		change(&spec)
		if err := r.accepts(spec); err == nil {
			t.Errorf("a spec with a wrong %s is accepted", what)
		}
	}
	// A directory without this machine's record is never touched.
	for _, name := range []string{"l-aaaaaaaaaa", "l-bbbbbbbbbb"} {
		if err := os.MkdirAll(filepath.Join(r.root, "containers", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeJSON(filepath.Join(r.dir("l-bbbbbbbbbb"), recordFile), record{Machine: "m-bbbbbbbbbb"}); err != nil {
		t.Fatal(err)
	}
	for _, l := range []raylink.LeaseID{"l-aaaaaaaaaa", "l-bbbbbbbbbb", "../images"} {
		if err := r.Stop(t.Context(), l); err != nil {
			t.Errorf("stopping %s: %v", l, err)
		}
	}
	if seen, err := r.List(t.Context()); err != nil || len(seen) > 0 {
		t.Errorf("List shows %+v (%v)", seen, err)
	}
	if left, err := os.ReadDir(filepath.Join(r.root, "containers")); err != nil || len(left) != 2 {
		t.Errorf("what is not this machine's is gone: %v (%v)", left, err)
	}
}

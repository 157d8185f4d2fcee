// Package doctor looks over a supplier's machine: every check in one pass, none stops another, and each that finds something says what to do. Look
// gathers facts and changes nothing; Judge is pure and says what they mean.
package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/raylink"
)

// Level is how bad a finding is.
type Level string

// The levels. Only Missing keeps a machine from earning.
const (
	OK      Level = "ok"
	Note    Level = "note"    // for the owner to know
	Warning Level = "warning" // it earns, less than it might
	Missing Level = "missing"
)

// What a machine needs; below it is a warning or worse.
const (
	minKernel    = "5.6" // WireGuard's and pidfd's age: data planes are killed through pidfds
	minEngine    = "20.10"
	diskMissing  = 8 << 30  // the worker image unpacked, and something for a lease
	diskWarning  = 30 << 30 // an image of a framework or two, and a dataset
	memoryLow    = 2 << 30  // Ray's head alone wants that
	clockWarning = 2 * time.Second
	clockMissing = 30 * time.Second // the group's certificates and minutes rest on time
	certWarning  = 4 * time.Hour    // renewed when 8 of 24 hours are left
)

// Finding is what one check says.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Earns says whether nothing is missing.
func Earns(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == Missing {
			return false
		}
	}
	return true
}

// Facts are what Look found. A text in a …Err field is why something is not known.
type Facts struct {
	At   time.Time
	Data string // the agent's directory

	Owner string // why the owner's settings cannot be read

	System     string // of another kind than Linux, by Go's name; empty on Linux
	SystemHint string // what to do there

	Root      bool
	Caps      uint64 // CapEff of /proc/self/status
	Container bool   // this runs in a container
	Kernel    string
	NoNS      []string // of the namespaces that leases need: those which the kernel lacks
	TUN       string   // why /dev/net/tun cannot be opened; empty when it can

	Alone     *Alone // set where leases run without an engine; the engine is not asked then
	Engine    *Engine
	EngineErr string
	Image     string // the worker image
	HasImage  bool

	Disks       []Disk
	Cores       int
	Offered     raylink.Resources // zero before an agent ran
	Memory      int64
	Swap        int64
	CgroupCPUs  float64 // that this process may use; 0 is no limit
	CgroupBytes int64   // that it may use; 0 is no limit

	Joined       bool
	IdentityErr  string
	CertUntil    time.Time
	Coordinators []Coordinator

	Host          *raylink.Host // nil where it was not probed
	NvidiaDriver  string        // version, from the kernel module
	NvidiaPCI     int           // NVIDIA devices on the PCI bus, whatever drives them
	NvidiaToolkit string        // path of nvidia-ctk or of the runtime
	NvidiaBuild   string        // why this program can read no NVIDIA GPU; empty when it can
	HostHidden    bool          // this is a container, and sees nothing of the host's own programs
	Runsc         string        // path of runsc

	Firewall []string // rules that may be in the way
	Agents   []int    // processes that are agents
	AgentRun bool     // the agent of this data directory runs
	Silent   *time.Time
	Strange  []string // machines other than this one that have containers here
	Left     []string // containers of this machine that no order names
	Standing *raylink.Standing
	StandErr string
}

// Engine is the container engine.
type Engine struct {
	Version  string
	Cgroup   string // "1", "2"
	Driver   string // cgroupfs, systemd
	Root     string // where images and containers lie
	Runtimes []string
	GVisor   bool     // it knows runsc, and calls it such that leases have their overlay
	Security []string // name=seccomp, name=userns, name=apparmor, name=rootless
}

// Disk is a file system that the agent needs.
type Disk struct {
	What, Path string
	Free       int64
	Closed     string // why nothing can be written there, of what the agent writes to
	Keys       bool   // directories in it can be encrypted on keys of their own
	Err        string
}

// Coordinator is how one was reached.
type Coordinator struct {
	URL    string
	Err    string
	Trust  bool          // Err is of its certificate
	Offset time.Duration // its clock less ours; a second either way is what can be told
}

// Judge says what the facts mean, in the order in which a person would mend them.
func Judge(f Facts) []Finding {
	var out []Finding
	for _, check := range []func(Facts) []Finding{
		system, rights, kernel, tun, engine, engineSecurity, limits, image, disks, leavings, cores, memory, nvidia, gvisor,
		join, coordinators, clock, certificate, udp, firewall, settings, agents, leftovers, standing,
	} {
		out = append(out, check(f)...)
	}
	return out
}

func one(check string, level Level, remedy, format string, args ...any) []Finding {
	return []Finding{{Check: check, Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy}}
}

// The capabilities that the agent and its data planes use, as capabilities(7) numbers them.
const (
	capNetAdmin = 12
	capSysAdmin = 21
)

func rights(f Facts) []Finding {
	if f.System != "" {
		return nil
	}
	if !f.Root {
		return one("rights", Missing, "run the agent and its verbs with sudo, or as the container that README.md shows", "this is not root")
	}
	var lacks []string
	if f.Caps&(1<<capNetAdmin) == 0 {
		lacks = append(lacks, "NET_ADMIN")
	}
	if f.Caps&(1<<capSysAdmin) == 0 {
		lacks = append(lacks, "SYS_ADMIN")
	}
	if len(lacks) > 0 {
		return one("rights", Missing, "start the container with --cap-add "+strings.Join(lacks, " --cap-add "), "root without %s", strings.Join(lacks, " and "))
	}
	return one("rights", OK, "", "root, with NET_ADMIN and SYS_ADMIN")
}

func kernel(f Facts) []Finding {
	switch {
	case f.System != "":
		return nil
	case f.Kernel == "":
		return one("kernel", Warning, "see that /proc is mounted here", "its version is not known")
	case less(f.Kernel, minKernel):
		return one("kernel", Missing, "update the system: Debian 11, Ubuntu 22.04 and later have one", "%s is older than %s", f.Kernel, minKernel)
	case len(f.NoNS) > 0:
		return one("kernel", Missing, "use the distribution's own kernel", "%s has no %s namespaces", f.Kernel, strings.Join(f.NoNS, ", "))
	}
	return one("kernel", OK, "", "%s", f.Kernel)
}

func tun(f Facts) []Finding {
	if f.System != "" {
		return nil
	}
	if f.TUN == "" {
		return one("tun", OK, "", "/dev/net/tun opens")
	}
	remedy := "`modprobe tun`, or `raylink supplier doctor --fix`"
	if f.Container {
		remedy = "start the container with --device /dev/net/tun; on the host `modprobe tun` makes it"
	}
	return one("tun", Missing, remedy, "/dev/net/tun cannot be opened: %s", f.TUN)
}

func engine(f Facts) []Finding {
	if f.System != "" {
		return nil
	}
	if f.Alone != nil {
		return one("engine", OK, "", "none is asked: leases run as processes (--runtime process)")
	}
	if f.Engine == nil && strings.Contains(f.EngineErr, "permission denied") {
		return one("engine", Missing, "run this with sudo", "this user may not ask the container engine: %s", f.EngineErr)
	}
	if f.Engine == nil {
		return one("engine", Missing, "install Docker (apt install docker.io), start it (systemctl start docker), and in a container add -v /var/run/docker.sock:/var/run/docker.sock",
			"no container engine answers: %s", f.EngineErr)
	}
	e := f.Engine
	if less(e.Version, minEngine) {
		return one("engine", Missing, "update Docker", "Docker %s is older than %s", e.Version, minEngine)
	}
	if e.Cgroup == "1" {
		return one("engine", Warning, "boot with systemd.unified_cgroup_hierarchy=1 when convenient", "Docker %s on cgroups v1: limits hold, but less exactly", e.Version)
	}
	return one("engine", OK, "", "Docker %s, cgroups v%s (%s)", e.Version, e.Cgroup, e.Driver)
}

// limits are a matter of their own where no engine sees to them.
func limits(f Facts) []Finding {
	if f.Alone == nil {
		return nil
	}
	return limitsOf(*f.Alone)
}

func engineSecurity(f Facts) []Finding {
	if f.Alone != nil {
		return filterOf(*f.Alone)
	}
	if f.Engine == nil {
		return nil
	}
	has := func(name string) bool {
		for _, s := range f.Engine.Security {
			if strings.HasPrefix(s, "name="+name) {
				return true
			}
		}
		return false
	}
	switch {
	case has("rootless"):
		return one("sandbox", Missing, "use the system's engine: unset DOCKER_HOST, systemctl start docker", "the engine is rootless: data planes cannot enter its namespaces")
	case !has("seccomp"):
		return one("sandbox", Warning, "use a kernel and an engine with seccomp: without it tenants have more of the kernel to attack", "the engine filters no system calls")
	case has("userns"):
		return one("sandbox", Note, "nothing on the host; an agent in a container is started with --userns=host, because --pid=host needs that here",
			"seccomp is on; the engine maps user ids (userns-remap): leases have user namespaces of their own, except in gVisor and with a runc before 1.1")
	}
	return one("sandbox", OK, "", "seccomp is on")
}

func image(f Facts) []Finding {
	if f.Alone != nil {
		return lying(f)
	}
	if f.Engine == nil {
		return nil
	}
	if !f.HasImage {
		return one("image", Note, "docker pull "+f.Image+" beforehand: machines that have it come first", "%s is not here; the first lease fetches it", f.Image)
	}
	return one("image", OK, "", "%s is here", f.Image)
}

func disks(f Facts) []Finding {
	var out []Finding
	for _, d := range f.Disks {
		name := "disk " + d.What
		switch {
		case d.Err != "":
			out = append(out, one(name, Note, "", "%s cannot be looked at from here: %s", d.Path, d.Err)...)
		case d.Closed != "":
			out = append(out, one(name, Missing, "mount it such that it can be written to, or name another directory with --data", "nothing can be written to %s: %s", d.Path, d.Closed)...)
		case d.Free < diskMissing:
			out = append(out, one(name, Missing, "free some: the worker image and a lease need 8 GiB at least; `docker image prune` may help", "%s has %s left", d.Path, gib(d.Free))...)
		case d.Free < diskWarning:
			out = append(out, one(name, Warning, "free some: images of frameworks have 10 GiB and more", "%s has %s left", d.Path, gib(d.Free))...)
		default:
			out = append(out, one(name, OK, "", "%s has %s left", d.Path, gib(d.Free))...)
		}
	}
	return out
}

func settings(f Facts) []Finding {
	if f.Owner == "" {
		return one("settings", OK, "", "hours, prices and pauses can be read")
	}
	return one("settings", Missing, "mend owner.json in "+f.Data+", or remove it and set hours, prices and pauses anew", "%s", f.Owner)
}

// leavings is what becomes of what leases wrote.
func leavings(f Facts) []Finding {
	i := slices.IndexFunc(f.Disks, func(d Disk) bool { return d.What == "data" && d.Err == "" })
	if i < 0 || f.System != "" {
		return nil
	}
	seen := ""
	if f.Container && f.Alone == nil {
		seen = "; an agent in a container does not see the engine's logs and volumes, and wipes none of them"
	}
	switch {
	case !f.Disks[i].Keys:
		return one("wiping", Note, "nothing, if that is enough; else give --data an ext4 of its own, made with `mkfs.ext4 -O encrypt`: then each lease is on a key that is thrown away",
			"what a lease leaves is overwritten, what its tenant removed before is not, and on SSDs and copying file systems that is no certainty%s", seen)
	case seen != "":
		return one("wiping", Note, "nothing, if that is enough; else run the agent on the host", "each lease is on a key that is thrown away%s", seen)
	}
	return one("wiping", OK, "", "each lease is on a key that is only in memory and thrown away when it ends")
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

func cores(f Facts) []Finding {
	there := float64(f.Cores)
	offered := float64(f.Offered.CPU) / raylink.Unit
	switch {
	case offered > there:
		return one("cores", Warning, "start the agent with --cpus of at most what is there: tenants measure what they get", "%g cores are offered, %g are there", offered, there)
	case f.CgroupCPUs > 0 && f.CgroupCPUs < there:
		return one("cores", Note, "nothing, if that is meant: leases are not below this limit, agent and doctor are", "%g cores, of which this process may use %.1f", there, f.CgroupCPUs)
	case offered > 0:
		return one("cores", OK, "", "%g of %g are offered", offered, there)
	}
	return one("cores", OK, "", "%g", there)
}

func memory(f Facts) []Finding {
	var out []Finding
	switch {
	case f.Memory < memoryLow:
		out = one("memory", Missing, "a Ray node needs 2 GiB", "%s in all", gib(f.Memory))
	case f.Offered.Memory > f.Memory:
		out = one("memory", Warning, "start the agent with a smaller --memory", "%s are offered, %s are there", gib(f.Offered.Memory), gib(f.Memory))
	case f.CgroupBytes > 0 && f.CgroupBytes < f.Memory:
		out = one("memory", Note, "nothing, if that is meant: leases are not below this limit", "%s, of which this process may use %s", gib(f.Memory), gib(f.CgroupBytes))
	default:
		out = one("memory", OK, "", "%s", gib(f.Memory))
	}
	if f.Swap > 0 {
		out = append(out, one("swap", Note, "nothing: leases get none", "%s", gib(f.Swap))...)
	}
	return out
}

// less compares versions number by number; what follows a number ("-amd64", "+dfsg1") does not count.
func less(a, b string) bool {
	for i := range 3 {
		x, y := number(a, i), number(b, i)
		if x != y {
			return x < y
		}
	}
	return false
}

func number(version string, i int) int {
	parts := strings.Split(version, ".")
	if i >= len(parts) {
		return 0
	}
	n := 0
	for _, r := range parts[i] {
		if r < '0' || r > '9' || n > 1_000_000 {
			break
		}
		n = 10*n + int(r-'0')
	}
	return n
}

package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	docker "github.com/docker/docker/client"
	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/supplier/device"
	"raylink/supplier/device/nvml"
	"raylink/supplier/shred"
)

const (
	askTimeout = 5 * time.Second
	bodyLimit  = 1 << 20 // bytes of anything that is read
	groupMost  = 7       // coordinators of a group
	listLimit  = 20      // names in a finding
)

// Ask says what to look over.
type Ask struct {
	Data    string
	Runtime string // raylink.RuntimeProcess where leases run without an engine
	Refused string // what to do where no agent runs leases, on another system than Linux; else empty
	Image   string // the worker image
	Join    string // URL of a coordinator, for a machine that has not joined
	Orders  map[raylink.LeaseID]bool
	Offered raylink.Resources
	Owner   string // why the owner's settings cannot be read; empty where they can
	Host    *raylink.Host
	Runs    bool
	Silent  *time.Time
	Stand   func(ctx context.Context) (raylink.Standing, error) // asks the group; nil where the machine has not joined
}

// Look gathers the facts. It changes nothing on this machine or elsewhere, and takes at most a few seconds.
func Look(ctx context.Context, ask Ask) Facts {
	ctx, cancel := context.WithTimeout(ctx, 3*askTimeout)
	defer cancel()
	f := Facts{At: time.Now(), Data: ask.Data, Owner: ask.Owner, Image: ask.Image, Offered: ask.Offered, Host: ask.Host, AgentRun: ask.Runs, Silent: ask.Silent, Cores: runtime.NumCPU()}
	if ask.Refused != "" {
		f.System, f.SystemHint = runtime.GOOS, ask.Refused
	}
	// Each writes fields of its own.
	var looks sync.WaitGroup
	looks.Go(func() { f.system() })
	looks.Go(func() {
		if f.System != "" {
			return
		}
		if ask.Runtime == raylink.RuntimeProcess {
			f.alone(ask)
			return
		}
		f.engine(ctx, ask)
	})
	looks.Go(func() { f.group(ctx, ask) })
	looks.Go(func() { f.rules(ctx) })
	looks.Go(func() { f.market(ctx, ask) })
	looks.Wait()
	f.disks()
	return f
}

func (f *Facts) system() {
	f.Root = os.Geteuid() == 0
	f.Caps = capEff(text("/proc/self/status"))
	f.Kernel = strings.TrimSpace(text("/proc/sys/kernel/osrelease"))
	_, err := os.Stat("/.dockerenv")
	f.Container = err == nil
	for _, ns := range []string{"net", "pid", "mnt", "ipc", "uts"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			f.NoNS = append(f.NoNS, ns)
		}
	}
	if tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		f.TUN = reason(err)
	} else {
		tun.Close()
	}
	if has, err := device.Look(); err == nil {
		f.Cores, f.Memory = has.Cores, has.Memory
	}
	f.Swap = swap(text("/proc/meminfo"))
	f.CgroupCPUs, f.CgroupBytes = cgroup(text("/sys/fs/cgroup/cpu.max"), text("/sys/fs/cgroup/memory.max"))
	f.NvidiaDriver = nvidiaVersion(text("/proc/driver/nvidia/version"))
	f.NvidiaPCI = nvidiaDevices()
	f.NvidiaToolkit, f.Runsc = path("nvidia-ctk", "nvidia-container-runtime"), path(raylink.GVisorRuntime)
	if !nvml.Built {
		f.NvidiaBuild = nvml.ErrBuild.Error()
	}
	f.HostHidden = f.Container && !device.HostSeen()
	f.Agents = agentPIDs()
}

// reason is an error without the path, which the finding names itself.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func text(name string) string {
	file, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, bodyLimit))
	if err != nil {
		return ""
	}
	return string(raw)
}

func path(names ...string) string {
	for _, name := range names {
		if _, p := device.Tool(name); p != "" {
			return p
		}
	}
	return ""
}

// nvidiaDevices counts display controllers of NVIDIA's PCI vendor id.
func nvidiaDevices() int {
	names, err := filepath.Glob("/sys/bus/pci/devices/*/vendor")
	if err != nil {
		return 0
	}
	n := 0
	for _, name := range names {
		class := strings.TrimSpace(text(filepath.Join(filepath.Dir(name), "class")))
		if strings.TrimSpace(text(name)) == "0x10de" && strings.HasPrefix(class, "0x03") {
			n++
		}
	}
	return n
}

// agentPIDs are the processes that look like agents.
func agentPIDs() []int {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	var out []int
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && isAgent(strings.Split(strings.TrimRight(text(name), "\x00"), "\x00")) && len(out) < listLimit {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}

func (f *Facts) engine(ctx context.Context, ask Ask) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	engine, err := docker.NewClientWithOpts(docker.FromEnv, docker.WithAPIVersionNegotiation())
	if err != nil {
		f.EngineErr = err.Error()
		return
	}
	defer engine.Close()
	info, err := engine.Info(ctx)
	if err != nil {
		f.EngineErr = err.Error()
		return
	}
	f.Engine = &Engine{Version: info.ServerVersion, Cgroup: info.CgroupVersion, Driver: info.CgroupDriver, Root: info.DockerRootDir, Security: info.SecurityOptions}
	for name, how := range info.Runtimes {
		f.Engine.Runtimes = append(f.Engine.Runtimes, name)
		f.Engine.GVisor = f.Engine.GVisor || name == raylink.GVisorRuntime && device.Runtime{Path: how.Path, Args: how.Args}.Joins(device.ReadHost)
	}
	slices.Sort(f.Engine.Runtimes)
	_, err = engine.ImageInspect(ctx, f.Image)
	f.HasImage = err == nil
	rows, err := engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "raylink.machine"))})
	if err != nil {
		return
	}
	own := machineOf(ask.Data)
	for _, row := range rows {
		machine, lease := row.Labels["raylink.machine"], row.Labels["raylink.lease"]
		switch {
		case machine == own && lease != "" && !ask.Orders[raylink.LeaseID(lease)] && len(f.Left) < listLimit:
			f.Left = append(f.Left, strings.TrimPrefix(strings.Join(row.Names, ","), "/"))
		case machine != own && !slices.Contains(f.Strange, machine) && len(f.Strange) < listLimit:
			f.Strange = append(f.Strange, machine)
		}
	}
	slices.Sort(f.Left)
	slices.Sort(f.Strange)
}

func machineOf(data string) string {
	me, err := client.OpenIdentity(filepath.Join(data, "identity"))
	if err != nil {
		return ""
	}
	who, err := me.Principal()
	if err != nil {
		return ""
	}
	return who.ID
}

func (f *Facts) disks() {
	f.Disks = []Disk{disk("data", f.Data)}
	f.Disks[0].Closed = closed(f.Data)
	if f.Engine != nil && f.Engine.Root != "" {
		f.Disks = append(f.Disks, disk("engine", f.Engine.Root))
	}
}

// disk looks at the nearest directory that is there.
func disk(what, name string) Disk {
	d := Disk{What: what, Path: name}
	for at := name; ; at = filepath.Dir(at) {
		var fs unix.Statfs_t
		err := unix.Statfs(at, &fs)
		if errors.Is(err, unix.ENOENT) && at != filepath.Dir(at) {
			continue
		}
		if err != nil {
			d.Err = err.Error()
		}
		d.Free, d.Keys = int64(fs.Bavail)*int64(fs.Bsize), shred.Can(at)
		return d
	}
}

// closed says why root cannot write to a directory, or make it; empty where it can. Whoever is not root is told so, and no more.
func closed(name string) string {
	for at := name; ; at = filepath.Dir(at) {
		err := unix.Access(at, unix.W_OK)
		if errors.Is(err, unix.ENOENT) && at != filepath.Dir(at) {
			continue
		}
		if err == nil || errors.Is(err, unix.EACCES) && os.Geteuid() != 0 {
			return ""
		}
		return err.Error()
	}
}

// group asks every coordinator that is known, with the group's own CA.
func (f *Facts) group(ctx context.Context, ask Ask) {
	dir := filepath.Join(ask.Data, "identity")
	if _, err := os.Stat(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.IdentityErr = reason(err)
		return
	}
	if !client.Joined(dir) {
		if ask.Join != "" {
			f.Coordinators = []Coordinator{dial(ctx, ask.Join)}
		}
		return
	}
	me, err := client.OpenIdentity(dir)
	if err != nil {
		f.IdentityErr = err.Error()
		return
	}
	f.Joined, f.CertUntil = true, me.ExpiresAt()
	trust, err := identity.GroupTLS(me.CAPEM(), time.Now)
	if err != nil {
		f.IdentityErr = err.Error()
		return
	}
	urls := me.Coordinators()
	urls = urls[:min(len(urls), groupMost)]
	f.Coordinators = make([]Coordinator, len(urls))
	var asks sync.WaitGroup
	for i, base := range urls {
		asks.Go(func() { f.Coordinators[i] = status(ctx, base, trust) })
	}
	asks.Wait()
}

// dial only sees whether somebody listens: before the join token is used there is no CA to trust.
func dial(ctx context.Context, base string) Coordinator {
	c := Coordinator{URL: base}
	u, err := url.Parse(base)
	if err != nil || u.Port() == "" {
		c.Err = "this is no URL with a port"
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		c.Err = err.Error()
		return c
	}
	conn.Close()
	return c
}

// status asks a coordinator how it is, and reads its clock from the answer's Date.
func status(ctx context.Context, base string, trust *tls.Config) Coordinator {
	c := Coordinator{URL: base}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/status", nil)
	if err != nil {
		c.Err = err.Error()
		return c
	}
	transport := &http.Transport{TLSClientConfig: trust.Clone(), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	begun := time.Now()
	answer, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(request)
	if err != nil {
		var op *net.OpError
		c.Err = err.Error()
		c.Trust = !errors.As(err, &op) && ctx.Err() == nil
		return c
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		c.Err = fmt.Sprintf("it answers %s", answer.Status)
		return c
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		c.Offset = date.Add(time.Second / 2).Sub(begun.Add(time.Since(begun) / 2)) // Date has whole seconds, rounded down
	}
	return c
}

// rules looks for firewall rules, with whatever tool is here.
func (f *Facts) rules(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, tool := range [][]string{{"nft", "list", "ruleset"}, {"iptables-save"}} {
		if path(tool[0]) == "" {
			continue
		}
		command := exec.CommandContext(ctx, tool[0], tool[1:]...)
		command.WaitDelay = time.Second
		out, err := command.Output()
		if err == nil {
			f.Firewall = append(f.Firewall, drops(string(out[:min(len(out), bodyLimit)]))...)
		}
	}
	slices.Sort(f.Firewall)
	f.Firewall = slices.Compact(f.Firewall)
}

func (f *Facts) market(ctx context.Context, ask Ask) {
	if ask.Stand == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	s, err := ask.Stand(ctx)
	if err != nil {
		f.StandErr = err.Error()
		return
	}
	f.Standing = &s
}

//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one step of building the file system that a tenant sees. Targets are paths inside.
type mount struct {
	target string
	source string // outside; a bind mount when kind is empty
	kind   string // of file system
	flags  uintptr
	data   string
	ifBoth bool // leave it out where source or target is missing
	make   bool // make the target, a directory, for user 1000: it is in a fresh file system
	from   bool // source is a path inside
}

const (
	quiet    = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	readOnly = unix.MS_RDONLY
	tmpLeast = 64 << 20 // bytes of /tmp
	tmpMost  = 8 << 30
	shmOwn   = 64 << 20 // bytes of /dev/shm where nobody says, as container engines have it
)

// tmpBytes is the size of /tmp: a quarter of the lease's memory, which is where it lies.
func tmpBytes(memory int64) int64 {
	if memory == 0 {
		return tmpMost
	}
	return min(max(memory/4, tmpLeast), tmpMost)
}

// mounts is the file system of a lease in the order in which it is built, on top of the image, which is read-only.
func mounts(p plan) []mount {
	etc := func(name string) mount {
		return mount{target: "/etc/" + name, source: filepath.Join(p.Dir, etcDir, name), flags: readOnly | unix.MS_NOSUID | unix.MS_NODEV, ifBoth: true}
	}
	shm := p.Spec.ShmBytes
	if shm == 0 {
		shm = shmOwn
	}
	out := []mount{
		{target: "/proc", kind: "proc", source: "proc", flags: quiet},
		{target: "/sys", kind: "sysfs", source: "sysfs", flags: quiet | readOnly},
		{target: "/dev", kind: "tmpfs", source: "dev", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "mode=755,size=65536"},
		{target: "/dev/pts", kind: "devpts", source: "devpts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "newinstance,ptmxmode=0666,mode=0620", make: true},
		{target: "/dev/shm", kind: "tmpfs", source: "shm", flags: quiet, data: fmt.Sprintf("mode=1777,size=%d", shm), make: true},
		{target: "/tmp", kind: "tmpfs", source: "tmp", flags: unix.MS_NOSUID | unix.MS_NODEV, data: fmt.Sprintf("mode=1777,size=%d", tmpBytes(p.Spec.Memory))},
		{target: "/raylink", source: p.Spec.Dir, flags: unix.MS_NOSUID | unix.MS_NODEV},
		{target: "/tmp/ray", source: filepath.Join(p.Spec.Dir, "session"), flags: unix.MS_NOSUID | unix.MS_NODEV, make: true},
		{target: p.Home, source: filepath.Join(p.Dir, homeDir), flags: unix.MS_NOSUID | unix.MS_NODEV, ifBoth: true},
		etc("hosts"), etc("hostname"), etc("resolv.conf"),
	}
	out = append(out, groupMounts(p.Groups)...)
	for _, path := range masked() {
		out = append(out, mount{target: path, source: "/dev/null", from: true, ifBoth: true}) // a directory gets an empty one instead
	}
	for _, path := range frozen() {
		out = append(out, mount{target: path, source: path, from: true, flags: quiet | readOnly, ifBoth: true})
	}
	return out
}

// groupMounts shows the lease its own control groups, from which Ray reads what it may use; never those of others.
func groupMounts(l leaf) []mount {
	if l.Version == 2 {
		return []mount{{target: "/sys/fs/cgroup", source: l.Dirs[""], flags: quiet | readOnly, ifBoth: true}}
	}
	out := []mount{{target: "/sys/fs/cgroup", kind: "tmpfs", source: "cgroup", flags: quiet, data: "mode=755,size=65536"}}
	for _, controller := range controllers() {
		out = append(out, mount{target: "/sys/fs/cgroup/" + controller, source: l.Dirs[controller], flags: quiet | readOnly, make: true})
	}
	return out
}

// masked is what the kernel tells every process about the machine, and no tenant needs to know. The list is that of the OCI runtimes'
// common defaults.
func masked() []string {
	return []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
		"/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/kernel/debug", "/sys/kernel/security"}
}

// frozen is what may be read and not written.
func frozen() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// build makes the calling process's mount namespace into what the lease sees, and nothing else is left in it.
func build(p plan) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to itself: %w", err)
	}
	if err := unix.Mount(p.Root, p.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting the image: %w", err)
	}
	for _, m := range mounts(p) {
		if err := m.do(p.Root); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
		if m.target == "/dev" {
			if err := devices(filepath.Join(p.Root, "dev")); err != nil {
				return err
			}
		}
	}
	if err := sealed(p.Root, "/", readOnly|unix.MS_NOSUID|unix.MS_NODEV); err != nil {
		return err
	}
	for target, flags := range map[string]uintptr{"/dev": readOnly | unix.MS_NOSUID | unix.MS_NOEXEC, "/sys/fs/cgroup": readOnly | quiet} {
		if err := sealed(p.Root, target, flags); err != nil {
			return err
		}
	}
	return pivot(p.Root)
}

func sealed(root, target string, flags uintptr) error {
	kind := unix.MS_REMOUNT | unix.MS_BIND
	if err := unix.Mount("", filepath.Join(root, target), "", uintptr(kind)|flags, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", target, err)
	}
	return nil
}

// do mounts one thing. The image is its owner's and holds no links on the way: ready saw to that.
func (m mount) do(root string) error {
	target, source := filepath.Join(root, m.target), m.source
	if m.from {
		source = filepath.Join(root, m.source)
	}
	if m.make {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
	}
	if m.kind != "" {
		return unix.Mount(source, target, m.kind, m.flags, m.data)
	}
	at, err := os.Stat(target)
	if os.IsNotExist(err) && m.ifBoth {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(source); os.IsNotExist(err) && m.ifBoth {
		return nil
	}
	if at.IsDir() && m.source == "/dev/null" {
		return unix.Mount("none", target, "tmpfs", quiet|readOnly, "mode=555,size=4096")
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if m.flags == 0 {
		return nil
	}
	return unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|m.flags, "")
}

// device is a node in /dev, numbered as in Documentation/admin-guide/devices.txt of Linux.
type device struct {
	name         string
	major, minor uint32
}

func deviceNodes() []device {
	return []device{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}
}

func devices(dev string) error {
	for _, d := range deviceNodes() {
		path := filepath.Join(dev, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("making /dev/%s: %w", d.name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil { // whatever the umask is
			return fmt.Errorf("making /dev/%s: %w", d.name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return fmt.Errorf("making /dev/%s: %w", name, err)
		}
	}
	return nil
}

// pivot makes root the root, and lets the old one go: pivot_root(2) with both names the same lays the old one over the new.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("entering the image: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("making the image the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting the machine's files go: %w", err)
	}
	return os.Chdir("/")
}

// places are the directories and files that must exist in an image, because the image is read-only once it is used.
func places(home string) (dirs, files []string) {
	dirs = []string{"proc", "sys", "dev", "tmp", "raylink", "etc", strings.TrimPrefix(home, "/")}
	return slices.Compact(dirs), []string{"etc/hosts", "etc/hostname", "etc/resolv.conf"}
}

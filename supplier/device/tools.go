package device

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// theHosts is where the host's own file system is seen from a container that has the host's processes (--pid=host) and may look at them (SYS_PTRACE).
const theHosts = "/proc/1/root"

// toolDirs is where a host has the programs that are asked for their versions.
func toolDirs() []string {
	return []string{"/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/sbin", "/opt/bin"}
}

// Tool finds a program of this machine: in the root directory root, under path there. An agent in a container looks on the host, whose programs count; and
// where it cannot, and on the host itself, it looks along PATH. Both are empty where there is none.
func Tool(name string) (root, path string) { return tool(hostRoot(theHosts), name) }

// HostSeen says whether the programs of the machine itself can be seen from here: always outside of containers.
func HostSeen() bool {
	if hostRoot(theHosts) != "" {
		return true
	}
	_, err := os.Stat("/.dockerenv")
	return err != nil
}

// hostRoot is at where that is another file system than this process's own, and may be looked at; else nothing.
func hostRoot(at string) string {
	own, err := os.Stat("/")
	if err != nil {
		return ""
	}
	host, err := os.Stat(at + "/.") // the link itself can be seen by everybody
	if err != nil || os.SameFile(own, host) {
		return ""
	}
	return at
}

func tool(host, name string) (root, path string) {
	if host != "" {
		for _, dir := range toolDirs() {
			// Not Stat: a link there may lead to a place of the host's, which is not one here.
			if _, err := os.Lstat(filepath.Join(host, dir, name)); err == nil {
				return host, filepath.Join(dir, name)
			}
		}
		return "", ""
	}
	if path, err := exec.LookPath(name); err == nil {
		return "/", path
	}
	return "", ""
}

// ReadHost reads a file of the machine itself, whoever's file system this process has.
func ReadHost(name string) (string, error) { return readFile(hostRoot(theHosts) + name) }

// run asks a program of this machine.
func run(ctx context.Context, name string, args ...string) (string, error) {
	root, path := Tool(name)
	return runIn(ctx, root, path, args...)
}

// runIn runs a program in a root directory: a host's program finds the host's libraries there, and not those of the container that this runs in.
func runIn(ctx context.Context, root, path string, args ...string) (string, error) {
	if path == "" {
		return "", exec.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	if strings.Trim(root, "/") != "" {
		command.SysProcAttr, command.Dir = &syscall.SysProcAttr{Chroot: root}, "/"
	}
	command.WaitDelay = time.Second // a child that keeps the pipe open
	out, err := command.Output()
	if len(out) > answerLimit {
		out = out[:answerLimit]
	}
	return string(out), err
}

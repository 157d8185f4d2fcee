//go:build linux

package docker

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
)

// denied are system calls that the engine's own profile lets a container without capabilities make, and that neither Ray nor what runs on it needs: ways to look
// into other processes, and parts of the kernel in which escapes were found. A profiler that attaches to a running process (py-spy) does not work in a lease.
func denied() []string {
	return []string{
		"add_key", "bpf", "clone3", "fanotify_init", "fsopen", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp", "keyctl", "mount", "move_mount",
		"name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd", "pivot_root", "process_madvise",
		"process_vm_readv", "process_vm_writev", "ptrace", "request_key", "setns", "umount2", "unshare", "userfaultfd", "vmsplice",
	}
}

// profile is the seccomp profile of a lease: the engine's default as the library has it, less what denied names.
func profile() (string, error) {
	p := seccomp.DefaultProfile()
	var kept []*seccomp.Syscall
	for _, rule := range p.Syscalls {
		names := slices.DeleteFunc(slices.Clone(rule.Names), func(name string) bool { return slices.Contains(denied(), name) && rule.Action == allow })
		if len(names) > 0 {
			one := *rule
			one.Names = names
			kept = append(kept, &one)
		}
	}
	p.Syscalls = kept
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("writing the seccomp profile: %w", err)
	}
	return string(text), nil
}

// allow is the action of the profile's rules that let a call pass.
const allow = "SCMP_ACT_ALLOW"

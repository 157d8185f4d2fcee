//go:build linux

package process

import (
	"fmt"
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"raylink/raylink"
)

// The parts of struct seccomp_data that the filter reads (seccomp(2)); arguments are 64 bits wide, their low half first.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArg0 = 16

	// A namespace made by a tenant would give it every capability inside, and most holes of the kernel's are behind one of those.
	newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

	allow    = unix.SECCOMP_RET_ALLOW
	refuse   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknown  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	deadly   = unix.SECCOMP_RET_KILL_PROCESS
	x32Calls = 0x4000_0000 // calls of amd64's second, 32-bit ABI carry this bit
)

// refused are the calls that no tenant has any business with: they are of use with capabilities alone, look into other processes, or have been the
// way out of sandboxes. What the Docker runtime denies is among them. The others are allowed: Ray, Python and CUDA use what they find.
func refused() []uint32 {
	return append(refusedHere(), unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_ADJTIMEX, unix.SYS_BPF, unix.SYS_CLOCK_ADJTIME, unix.SYS_CLOCK_SETTIME,
		unix.SYS_DELETE_MODULE, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK, unix.SYS_FINIT_MODULE, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN,
		unix.SYS_FSPICK, unix.SYS_INIT_MODULE, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_URING_SETUP, unix.SYS_KCMP,
		unix.SYS_KEXEC_FILE_LOAD, unix.SYS_KEXEC_LOAD, unix.SYS_KEYCTL, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT,
		unix.SYS_MOVE_PAGES, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_NFSSERVCTL, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE, unix.SYS_PERF_EVENT_OPEN,
		unix.SYS_PERSONALITY, unix.SYS_PIDFD_GETFD, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PTRACE,
		unix.SYS_PIVOT_ROOT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_REBOOT, unix.SYS_REQUEST_KEY, unix.SYS_SETDOMAINNAME, unix.SYS_SETHOSTNAME,
		unix.SYS_SETNS, unix.SYS_SETTIMEOFDAY, unix.SYS_SWAPOFF, unix.SYS_SWAPON, unix.SYS_SYSLOG, unix.SYS_UMOUNT2, unix.SYS_UNSHARE,
		unix.SYS_USERFAULTFD, unix.SYS_VMSPLICE, unix.SYS_VHANGUP)
}

// filter is the program that the kernel runs before every call of the tenant's (classic BPF).
func filter() []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	if_ := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: yes, Jf: no}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	out := []unix.SockFilter{
		load(offsetArch), if_(unix.BPF_JEQ, auditArch, 1, 0), answer(deadly), // the numbers below are of one architecture
		load(offsetCall), if_(unix.BPF_JGE, x32Calls, 0, 1), answer(unknown),
		// The flags of clone3 are in memory, where a filter cannot look; without it the C library uses clone.
		if_(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), answer(unknown),
		if_(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4), load(offsetArg0), if_(unix.BPF_JSET, newNamespaces, 0, 1), answer(refuse), answer(allow),
		if_(unix.BPF_JEQ, unix.SYS_SOCKET, 0, 5), load(offsetArg0),
		if_(unix.BPF_JEQ, unix.AF_VSOCK, 1, 0), if_(unix.BPF_JEQ, unix.AF_ALG, 0, 1), answer(refuse), answer(allow),
	}
	for _, call := range refused() {
		out = append(out, if_(unix.BPF_JEQ, call, 0, 1), answer(refuse))
	}
	return append(out, answer(allow))
}

// install puts the filter on the calling thread, and on all that it becomes and starts. It needs no_new_privs.
func install(program []unix.SockFilter) error {
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	goruntime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("filtering the tenant's system calls: %w", errno)
	}
	return nil
}

// filterable says whether the kernel filters calls: a tenant never runs without.
func filterable() error {
	action := uint32(deadly)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return raylink.Errorf(raylink.CodeUnavailable, "this kernel does not filter system calls (seccomp): %v", errno).
			WithHint("run a kernel with CONFIG_SECCOMP_FILTER, 4.14 or later")
	}
	return nil
}

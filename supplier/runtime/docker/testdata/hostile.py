"""What a hostile tenant tries from inside a lease. Each attempt prints its name and how it ended: DONE is a way out, or a step of one."""
import ctypes, errno, os, resource, signal, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
# x86-64 and arm64 number them differently; those from 424 on are the same everywhere.
NR = {"x86_64": dict(mount=165, umount2=166, pivot_root=155, unshare=272, setns=308, ptrace=101, process_vm_readv=310, keyctl=250, add_key=248, bpf=321,
                     perf_event_open=298, userfaultfd=323, open_by_handle_at=304, personality=135, vmsplice=278, kcmp=312, init_module=175,
                     finit_module=313, kexec_load=246, reboot=169, settimeofday=164, sethostname=170, swapon=167, quotactl=179, iopl=172, clone=56),
      "aarch64": dict(mount=40, umount2=39, pivot_root=41, unshare=97, setns=268, ptrace=117, process_vm_readv=270, keyctl=219, add_key=217, bpf=280,
                      perf_event_open=241, userfaultfd=282, open_by_handle_at=265, personality=92, vmsplice=75, kcmp=272, init_module=105,
                      finit_module=273, kexec_load=104, reboot=142, settimeofday=170, sethostname=161, swapon=224, quotactl=60, clone=220)}[os.uname().machine]
NR.update(io_uring_setup=425, open_tree=428, move_mount=429, fsopen=430, pidfd_getfd=438)


def call(name, *args):
    if libc.syscall(NR[name], *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def attempt(name, do):
    try:
        said = do()
    except OSError as e:
        said = "refused " + (errno.errorcode.get(e.errno) or str(e))
    except (ValueError, KeyError, OverflowError) as e:
        said = "refused " + str(e)
    print(f"{name}: {'DONE' if said is None else said}", flush=True)


def write(path, text="1"):
    with open(path, "w") as f:
        f.write(text)


def read(path):
    with open(path, "rb") as f:
        return None if f.read(64) else "refused empty"


def reach(host, port=80, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(2)
    try:
        s.connect((host, port))
    except ConnectionRefusedError:
        return None  # somebody was there to refuse
    return None


def name_of(host):
    return None if socket.getaddrinfo(host, 80) else "refused none"


def child(do):
    """Runs do in a process of its own: 'refused' with what ended it, or what it says by its exit code 0."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
            os._exit(0)
        except MemoryError:
            os._exit(12)
        except OSError as e:
            os._exit(min(e.errno or 1, 100))
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "refused " + signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return None if code == 0 else "refused " + errno.errorcode.get(code, str(code))


def hog(mib):
    kept = []
    for _ in range(mib):
        kept.append(bytearray(os.urandom(4096) * 256))


def fill(path, mib):
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(b"x" * (1 << 20))


def bomb(limit):
    alive = []
    try:
        for _ in range(limit):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            alive.append(pid)
    except OSError as e:
        return f"refused {errno.errorcode[e.errno]}"
    finally:
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def same_user(path):
    return None if os.access(path, os.W_OK) else "refused not writable"


def ask(way, target):
    """Asks the lease's proxy. None is a way through; otherwise how it was refused. That the proxy does not answer is no refusal."""
    try:
        with socket.create_connection(("127.0.0.1", 6398), 5) as s:
            s.settimeout(40)
            return ask_socks(s, way, target) if way in ("socks", "address") else ask_http(s, way, target)
    except OSError as e:
        return f"no answer: {e}"


def ask_http(s, way, target):
    path, host = ("/latest/meta-data/", target) if way == "host" else (target, "example.com")
    s.sendall(f"{'CONNECT' if way == 'connect' else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = s.makefile("rb")
    status = answer.readline(200).decode(errors="replace").split(" ")[1:2]
    if status not in (["400"], ["403"]):
        return None  # it went there, whatever came of it
    _, _, words = answer.read(4096).decode(errors="replace").partition("\r\n\r\n")
    return f"refused {status[0]} {words.strip()}" if words.startswith("raylink: ") else None


def ask_socks(s, way, target):
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    if way == "socks":
        address = b"\3" + bytes([len(host)]) + host.encode()
    else:
        address = b"\4" + socket.inet_pton(socket.AF_INET6, host) if ":" in host else b"\1" + socket.inet_aton(host)
    s.sendall(b"\5\1\0\5\1\0" + address + struct.pack("!H", int(port)))
    heard = s.makefile("rb").read(12)
    return "refused SOCKS 2" if heard[:4] == b"\5\0\5\2" else None


def through_the_proxy(path):
    """Asks for all that a list names, each line a way of asking and a target."""
    with open(path, encoding="utf-8") as f:
        lines = [line.split(maxsplit=1) for line in f if line.strip() and not line.startswith("#")]
    for way, target in lines:
        attempt(f"through the proxy, {way} {target.strip()}", lambda: ask(way, target.strip()))


def main(host, hidden, memory, shm, pids, forbidden):
    two = ctypes.create_string_buffer(64)
    # the kernel's doors
    attempt("mount a file system", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
    attempt("mount by the new calls", lambda: call("fsopen", b"tmpfs", 0))
    attempt("clone a mount", lambda: call("open_tree", -100, b"/", 1))
    attempt("unmount", lambda: call("umount2", b"/proc", 2))
    attempt("another root", lambda: call("pivot_root", b"/tmp", b"/tmp"))
    attempt("chroot", lambda: os.chroot("/tmp"))
    attempt("a user namespace", lambda: child(lambda: call("unshare", 0x10000000)))
    attempt("a user namespace by clone", lambda: child(lambda: call("clone", 0x10000000 | signal.SIGCHLD, None, None, None, None)))
    attempt("a mount namespace", lambda: child(lambda: call("unshare", 0x00020000)))
    attempt("another's namespace", lambda: call("setns", os.open("/proc/1/ns/net", os.O_RDONLY), 0))
    attempt("trace the first process", lambda: call("ptrace", 16, 1, None, None))
    attempt("read another's memory", lambda: call("process_vm_readv", 1, None, 0, None, 0, 0))
    attempt("take another's file", lambda: call("pidfd_getfd", os.pidfd_open(1), 0, 0))
    attempt("compare kernel objects", lambda: call("kcmp", 1, 1, 0, 0, 0))
    attempt("the key ring", lambda: call("keyctl", 0, -3, 1))
    attempt("a key", lambda: call("add_key", b"user", b"x", b"y", 1, -3))
    attempt("bpf", lambda: call("bpf", 0, two, 64))
    attempt("io_uring", lambda: call("io_uring_setup", 8, ctypes.create_string_buffer(240)))
    attempt("perf events", lambda: call("perf_event_open", ctypes.create_string_buffer(struct.pack("II", 1, 112), 112), 0, -1, -1, 0))
    attempt("userfaultfd", lambda: call("userfaultfd", 1))
    attempt("a file by its handle", lambda: call("open_by_handle_at", -100, two, 0))
    attempt("another personality", lambda: call("personality", 0x0040000))
    attempt("splice memory", lambda: call("vmsplice", 1, None, 0, 0))
    attempt("a kernel module", lambda: call("init_module", two, 64, b""))
    attempt("another kernel", lambda: call("kexec_load", 0, 0, None, 0))
    attempt("reboot", lambda: call("reboot", 0xFEE1DEAD, 672274793, 0x1234567, None))
    attempt("the clock", lambda: call("settimeofday", struct.pack("qq", 1, 1), None))
    attempt("the host's name", lambda: call("sethostname", b"mine", 4))
    attempt("swap", lambda: call("swapon", b"/tmp/swap", 0))
    if "iopl" in NR:
        attempt("input and output ports", lambda: call("iopl", 3))
    attempt("become root", lambda: os.setuid(0))
    attempt("a device node", lambda: os.mknod("/tmp/mem", 0o600 | 0o020000, os.makedev(1, 1)))
    # files of the machine
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
                 "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/etc/passwd", "/usr/bin/raylink-was-here", "/opt/ray/was-here", "/was-here"):
        attempt("write " + path, lambda: write(path))
    attempt("spare oneself when memory is short", lambda: write("/proc/self/oom_score_adj", "-1000"))
    for path in ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/net/tun", "/dev/kvm", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                 "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/etc/shadow", hidden):
        attempt("read " + path, lambda: read(path))
    attempt("list " + os.path.dirname(hidden), lambda: None if os.listdir(os.path.dirname(hidden)) else "refused empty")
    attempt("a link in place of the start script", lambda: os.replace("/tmp/link", "/raylink/start.sh") if os.symlink("/etc/passwd", "/tmp/link") is None else None)
    attempt("write beside the start script", lambda: write("/raylink/was-here"))
    attempt("the first process's environment", lambda: same_user("/proc/1/environ"))
    # the network
    attempt("raw sockets", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and None)
    attempt("packet sockets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) and None)
    attempt("the hypervisor's sockets", lambda: socket.socket(40, socket.SOCK_STREAM) and None)
    for target in ("169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.170.2", "172.17.0.1", host, "10.0.0.1", "192.168.1.1", "8.8.8.8"):
        attempt("reach " + target, lambda: reach(target))
    attempt("reach the metadata by a mapped address", lambda: reach("::ffff:169.254.169.254", family=socket.AF_INET6))
    attempt("reach the metadata by IPv6", lambda: reach("fd00:ec2::254", family=socket.AF_INET6))
    attempt("resolve a name", lambda: name_of("metadata.google.internal"))
    attempt("an address of one's own", lambda: child(lambda: write("/proc/sys/net/ipv4/ip_forward")))
    through_the_proxy(forbidden)
    # more than was paid for
    attempt("shared memory beyond the lease's", lambda: child(lambda: fill("/dev/shm/full", 2 * shm)))
    os.path.exists("/dev/shm/full") and os.remove("/dev/shm/full")
    attempt("scratch beyond its size", lambda: child(lambda: fill("/tmp/full", 2 * memory)))
    os.path.exists("/tmp/full") and os.remove("/tmp/full")
    if pids:
        attempt("a fork bomb", lambda: bomb(2 * pids))
    attempt("a core dump", lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)))
    attempt("a higher priority", lambda: None if os.nice(-5) < 0 else "refused")
    print("the end", flush=True)
    # last, because it ends the whole of a gVisor sandbox
    attempt("memory beyond the lease's", lambda: child(lambda: hog(2 * memory)))


if len(sys.argv) == 2:  # where everything else is tried in another way
    through_the_proxy(sys.argv[1])
else:
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6])

package dataplane

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
)

func needsReal(t *testing.T) {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root and /dev/net/tun: set RAYLINK_REAL=1")
	}
}

// sandbox starts a process of some user in a network namespace of its own, as a container with no network is.
func sandbox(t *testing.T, user uint32) *exec.Cmd {
	t.Helper()
	child := exec.Command("/bin/cat") // does nothing until its input ends
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Credential: &syscall.Credential{Uid: user, Gid: user}}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(child) })
	return child
}

func kill(child *exec.Cmd) {
	child.Process.Kill()
	child.Wait()
}

// node is one lease: a sandbox and the data plane that serves it.
type node struct {
	*Process
	config  Config
	key     overlay.PrivateKey
	sandbox *exec.Cmd
}

func startNode(t *testing.T, name, address string) *node {
	t.Helper()
	n := &node{key: someKey(t), sandbox: sandbox(t, 0)}
	dir := t.TempDir()
	n.config = Config{
		Lease: fmt.Sprintf("%s-%d", name, os.Getpid()), Dir: dir, Pid: n.sandbox.Process.Pid,
		Socket: filepath.Join(dir, "s.sock"), Address: netip.MustParsePrefix(address),
	}
	n.start(t)
	n.config.Port = n.status(t).Port
	t.Cleanup(func() {
		syscall.Kill(n.Pid, syscall.SIGKILL)
		<-n.Ended()
		if err := Remove(n.config); err != nil {
			t.Error(err)
		}
	})
	return n
}

func someKey(t *testing.T) overlay.PrivateKey {
	t.Helper()
	key, err := overlay.NewPrivateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (n *node) start(t *testing.T) {
	t.Helper()
	process, err := Start(t.Context(), n.config, n.key, []string{os.Args[0], "dataplane"}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	n.Process = process
}

func (n *node) status(t *testing.T) Status {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func (n *node) peer() overlay.Peer {
	return overlay.Peer{
		Name: n.config.Lease, PublicKey: n.key.Public(), Address: n.config.Address.Addr(),
		Endpoint: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), n.config.Port),
	}
}

func (n *node) mesh(t *testing.T, peers ...overlay.Peer) {
	t.Helper()
	if _, err := n.SetMesh(t.Context(), overlay.Mesh{Address: n.config.Address, MTU: overlay.MTUDirect, Peers: peers}); err != nil {
		t.Fatal(err)
	}
}

// netns is the sandbox's namespace, as root with all capabilities opens it.
func (n *node) netns() string { return fmt.Sprintf("/proc/%d/ns/net", n.sandbox.Process.Pid) }

// verdict waits for the preflight's end.
func (n *node) verdict(t *testing.T) PreflightStatus {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if status := n.status(t).Preflight; status.State != PreflightRunning {
			return status
		}
		<-ticker.C
	}
}

func (n *node) preflight(t *testing.T, timeout time.Duration, peers ...*node) {
	t.Helper()
	var addresses []netip.Addr
	for _, peer := range peers {
		addresses = append(addresses, peer.config.Address.Addr())
	}
	if status, err := n.Preflight(t.Context(), addresses, timeout); err != nil || status.Preflight.State == PreflightIdle {
		t.Fatalf("%+v, %v", status.Preflight, err)
	}
}

// dial opens a connection from one sandbox to an echo in another.
func (n *node) dial(t *testing.T, to *node) net.Conn {
	t.Helper()
	var listener net.Listener
	var conn net.Conn
	at := netip.AddrPortFrom(to.config.Address.Addr(), 7000).String()
	err := wireguard.InNetns(to.netns(), func() (err error) {
		listener, err = net.Listen("tcp4", at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		far, err := listener.Accept()
		listener.Close()
		if err == nil {
			io.Copy(far, far)
			far.Close()
		}
	}()
	err = wireguard.InNetns(n.netns(), func() (err error) {
		conn, err = net.DialTimeout("tcp4", at, 15*time.Second)
		return err
	})
	if err != nil {
		listener.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func echo(conn net.Conn, timeout time.Duration) error {
	conn.SetDeadline(time.Now().Add(timeout))
	sent := bytes.Repeat([]byte("x"), 5000)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(sent)))
	return err
}

func TestRealLifeOfALease(t *testing.T) {
	needsReal(t)
	a, b := startNode(t, "a", "100.64.1.2/24"), startNode(t, "b", "100.64.1.10/24")
	a.mesh(t, b.peer())
	b.mesh(t, a.peer())
	a.preflight(t, 0, b)
	b.preflight(t, 0, a)
	for _, n := range []*node{a, b} {
		if verdict := n.verdict(t); verdict.State != PreflightOK || verdict.TookMs > 5000 {
			t.Fatalf("%s: %+v", n.config.Lease, verdict)
		}
		if status, err := n.EndPreflight(t.Context()); err != nil || status.Preflight.State != PreflightOK {
			t.Fatalf("%+v, %v", status, err)
		}
	}
	status := a.status(t)
	if status.Lease != a.config.Lease || status.Pid != a.Pid || status.ContainerPid != a.sandbox.Process.Pid || status.Netns == 0 ||
		status.PublicKey != a.key.Public() || len(status.Peers) != 1 || status.Peers[0].LastHandshake.IsZero() ||
		status.Peers[0].ReceivedBytes == 0 || status.Peers[0].Address != b.config.Address.Addr() || status.Peers[0].Name != b.config.Lease {
		t.Fatalf("%+v", status)
	}
	for _, file := range []string{fmt.Sprintf("/proc/%d/cmdline", a.Pid), fmt.Sprintf("/proc/%d/environ", a.Pid),
		filepath.Join(a.config.Dir, ConfigFile), filepath.Join(a.config.Dir, LogFile)} {
		if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte(a.key.Text())) {
			t.Errorf("%s: %v, or it holds the private key", file, err)
		}
	}
	wrong := a.config
	wrong.Address = netip.MustParsePrefix("100.64.1.3/24")
	var refusal *raylink.Error
	if _, err := a.SetMesh(t.Context(), overlay.Mesh{Address: wrong.Address}); !errors.As(err, &refusal) {
		t.Errorf("a mesh for another address: %v", err)
	}
	if _, err := a.Preflight(t.Context(), []netip.Addr{netip.MustParseAddr("100.64.1.99")}, 0); !errors.As(err, &refusal) {
		t.Errorf("a preflight of a stranger: %v", err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := a.Code(); code != 0 {
		t.Errorf("told to close, it ended with %d", code)
	}
	if _, err := os.Stat(a.config.Socket); err == nil {
		t.Error("the socket outlives the data plane")
	}
}

// TestRealKilledDataPlaneComesBack: with the same key, port and address, connections that were open go on.
func TestRealKilledDataPlaneComesBack(t *testing.T) {
	needsReal(t)
	a, b := startNode(t, "a", "100.64.1.2/24"), startNode(t, "b", "100.64.1.10/24")
	a.mesh(t, b.peer())
	b.mesh(t, a.peer())
	conn := a.dial(t, b)
	if err := echo(conn, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	client, key, err := Adopt(t.Context(), a.config.Lease, a.config.Socket)
	if err != nil || key != a.key || client.Socket() != a.config.Socket {
		t.Fatalf("adopting: %v", err)
	}
	if _, _, err := Adopt(t.Context(), "another", a.config.Socket); err == nil {
		t.Error("another lease's data plane was adopted")
	}
	began := time.Now()
	syscall.Kill(a.Pid, syscall.SIGKILL)
	if code := a.Code(); code != -1 {
		t.Fatalf("killed, it ended with %d", code)
	}
	a.start(t)
	a.mesh(t, b.peer())
	if err := echo(conn, 15*time.Second); err != nil {
		t.Fatalf("the connection did not survive: %v", err)
	}
	t.Logf("traffic was back %s after the kill", time.Since(began).Round(time.Millisecond))
}

// TestRealContainerStartedAgain: the head's container comes back with a new namespace; the address, the key and the port stay.
func TestRealContainerStartedAgain(t *testing.T) {
	needsReal(t)
	a, b := startNode(t, "a", "100.64.1.2/24"), startNode(t, "b", "100.64.1.10/24")
	a.mesh(t, b.peer())
	b.mesh(t, a.peer())
	if err := echo(b.dial(t, a), 15*time.Second); err != nil {
		t.Fatal(err)
	}
	old := a.Process
	kill(a.sandbox)
	a.sandbox = sandbox(t, 0)
	a.config.Pid = a.sandbox.Process.Pid
	a.start(t) // waits for the old one to let go
	if code := old.Code(); code != ExitGone {
		t.Errorf("the container gone, it ended with %d", code)
	}
	a.mesh(t, b.peer())
	if err := echo(b.dial(t, a), 15*time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestRealPreflightNamesTheBlockedPair(t *testing.T) {
	needsReal(t)
	a, b, c := startNode(t, "a", "100.64.1.2/24"), startNode(t, "b", "100.64.1.10/24"), startNode(t, "c", "100.64.1.11/24")
	lost := func(n *node) overlay.Peer { // packets to it go nowhere
		peer := n.peer()
		peer.Endpoint = netip.MustParseAddrPort("127.0.0.1:9")
		return peer
	}
	a.mesh(t, b.peer(), c.peer())
	b.mesh(t, a.peer(), lost(c))
	c.mesh(t, a.peer(), lost(b))
	a.preflight(t, 3*time.Second, b, c)
	b.preflight(t, 3*time.Second, a, c)
	c.preflight(t, 3*time.Second, a, b)
	if verdict := a.verdict(t); verdict.State != PreflightOK {
		t.Errorf("a: %+v", verdict)
	}
	for from, to := range map[*node]*node{b: c, c: b} {
		verdict, address := from.verdict(t), to.config.Address.Addr()
		if verdict.State != PreflightBlocked || len(verdict.Blocked) != 1 || verdict.Blocked[0] != address ||
			!strings.Contains(verdict.Reasons[address], "handshake") {
			t.Errorf("%s: %+v", from.config.Lease, verdict)
		}
	}
	b.mesh(t, a.peer(), c.peer())
	b.preflight(t, 0, a, c)
	if verdict := b.verdict(t); verdict.State != PreflightOK {
		t.Errorf("b, once the way is open: %+v", verdict)
	}
}

// TestRealSandboxOfAnotherUser: in a container the agent lacks CAP_SYS_PTRACE, and tenants are not root.
func TestRealSandboxOfAnotherUser(t *testing.T) {
	needsReal(t)
	config := someConfig(t)
	config.Lease, config.Pid = fmt.Sprintf("u-%d", os.Getpid()), sandbox(t, 1000).Process.Pid
	command := []string{"setpriv", "--bounding-set", "-sys_ptrace", os.Args[0], "dataplane"}
	if os.Getuid() == 0 && exec.Command("setpriv", "--bounding-set", "-sys_ptrace", "cat", fmt.Sprintf("/proc/%d/ns/net", config.Pid)).Run() == nil {
		t.Fatal("the namespace of another user is open to all: this test shows nothing")
	}
	process, err := Start(t.Context(), config, someKey(t), command, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Close(t.Context()); err != nil || process.Code() != 0 {
		t.Error(err)
	}
	if err := Remove(config); err != nil {
		t.Error(err)
	}
}

// TestRealDataPlaneOutlivesTheAgent: SIGKILL for the one that started it.
func TestRealDataPlaneOutlivesTheAgent(t *testing.T) {
	needsReal(t)
	config := someConfig(t)
	config.Lease, config.Pid = fmt.Sprintf("o-%d", os.Getpid()), sandbox(t, 0).Process.Pid
	path, err := writeConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	secret := someKey(t)
	agent := exec.Command(os.Args[0], "agent", path, secret.Text()) // a test's key: a real one is never in argv
	agent.Stderr = os.Stderr
	output, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	input, err := agent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer kill(agent)
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		t.Fatalf("the agent said %q: %v", line, err)
	}
	before, err := Connect(config.Socket).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kill(agent)
	client, key, err := Adopt(t.Context(), config.Lease, config.Socket)
	if err != nil || key != secret {
		t.Fatalf("adopting after the agent's death: %v", err)
	}
	after, err := client.SetMesh(t.Context(), overlay.Mesh{Address: config.Address})
	if err != nil || after.Pid != before.Pid || !after.Started.Equal(before.Started) {
		t.Fatalf("%+v, %v", after, err)
	}
	if session, err := sessionOf(after.Pid); err != nil || session != after.Pid {
		t.Errorf("the data plane belongs to session %d, %v", session, err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, err := takeLock(t.Context(), config.Socket) // held until it has ended
	if err != nil {
		t.Fatal(err)
	}
	last.release()
	if err := Remove(config); err != nil {
		t.Error(err)
	}
}

func sessionOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	var state string
	var parent, group, session int
	_, err = fmt.Sscan(rest, &state, &parent, &group, &session)
	return session, err
}

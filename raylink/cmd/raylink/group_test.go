package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"raylink/coordinator"
	"raylink/coordinator/gateway"
	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/memory"
	"raylink/raylink/ray"
	"raylink/raylink/testbed"
	"raylink/raylink/wire"
	"raylink/supplier"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/scripted"
)

// network is a real coordinator with its API over TLS, in this process, and what a session lets join it: agents on the scripted runtime and
// gateways, in an overlay in memory. In a head's container stands a stand-in for Ray's head. Nothing else is played.
type network struct {
	dir, url string
	node     *coordinator.Node
	ctx      context.Context
	stop     context.CancelFunc
	parts    sync.WaitGroup
	closers  []func()
	wiring   testbed.Wiring
	host     *scripted.Host

	mu    sync.Mutex
	heads []*raytest.Head
	err   error // of a part
}

func startGroup(dir string) (*network, error) {
	g := &network{dir: dir, host: scripted.NewHost().AnyImage()}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.wiring.Started = func(spec runtime.PlaneSpec, member *memory.Member) {
		g.parts.Go(func() { g.keep(g.ray(spec, member)) })
	}
	listen, raft, err := twoAddresses()
	if err != nil {
		return nil, err
	}
	cfg := coordinator.Config{ID: "a", Data: filepath.Join(dir, "a"), Listen: listen, RaftListen: raft, Snapshot: 8192, SnapshotCheck: time.Minute,
		Trailing: 8192, Heartbeat: time.Second, Proofs: "off"}
	if err := coordinator.Init(cfg); err != nil {
		return nil, err
	}
	if g.node, err = coordinator.Open(g.ctx, cfg, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	g.url = "https://" + listen
	return g, g.founded(cfg.AdminTokenFile())
}

// founded waits until the first admin's token is good.
func (g *network) founded(file string) error {
	token, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ca, _, err := client.FetchCA(g.ctx, g.url, "")
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Coordinators: []string{g.url}, CAPEM: ca, Token: strings.TrimSpace(string(token))})
	if err != nil {
		return err
	}
	defer c.Close()
	return soon(func() error { _, err := c.WhoAmI(g.ctx); return err })
}

// close ends everything, and says what went wrong in a part meanwhile.
func (g *network) close() error {
	g.stop()
	for _, head := range g.heads {
		head.Kill()
	}
	for _, c := range g.closers {
		c()
	}
	g.parts.Wait()
	return errors.Join(g.err, g.node.Close())
}

func (g *network) keep(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil && g.ctx.Err() == nil {
		g.err = errors.Join(g.err, err)
	}
}

// enrol lets a newcomer in by the join token in a file.
func (g *network) enrol(name, tokenFile string, request wire.JoinRequest) (*client.Identity, *client.Client, error) {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, nil, err
	}
	me, err := client.Enroll(g.ctx, filepath.Join(g.dir, name, "identity"), g.url, strings.TrimSpace(string(token)), request)
	if err != nil {
		return nil, nil, err
	}
	c, err := me.Client(slog.New(slog.DiscardHandler))
	if err == nil {
		g.closers = append(g.closers, c.Close)
	}
	return me, c, err
}

// agent starts the agent of a machine of two cores.
func (g *network) agent(name, tokenFile string) error {
	offer := raylink.Offer{Arch: "amd64", Resources: raylink.Resources{CPU: 2 * raylink.Unit, Memory: 4 << 30}, CPUHour: 60_000}
	me, c, err := g.enrol(name, tokenFile, wire.JoinRequest{Name: name, Offer: &offer})
	if err != nil {
		return err
	}
	machine := identity.MachineID(me.Key().Public().(ed25519.PublicKey))
	host := &raylink.Host{OS: "Debian", Kernel: "6.1", Arch: "amd64", Memory: 4 << 30, Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "Ryzen", Cores: 2, Threads: 2}},
		Isolation: []raylink.Isolation{raylink.IsolationContainer}}
	agent := supplier.New(supplier.Parts{Machine: machine, Key: me.Key(), Offer: offer, Host: host, DataDir: filepath.Join(g.dir, name), Coordinator: c, Runtime: g.host.For(machine),
		Planes: g.wiring.Planes(g.host.Planes(machine)), Address: func() (netip.Addr, error) { return netip.MustParseAddr("127.0.0.1"), nil }}, slog.New(slog.DiscardHandler))
	g.parts.Go(func() { g.keep(agent.Run(g.ctx)) })
	return nil
}

// gateway starts a gateway on a port of the loopback.
func (g *network) gateway(name, tokenFile string) error {
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + strings.Replace(server.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	me, c, err := g.enrol(name, tokenFile, wire.JoinRequest{Name: name, URL: url})
	if err != nil {
		return err
	}
	principal, err := me.Principal()
	if err != nil {
		return err
	}
	gate, err := gateway.New(gateway.Options{ID: raylink.GatewayID(principal.ID), Key: me.Key(), URL: url, Beside: me.Through(), Coordinators: c, Log: slog.New(slog.DiscardHandler),
		Join: func(key overlay.PrivateKey, mesh overlay.Mesh) (gateway.Net, error) {
			return g.wiring.Join(key, mesh.Address)
		},
		Source: func(context.Context, []string) netip.Addr { return netip.MustParseAddr("127.0.0.1") }})
	if err != nil {
		return err
	}
	server.Config.Handler = gate.Handler()
	server.Start()
	g.closers = append(g.closers, server.Close)
	g.parts.Go(func() { g.keep(gate.Run(g.ctx)) })
	return nil
}

// ray is Ray in a head's container, from when its agent lets it go: a head that is its cluster's only node, with two jobs behind it.
func (g *network) ray(spec runtime.PlaneSpec, member *memory.Member) error {
	box, _ := g.host.Spec(spec.Lease)
	if err := soon(func() error { _, err := os.Stat(filepath.Join(box.Dir, "go")); return errors.Join(err, g.ctx.Err()) }); err != nil {
		return fmt.Errorf("waiting to be let go: %w", err)
	}
	token, err := os.ReadFile(filepath.Join(box.Dir, "token"))
	if err != nil {
		return err
	}
	head := raytest.New(strings.TrimSpace(string(token)))
	head.SetNodes(raytest.Node{ID: strings.Repeat("1c87d6fc", 7), IP: spec.Address.Addr().String(), Head: true, State: "ALIVE"})
	for _, job := range []struct{ id, status, message, log string }{{"raysubmit_old", "FAILED", "exit code 1", "no data\n"}, {"raysubmit_new", "SUCCEEDED", "", "epoch 1 loss 0.9\nepoch 2 loss 0.5\n"}} {
		head.Submit(job.id)
		head.Append(job.id, job.log)
		head.Finish(job.id, job.status, job.message)
	}
	dashboard, err := member.Listen(ray.DashboardPort)
	if err != nil {
		return err
	}
	agent, err := member.Listen(ray.AgentPort)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.heads = append(g.heads, head)
	g.mu.Unlock()
	head.Start(dashboard)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") })} // the gateway's loss
	g.parts.Go(func() { <-g.ctx.Done(); _ = server.Close() })                                                                               // in memory
	g.parts.Go(func() { _ = server.Serve(agent) })                                                                                          // ends when closed, or with the lease
	return nil
}

// patience is for a loaded machine.
const patience = time.Minute

// soon tries until it works.
func soon(try func() error) error {
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		if err := try(); err == nil || time.Now().After(deadline) || errors.Is(err, context.Canceled) {
			return err
		}
	}
}

// twoAddresses are two of the loopback that nobody uses now.
func twoAddresses() (one, other string, err error) {
	var found [2]string
	for i := range found {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		found[i] = l.Addr().String()
	}
	return found[0], found[1], nil
}

type groupKey struct{}

// TestGroup plays the session in testdata/group against a real coordinator, where those of TestSessions have a fake one: what the verbs ask and
// read must be what the API answers. $URL is the coordinator, $ADMIN the file of its first admin's token; $LISTEN and $RAFT are free addresses.
func TestGroup(t *testing.T) {
	join := func(how func(*network, string, string) error) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(how(ts.Value(groupKey{}).(*network), args[0], ts.MkAbs(args[1])))
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/group", UpdateScripts: os.Getenv("UPDATE") != "", RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// agent NAME FILE and gateway NAME FILE start one that joins by the token in the file.
			"agent": join((*network).agent), "gateway": join((*network).gateway),
			// note NAME FILE PATTERN keeps what the pattern finds in the file, as $NAME; until PATTERN COMMAND… tries until the command says so.
			"note":  note,
			"until": eventually,
		},
		Setup: func(e *testscript.Env) error {
			g, err := startGroup(filepath.Join(e.WorkDir, "net"))
			if err != nil {
				return err
			}
			e.Defer(func() {
				if err := g.close(); err != nil {
					t.Error(err)
				}
			})
			e.Values[groupKey{}] = g
			listen, raft, err := twoAddresses()
			e.Setenv("URL", g.url)
			e.Setenv("ADMIN", filepath.Join(g.dir, "a", "admin.token"))
			e.Setenv("LISTEN", listen)
			e.Setenv("RAFT", raft)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			return err
		},
	})
}

func note(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[2]).FindString(ts.ReadFile(args[1]))
	if found == "" {
		ts.Fatalf("no %s in %s", args[2], ts.ReadFile(args[1]))
	}
	ts.Setenv(args[0], found)
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	ts.Check(soon(func() error {
		<-time.After(200 * time.Millisecond) // each try is in the transcript
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		if out := ts.ReadFile("stdout"); !pattern.MatchString(out) {
			return fmt.Errorf("no %s in %s", args[0], out)
		}
		return nil
	}))
}

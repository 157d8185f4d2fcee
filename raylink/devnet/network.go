// Package devnet is a whole network on one machine, of real processes: coordinators, gateways, suppliers' agents. `raylink dev` keeps it up
// for development, and the demo tells its story on it.
package devnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/coordinator"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// Config says how large a network is wanted, and where it lives.
type Config struct {
	Dir          string                  // everything of the network is below it
	Binary       string                  // the raylink binary
	Coordinators int                     // 1, 3 or 5
	Suppliers    int                     // agents, each an owner of its own
	Cores        int                     // that each agent offers
	Memory       string                  // that each agent offers, such as 4GiB
	Host         string                  // address that coordinators and gateways listen on; 127.0.0.1 if empty
	Secure       bool                    // gateways serve TLS, as they must off the loopback
	Contained    bool                    // agents run in containers, by a supplier's one command
	Keep         bool                    // leave everything running at the end
	Fast         bool                    // snapshots after few entries, so that a restarted coordinator needs one
	Python       string                  // runs the local chain; empty: no chain, and no money but granted credit
	Slot         time.Duration           // of the local chain; 100 ms if zero
	Line         func(url string) string // the coordinators' way to the local chain; nil: straight to it
	Wallets      []string                // further ones on the local chain, as ChainOptions.Wallets
	Emulated     map[int]string          // the architecture of suppliers whose machines only emulate one
	Scripted     bool                    // agents only pretend to run anything
	Out          io.Writer
	Log          *slog.Logger
}

// Network is a running network.
type Network struct {
	cfg        Config
	processes  map[string]*process
	order      []string
	api        map[string]string // URL of each coordinator
	gateways   []string          // URLs
	people     map[string]person
	began      time.Time
	adminToken string
	ca         []byte
	caSum      string
	contained  []string   // agents' containers
	chain      *ChainFile // nil: there is none
	signed     int        // images
	imageKey   string     // file of the public key that they are signed with
}

// person is an account with an access token in a file.
type person struct {
	account   raylink.AccountID
	token     string
	tokenFile string
}

const (
	readyLimit = 60 * time.Second // for each kind of process to come up
	look       = 200 * time.Millisecond
)

// Start brings a network up and returns when every coordinator votes and every supplier's machine is up. On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Network, error) {
	n := &Network{cfg: cfg, processes: map[string]*process{}, api: map[string]string{}, people: map[string]person{}, began: time.Now()}
	if err := n.cfg.check(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{n.startChain, n.startCoordinators, n.startGateways, n.openAccounts, n.openMoney, n.signImages, n.startSuppliers} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.end(context.WithoutCancel(ctx))) // also one that was to be kept: nobody could end it later
		}
	}
	return n, nil
}

// sensible refuses sizes that make no network, before anything is made.
func (c *Config) sensible() error {
	if c.Coordinators != 1 && c.Coordinators != 3 && c.Coordinators != 5 {
		return raylink.Errorf(raylink.CodeInvalid, "%d coordinators make no group", c.Coordinators).WithHint("1, 3 or 5: a majority must outlive the others")
	}
	if c.Suppliers < 0 || c.Suppliers > 20 {
		return raylink.Errorf(raylink.CodeInvalid, "%d suppliers on one machine", c.Suppliers).WithHint("0 to 20")
	}
	return nil
}

func (c *Config) check() error {
	if err := c.sensible(); err != nil {
		return err
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	for _, d := range []string{"log", "secret", "config"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, d), 0o700); err != nil {
			return fmt.Errorf("making the network's directory: %w", err)
		}
	}
	return nil
}

// say prints one line of progress with the time since the beginning.
func (n *Network) say(format string, args ...any) {
	fmt.Fprintf(n.cfg.Out, "  %5.1fs  %s\n", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
}

// spawn starts one raylink process under a name.
func (n *Network) spawn(name string, args ...string) error {
	return n.spawnWith(name, os.Environ(), args...)
}

// spawnWith starts it with an environment of its own.
func (n *Network) spawnWith(name string, env []string, args ...string) error {
	p := &process{name: name, args: args, env: env, log: logFile(n.cfg.Dir, name), keep: n.cfg.Keep}
	if err := p.start(n.cfg.Binary); err != nil {
		return err
	}
	n.processes[name] = p
	n.order = append(n.order, name)
	return nil
}

// Kill ends a process with SIGKILL.
func (n *Network) Kill(name string) error { return n.processes[name].kill() }

// Restart starts a killed process again, with the arguments and the data that it had.
func (n *Network) Restart(name string) error {
	return n.processes[name].start(n.cfg.Binary)
}

// until waits until a condition holds, and reports what it last said when it does not in time, with the logs of the processes whose names begin so.
func (n *Network) until(ctx context.Context, what, process string, limit time.Duration, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		for _, name := range n.order {
			if p := n.processes[name]; strings.HasPrefix(name, process) && process != "" && !p.running() {
				return fmt.Errorf("%s: %s has ended: %s", what, name, p.tail())
			}
		}
		select {
		case <-ctx.Done():
			tail := ""
			for _, name := range n.order {
				if strings.HasPrefix(name, process) && process != "" {
					tail += "\n" + name + ": " + n.processes[name].tail()
				}
			}
			return fmt.Errorf("%s: not within %s: %w%s", what, limit, err, tail)
		case <-time.After(look):
		}
	}
}

// free is an address of the network's host with a port that nobody uses.
func (n *Network) free() (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(n.cfg.Host, "0"))
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func coordinatorName(i int) string { return "coordinator-" + string(rune('a'+i)) }

func (n *Network) startCoordinators(ctx context.Context) error {
	line := n.line()
	for i := range n.cfg.Coordinators {
		name := coordinatorName(i)
		listen, err := n.free()
		if err != nil {
			return err
		}
		raft, err := n.free()
		if err != nil {
			return err
		}
		data := filepath.Join(n.cfg.Dir, name)
		args := []string{"--id", name, "--data", data, "--listen", listen, "--raft-listen", raft}
		if n.chain != nil {
			args = append(args, "--solana-rpc", line, "--checkpoint-every", "1m") // an hour would show none
		}
		if n.cfg.Fast {
			args = append(args, "--snapshot-entries", "20", "--snapshot-check", "2s", "--trailing-entries", strconv.Itoa(trailing))
		}
		verb := []string{"coordinator", "run"}
		if i == 0 {
			if err := n.found(name, data, listen, raft); err != nil {
				return err
			}
		} else {
			token, err := n.joinToken(ctx, name, wire.JoinTokenRequest{Kind: "coordinator"})
			if err != nil {
				return err
			}
			verb = []string{"coordinator", "join", n.api[coordinatorName(0)]}
			args = append(args, "--join-token-file", token)
		}
		n.api[name] = "https://" + listen
		if err := n.spawn(name, append(verb, args...)...); err != nil {
			return err
		}
		if err := n.until(ctx, "starting "+name, name, readyLimit, func(ctx context.Context) error { return n.votes(ctx, name) }); err != nil {
			return err
		}
		n.say("%s votes (%s)", name, n.api[name])
	}
	return nil
}

// status is the group's status by whichever coordinator answers.
func (n *Network) status(ctx context.Context) (wire.Status, error) {
	c, err := n.As("admin")
	if err != nil {
		return wire.Status{}, err
	}
	defer c.Close()
	return c.Status(ctx)
}

// line is the URL by which the coordinators reach the local chain; empty if there is none.
func (n *Network) line() string {
	switch {
	case n.chain == nil:
		return ""
	case n.cfg.Line == nil:
		return n.chain.URL
	}
	return n.cfg.Line(n.chain.URL)
}

// trailing is how many entries a coordinator of a Fast network keeps behind a snapshot.
const trailing = 10

// saved is the index of the newest snapshot that a coordinator keeps on disk; 0 if there is none. Their directories are named <term>-<index>-<time>.
func (n *Network) saved(name string) uint64 {
	newest := uint64(0)
	kept, err := filepath.Glob(filepath.Join(n.cfg.Dir, name, "raft", "snapshots", "*-*-*[0-9]"))
	if err != nil {
		return 0 // the pattern is ours
	}
	for _, dir := range kept {
		if index, err := strconv.ParseUint(strings.Split(filepath.Base(dir), "-")[1], 10, 64); err == nil {
			newest = max(newest, index)
		}
	}
	return newest
}

func (n *Network) found(name, data, listen, raft string) error {
	cfg := coordinator.Config{ID: name, Data: data, Listen: listen, RaftListen: raft}
	if err := coordinator.Init(cfg); err != nil {
		return err
	}
	raw, err := os.ReadFile(cfg.AdminTokenFile())
	if err != nil {
		return fmt.Errorf("reading the admin's access token: %w", err)
	}
	n.people["admin"] = person{token: strings.TrimSpace(string(raw)), tokenFile: cfg.AdminTokenFile()}
	return nil
}

// votes says whether a coordinator is a voter by its own account, and knows a leader.
func (n *Network) votes(ctx context.Context, name string) error {
	if n.ca == nil {
		ca, sum, err := client.FetchCA(ctx, n.api[name], "")
		if err != nil {
			return err
		}
		n.ca, n.caSum = ca, sum
	}
	c, err := n.at(name, "admin")
	if err != nil {
		return err
	}
	defer c.Close()
	st, err := c.StatusOf(ctx, n.api[name])
	if err != nil {
		return err
	}
	if _, err := c.WhoAmI(ctx); err != nil {
		return err
	}
	for _, m := range st.Members {
		if m.ID == name && m.Voter && st.Leader != "" {
			return nil
		}
	}
	return fmt.Errorf("%s is no voter yet", name)
}

// at is a client of one coordinator alone, with a person's access token.
func (n *Network) at(name, who string) (*client.Client, error) {
	return client.New(client.Config{Coordinators: []string{n.api[name]}, CAPEM: n.ca, Token: n.people[who].token})
}

// As is a client of the whole group with a person's access token.
func (n *Network) As(who string) (*client.Client, error) {
	return client.New(client.Config{Coordinators: n.urls(), CAPEM: n.ca, Token: n.people[who].token})
}

// urls are the coordinators that have been started.
func (n *Network) urls() []string { return slices.Sorted(maps.Values(n.api)) }

// secret writes a secret into a file of its own and returns the path.
func (n *Network) secret(name, text string) (string, error) {
	path := filepath.Join(n.cfg.Dir, "secret", name)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing a secret's file: %w", err)
	}
	return path, nil
}

func (n *Network) joinToken(ctx context.Context, name string, r wire.JoinTokenRequest) (string, error) {
	c, err := n.As("admin")
	if err != nil {
		return "", err
	}
	defer c.Close()
	answer, err := c.CreateJoinToken(ctx, r)
	if err != nil {
		return "", err
	}
	return n.secret(name+".join", answer.Secret)
}

func (n *Network) startGateways(ctx context.Context) error {
	for i := range n.cfg.Coordinators {
		name := "gateway-" + string(rune('a'+i))
		token, err := n.joinToken(ctx, name, wire.JoinTokenRequest{Kind: "gateway"})
		if err != nil {
			return err
		}
		listen, err := n.free()
		if err != nil {
			return err
		}
		args := []string{"gateway", "--name", name, "--data", filepath.Join(n.cfg.Dir, name), "--join", n.api[coordinatorName(i)], "--join-token-file", token, "--listen", listen}
		url := "https://" + listen
		if !n.cfg.Secure {
			// Cookies ignore ports: a name of its own keeps the endpoints' apart from the dashboard's.
			url = strings.Replace("http://"+listen, "127.0.0.1", "localhost", 1)
			args = append(args, "--plain-http")
		}
		if err := n.spawn(name, append(args, "--public-url", url)...); err != nil {
			return err
		}
		n.gateways = append(n.gateways, url)
	}
	return n.until(ctx, "starting the gateways", "gateway-", readyLimit, func(ctx context.Context) error {
		c, err := n.As("admin")
		if err != nil {
			return err
		}
		defer c.Close()
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		seen := 0
		for _, g := range st.Gateways {
			if g.LastSeen != nil {
				seen++
			}
		}
		if seen < n.cfg.Coordinators {
			return fmt.Errorf("%d of %d gateways have reported", seen, n.cfg.Coordinators)
		}
		n.say("%d gateways serve endpoints (%s)", seen, strings.Join(n.gateways, ", "))
		return nil
	})
}

// openAccounts makes an engineer with credit, and an owner for each supplier's machine.
func (n *Network) openAccounts(ctx context.Context) error {
	names := map[string]raylink.Role{"engineer": raylink.RoleTenant}
	for i := range n.cfg.Suppliers {
		names[supplierName(i)] = raylink.RoleSupplier
	}
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	for name, role := range names {
		a, err := c.CreateAccount(ctx, wire.AccountRequest{Name: name})
		if err != nil {
			return err
		}
		t, err := c.CreateToken(ctx, wire.TokenRequest{Account: a.ID, Role: role, Label: "dev"})
		if err != nil {
			return err
		}
		file, err := n.secret(name+".token", t.Secret)
		if err != nil {
			return err
		}
		n.people[name] = person{account: a.ID, token: t.Secret, tokenFile: file}
	}
	grant := wire.GrantRequest{Amount: money.MicroUSD(25_000_000), Reason: "credit to try the network"}
	if _, err := c.Grant(ctx, n.people["engineer"].account, grant); err != nil {
		return err
	}
	n.say("accounts: admin, engineer (granted %s) and %d suppliers", grant.Amount, n.cfg.Suppliers)
	return nil
}

func supplierName(i int) string {
	names := []string{"ada", "bo", "cleo", "dan", "eve"}
	if i < len(names) {
		return names[i]
	}
	return "supplier-" + strconv.Itoa(i+1)
}

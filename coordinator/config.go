// Package coordinator assembles one coordinator of a group: consensus, API, the leader's loop. DESIGN.md beside it says why it is built so.
package coordinator

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raylink/billing/settle/chain/solana"
	"raylink/raylink"
)

// Config is one coordinator's configuration; flags and their documentation come from it.
type Config struct {
	ID            string        `flag:"id" help:"name of this coordinator in its group; unique and never changed"`
	Data          string        `flag:"data" default:"/var/lib/raylink/coordinator" help:"directory of the log, the snapshots and the group's secrets"`
	Listen        string        `flag:"listen" default:":7443" help:"address that the API listens on"`
	URL           string        `flag:"url" help:"address under which others reach the API; by default https:// and the address listened on"`
	RaftListen    string        `flag:"raft-listen" default:":7444" help:"address that the other coordinators reach"`
	RaftAdvertise string        `flag:"raft-advertise" help:"the same as others see it, if different"`
	Join          string        `flag:"join" help:"API of a coordinator of the group to join; empty for the first one, and once joined"`
	JoinTokenFile string        `flag:"join-token-file" help:"file with a join token of kind coordinator"`
	Snapshot      int           `flag:"snapshot-entries" default:"8192" help:"log entries after which a snapshot is made"`
	SnapshotCheck time.Duration `flag:"snapshot-check" default:"30s" help:"how often that is looked at"`
	Trailing      int           `flag:"trailing-entries" default:"10240" help:"log entries that are kept behind a snapshot for coordinators that were away shortly"`
	Checkpoint    time.Duration `flag:"checkpoint-every" default:"1h" help:"how often the group signs how the journal stands, if anything was added; a signer puts it on the chain"`
	Heartbeat     time.Duration `flag:"heartbeat" default:"1s" help:"silence of the leader after which another one is elected; above the disk's worst stall"`
	Solana        string        `flag:"solana-rpc" help:"URL of a Solana node's JSON-RPC, or two with a comma between, which then must agree on deposits and payouts (big deposits need two); one with a key in it belongs into the file of settings. mainnet and devnet stand for Solana's public nodes: slow, good for a try"`
	PythFeed      string        `flag:"pyth-feed" help:"id of IO's price feed at Pyth; empty: it is not asked"`
	PythURL       string        `flag:"pyth-url" default:"https://hermes.pyth.network" help:"address of Pyth's Hermes"`
	PythKey       string        `flag:"pyth-key-file" help:"file (0600) with its API key, if it wants one"`
	JupiterMint   string        `flag:"jupiter-mint" help:"IO's mint, as Jupiter's prices name it; empty: it is not asked"`
	JupiterURL    string        `flag:"jupiter-url" default:"https://api.jup.ag" help:"address of Jupiter's API"`
	JupiterKey    string        `flag:"jupiter-key-file" help:"file (0600) with its API key, if there is one"`
	StripeKey     string        `flag:"stripe-key-file" help:"file (0600) with the card company's secret key; no cards without it"`
	StripeSecrets string        `flag:"stripe-webhook-file" help:"file (0600) with the signing secrets of its webhooks, one a line"`
	StripeURL     string        `flag:"stripe-url" help:"another address of the card company's API, for tests"`
	Proofs        string        `flag:"proofs" default:"on" help:"what a new group begins with: on, only machines that have proven their devices are placed on; off: nothing is proven. Later: raylink admin proofs"`
	Version       string        `flag:"-"`

	registry *prometheus.Registry // raft has one sink of numbers for a whole process: Run makes it
}

func (c *Config) check() error {
	if c.ID == "" {
		return raylink.Errorf(raylink.CodeInvalid, "a coordinator needs an id").WithHint("give it with --id, such as --id a")
	}
	if c.Heartbeat < 500*time.Millisecond && c.Heartbeat != 0 {
		return raylink.Errorf(raylink.CodeInvalid, "--heartbeat %s is below the stall of a slow disk", c.Heartbeat).WithHint("500ms is the least")
	}
	if c.Proofs != "" && c.Proofs != "on" && c.Proofs != "off" {
		return raylink.Errorf(raylink.CodeInvalid, "--proofs %q", c.Proofs).WithHint("it is on or off")
	}
	if c.Checkpoint == 0 {
		c.Checkpoint = time.Hour
	}
	if c.Checkpoint < 10*time.Second {
		return raylink.Errorf(raylink.CodeInvalid, "--checkpoint-every %s is too often", c.Checkpoint).WithHint("10s is the least, 1h is usual")
	}
	if c.StripeKey != "" && c.StripeSecrets == "" {
		return raylink.Errorf(raylink.CodeInvalid, "--stripe-key-file without --stripe-webhook-file: payments would be heard of late").
			WithHint("add --stripe-webhook-file with a file (0600) of the webhook's signing secret (whsec_…), or leave cards off without both")
	}
	if c.StripeSecrets != "" && c.StripeKey == "" {
		return raylink.Errorf(raylink.CodeInvalid, "--stripe-webhook-file without --stripe-key-file: no card can be charged").
			WithHint("add --stripe-key-file with a file (0600) of the secret key (sk_…), or leave cards off without both")
	}
	if c.URL == "" {
		host, port, err := net.SplitHostPort(c.Listen)
		if err != nil || host == "" || port == "0" {
			return raylink.Errorf(raylink.CodeInvalid, "no address is known under which others reach this coordinator").WithHint("give it with --url https://host:port")
		}
		c.URL = "https://" + c.Listen
	}
	return nil
}

// nodes are the URLs of Solana nodes; the name of a cluster stands for its public one.
func (c *Config) nodes() []string {
	var list []string
	for _, node := range strings.Split(c.Solana, ",") {
		if node = solana.NodeURL(node); node != "" {
			list = append(list, node)
		}
	}
	return list
}

// hosts are the names that the API's certificate is good for.
func (c *Config) hosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	add := func(h string) {
		if h != "" {
			hosts = append(hosts, h)
		}
	}
	if u, err := url.Parse(c.URL); err == nil {
		add(u.Hostname())
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil {
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			add(host)
		}
	}
	return hosts
}

func (c *Config) authorityDir() string { return filepath.Join(c.Data, "authority") }
func (c *Config) raftDir() string      { return filepath.Join(c.Data, "raft") }

// AdminTokenFile is where Init leaves the first admin's access token, readable by its owner alone.
func (c *Config) AdminTokenFile() string { return filepath.Join(c.Data, "admin.token") }

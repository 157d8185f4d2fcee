package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/signer"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// signerMargin is how many blocks beyond its last valid height a transaction counts as dead; coordinators wait as long.
const signerMargin = 32

// signerConfig is what a signer is told.
type signerConfig struct {
	Coordinators []string      `flag:"coordinator" help:"URL of any coordinator; more than one may be named, and all others are learnt"`
	CA           string        `flag:"ca" help:"file with the group's CA, such as raylink login keeps"`
	CASHA256     string        `flag:"ca-sha256" help:"in its place: the CA's fingerprint (64 hex digits); the CA is then fetched"`
	TokenFile    string        `flag:"token-file" help:"file (0600) with an access token of role signer"`
	Key          string        `flag:"key-file" help:"file (0600) with the treasury wallet's key, as solana-keygen writes it; it never leaves this process"`
	Policy       string        `flag:"policy" default:"/etc/raylink/signer-policy.json" help:"file of what may be signed: raylink signer policy writes a first one"`
	Journal      string        `flag:"journal" default:"/var/lib/raylink/signer.jsonl" help:"file of what was signed; keep it for good: with it lost, a payout could be signed again"`
	Solana       string        `flag:"solana-rpc" help:"URL of a Solana node's JSON-RPC, or two with a comma between: both must then agree that a transaction is dead. mainnet and devnet stand for public nodes"`
	Every        time.Duration `flag:"every" default:"1s" help:"how often the coordinators are asked for work"`
}

func (a *app) signer() *cobra.Command {
	var config signerConfig
	c := &cobra.Command{
		Use:   "signer",
		Short: "Run the process that has the treasury's key and signs payouts",
		Long: `Signer asks the coordinators for payouts that want a signature, holds them against its own policy and journal, signs them, and
records them with the group before anybody may send them. Run it on a machine of its own: coordinators never see the key, and
cannot change the policy. It may be stopped, killed and started again at any time; only one may run on a journal.`,
		Example: `  raylink token create --role signer > signer.token
  raylink signer policy > signer-policy.json
  raylink signer --coordinator https://a.example.org:7443 --ca ca.pem --token-file signer.token --key-file treasury.json --policy signer-policy.json`,
		Args: wants(),
	}
	c.AddCommand(a.signerPolicy())
	return a.runRole(c, "signer", &config, func(ctx context.Context, _ []string, log *slog.Logger) error {
		return a.runSigner(ctx, config, log)
	})
}

func (a *app) runSigner(ctx context.Context, config signerConfig, log *slog.Logger) error {
	key, err := signer.ReadKey(config.Key)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("--key-file names the treasury wallet's key; `raylink wallet new` makes one")
	}
	policy, err := signer.ReadPolicy(config.Policy)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("`raylink signer policy` prints a first one, as an admin")
	}
	books, err := a.signerBooks(ctx, config)
	if err != nil {
		return err
	}
	defer books.Close()
	var mints []chain.Mint
	for _, r := range policy.Rules {
		mints = append(mints, r.Mint)
	}
	parts := signer.Config{Key: key, Policy: policy, Journal: config.Journal, Books: books, Anchors: books, Builder: solana.NewBuilder(mints...), Margin: signerMargin, Every: max(config.Every, 10*time.Millisecond), Log: log}
	for i, node := range strings.Split(config.Solana, ",") {
		line, err := solana.New(solana.Config{URL: solana.NodeURL(node)})
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("--solana-rpc takes the URL of a Solana node")
		}
		defer line.Close()
		switch i {
		case 0:
			parts.Node = line
		case 1:
			parts.Second = line
		default:
			return raylink.Errorf(raylink.CodeInvalid, "--solana-rpc takes one node or two")
		}
	}
	unlock, err := lockJournal(config.Journal)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := signer.Open(parts)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "%v", err)
	}
	log.Info("the signer works", "wallet", key.Address(), "mints", len(mints), "journal", config.Journal)
	return errors.Join(s.Run(ctx), s.Close())
}

// lockJournal keeps a second signer off the journal. The lock ends with the process, however that ends.
func lockJournal(journal string) (unlock func(), err error) {
	lock, err := os.OpenFile(journal+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the signer's journal cannot be kept: %v", err).WithHint("--journal names a file in a directory that is there")
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, raylink.Errorf(raylink.CodeConflict, "another signer works on %s", journal).WithHint("one signer has one journal; end the other first")
	}
	return func() { lock.Close() }, nil
}

// coordinatorBooks are the group's books by its API, from whichever coordinator answers.
type coordinatorBooks struct{ *client.Client }

// Work implements signer.Books.
func (b coordinatorBooks) Work(ctx context.Context) ([]payout.Work, error) {
	v, err := b.SignerWork(ctx)
	return v.Work, err
}

// Unanchored implements signer.Anchors.
func (b coordinatorBooks) Unanchored(ctx context.Context) (uint64, string, error) {
	v, err := b.SignerWork(ctx)
	if err != nil || v.Anchor == nil {
		return 0, "", err
	}
	return v.Anchor.Seq, v.Anchor.Memo, nil
}

// Anchored implements signer.Anchors.
func (b coordinatorBooks) Anchored(ctx context.Context, seq uint64, signature string) error {
	return b.RecordAnchor(ctx, wire.AnchorRequest{Seq: seq, Signature: signature})
}

// Attempt implements signer.Books.
func (b coordinatorBooks) Attempt(ctx context.Context, attempt payout.Attempted) error {
	return b.RecordAttempt(ctx, attempt)
}

func (a *app) signerBooks(ctx context.Context, config signerConfig) (b coordinatorBooks, err error) {
	if len(config.Coordinators) == 0 || config.TokenFile == "" || (config.CA == "") == (config.CASHA256 == "") {
		return b, raylink.Errorf(raylink.CodeInvalid, "a signer needs --coordinator, --token-file and one of --ca and --ca-sha256").WithHint("see `raylink signer --help`")
	}
	token, err := a.readSecret(config.TokenFile)
	if err != nil {
		return b, err
	}
	ca, err := signerCA(ctx, config)
	if err != nil {
		return b, err
	}
	b.Client, err = client.New(client.Config{Coordinators: config.Coordinators, CAPEM: ca, Token: token})
	return b, err
}

func signerCA(ctx context.Context, config signerConfig) ([]byte, error) {
	if config.CA != "" {
		ca, err := os.ReadFile(config.CA)
		if err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "the group's CA cannot be read: %v", err).WithHint("--ca names a file such as `raylink login` keeps")
		}
		return ca, nil
	}
	var failures []error
	for _, coordinator := range config.Coordinators {
		ca, _, err := client.FetchCA(ctx, coordinator, config.CASHA256)
		if err == nil {
			return ca, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func (a *app) signerPolicy() *cobra.Command {
	caps := map[money.Asset]*[2]string{money.USDC: {}, money.IO: {}}
	var burn bool
	c := &cobra.Command{
		Use:   "policy",
		Short: "Print a policy file for the signer, from the treasury as it is now",
		Long: `Policy prints what the signer may sign, as JSON: the treasury's mints and accounts, and caps. Without flags, what one hour may let out is
what the group's own policy allows in an hour, and one payment may be as much as that (an admin can approve such a one; what he approves beyond is
not signed until you raise these caps: --usdc-per-payment and the like). Look at it before the signer uses it: from then on the file binds the signer, whatever the coordinators say.`,
		Example: "  raylink signer policy > signer-policy.json\n  raylink signer policy --usdc-per-payment 500 --usdc-per-hour 2000 --burn=false",
		Args:    wants(),
	}
	for asset, texts := range caps {
		name := strings.ToLower(string(asset))
		c.Flags().StringVar(&texts[0], name+"-per-payment", "", "most "+string(asset)+" in one payment")
		c.Flags().StringVar(&texts[1], name+"-per-hour", "", "most "+string(asset)+" in any 60 minutes")
	}
	c.Flags().BoolVar(&burn, "burn", true, "IO that was bought back may be burnt")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		t, err := s.Treasury(c.Context())
		if err != nil {
			return err
		}
		var p signer.Policy
		for _, m := range t.Mints {
			rule := signer.Rule{Purse: purseOf(m), PerTransfer: t.Policy.PerHour[m.Asset], PerHour: t.Policy.PerHour[m.Asset], Burn: burn && m.Asset == money.IO}
			if err := readCaps(c, m.Asset, *caps[m.Asset], &rule); err != nil {
				return err
			}
			p.Rules = append(p.Rules, rule)
		}
		if err := p.Check(); err != nil {
			return raylink.Errorf(raylink.CodeConflict, "%v", err).WithHint("an admin names the tokens first: `raylink admin treasury set`")
		}
		return a.show("json", p, nil)
	}
	return c
}

// purseOf is where payouts of a mint are paid from.
func purseOf(m deposit.Mint) settle.Purse {
	return settle.Purse{Account: chain.Address(m.Account), Wallet: chain.Address(m.Wallet),
		Mint: chain.Mint{Asset: m.Asset, Address: chain.Address(m.Mint), Program: chain.Address(m.Program), Decimals: m.Decimals}}
}

// readCaps takes the flags of one asset into its rule.
func readCaps(c *cobra.Command, asset money.Asset, texts [2]string, rule *signer.Rule) error {
	for i, into := range []*int64{&rule.PerTransfer, &rule.PerHour} {
		if texts[i] == "" {
			continue
		}
		amount, err := money.Parse(texts[i] + " " + string(asset))
		if err != nil || amount.Sign() <= 0 {
			return usage(c, "%q is no cap: write 500 or 0.25", texts[i])
		}
		*into = amount.Minor
	}
	if rule.PerTransfer <= 0 || rule.PerHour <= 0 {
		return raylink.Errorf(raylink.CodeConflict, "the group's policy lets no %s out", asset).
			WithHint("give caps: --%[1]s-per-payment and --%[1]s-per-hour", strings.ToLower(string(asset)))
	}
	return nil
}

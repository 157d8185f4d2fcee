package devnet

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/billing/price/administered"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/wallet"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// The money of a network on one machine.
const (
	priceText    = "0.25"                 // USD per IO, as `raylink admin price set` takes it
	priceOfIO    = 250_000_000_000        // the same as a money.Price
	smallest     = 1000                   // micro-units of 10^-6 USDC that a payout may be: a demo's minutes are worth little
	smallestIO   = 100_000                // 10^-8 IO
	capitalIO    = 50                     // IO that the house puts in, so that who takes IO can be paid for what was paid in USDC
	slotTime     = 100 * time.Millisecond // of the local chain
	engineerHas  = "engineer:100:400"     // USDC and IO in his wallet
	creditLimit  = 60 * time.Second       // for a transfer to be finalized and credited
	signerPolicy = "signer-policy.json"   // in the network's directory
	signerToken  = "signer.token"         // in its secrets
	operatorKey  = "operator.pem"         // in the chain's directory, beside the wallets
	signerLines  = "signer-journal.jsonl" // in the network's directory
	caFile       = "ca.pem"               // in the network's directory
	chainDirName = "chain"                // in the network's directory
	localName    = "local"                // of the chain, for people's eyes
	payEvery     = "1m"                   // between two runs of payouts
	priceEvery   = "5m"                   // the price is believed for ten
	processChain = "localchain"           // names of processes
	processSign  = "signer"
	processPrice = "price"
)

// takes is the asset that a supplier is paid in: the second one's is IO, all others' is USDC.
func takes(i int) money.Asset {
	if i == 1 {
		return money.IO
	}
	return money.USDC
}

// startChain starts the local chain, with wallets for all; without a Python that can run it, the network does without.
func (n *Network) startChain(ctx context.Context) error {
	if n.cfg.Python == "" {
		return nil
	}
	listener := Network{cfg: Config{Host: "127.0.0.1"}} // it serves the loopback, whatever the others do
	listen, err := listener.free()
	if err != nil {
		return err
	}
	dir := n.chainDir()
	args := []string{"localchain", "--listen", listen, "--python", n.cfg.Python, "--dir", dir, "--slot", n.cfg.slot().String(), "--wallet", engineerHas}
	for i := range n.cfg.Suppliers {
		args = append(args, "--wallet", supplierName(i))
	}
	for _, w := range n.cfg.Wallets {
		args = append(args, "--wallet", w)
	}
	if err := n.spawn(processChain, args...); err != nil {
		return err
	}
	return n.until(ctx, "starting the local chain", processChain, readyLimit, func(context.Context) error {
		f, err := readChainFile(dir)
		if err != nil {
			return err
		}
		n.chain = &f
		n.say("a local Solana chain with USDC and IO serves %s", f.URL)
		return nil
	})
}

func (c *Config) slot() time.Duration {
	if c.Slot > 0 {
		return c.Slot
	}
	return slotTime
}

func (n *Network) chainDir() string             { return filepath.Join(n.cfg.Dir, chainDirName) }
func (n *Network) keyFile(wallet string) string { return filepath.Join(n.chainDir(), wallet+".json") }

// node is a line to the local chain. The caller closes it.
func (n *Network) node() (*solana.Client, error) { return solana.New(solana.Config{URL: n.chain.URL}) }

// holds is what a wallet's token account holds on the chain, finalized.
func (n *Network) holds(ctx context.Context, wallet string, asset money.Asset) (money.Amount, error) {
	amount := money.Amount{Asset: asset}
	line, err := n.node()
	if err != nil {
		return amount, err
	}
	defer line.Close()
	address, err := n.tokenAccount(n.chain.Wallets[wallet], asset)
	if err != nil {
		return amount, err
	}
	account, err := line.Account(ctx, address)
	amount.Minor = account.Amount
	return amount, err
}

func (n *Network) tokenAccount(wallet chain.Address, asset money.Asset) (chain.Address, error) {
	return solana.NewBuilder().TokenAccount(wallet, n.chain.mint(asset))
}

// openMoney makes the network take and pay USDC and IO.
func (n *Network) openMoney(ctx context.Context) error {
	if n.chain == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(n.cfg.Dir, caFile), n.ca, 0o600); err != nil {
		return fmt.Errorf("writing the group's CA: %w", err)
	}
	for _, step := range []func(context.Context) error{n.setTreasury, n.setPrice, n.startSigner, n.fundCapital, n.proveWallets} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	n.say("money: USDC and IO are taken, 1 IO is %s USD, payouts run every %s", priceText, payEvery)
	return nil
}

func (n *Network) setTreasury(ctx context.Context) error {
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	ours := n.chain.Wallets[treasuryName]
	r := wire.TreasuryRequest{Chain: localName}
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		mint := n.chain.mint(asset)
		account, err := n.tokenAccount(ours, asset)
		if err != nil {
			return err
		}
		r.Treasury = append(r.Treasury, deposit.Mint{Asset: asset, Mint: string(mint.Address), Program: string(mint.Program), Decimals: mint.Decimals, Account: string(account), Wallet: string(ours)})
	}
	if _, err := c.SetTreasury(ctx, r); err != nil {
		return err
	}
	policy := payout.DefaultPolicy()
	policy.Minimum = map[money.Asset]int64{money.USDC: smallest, money.IO: smallestIO}
	_, err = c.SetPayoutPolicy(ctx, wire.PayoutPolicyRequest{Policy: policy, Every: payEvery})
	return err
}

// setPrice makes an operator's key, has its word believed, and a process say the price again and again.
func (n *Network) setPrice(ctx context.Context) error {
	file := filepath.Join(n.chainDir(), operatorKey)
	key, err := administered.CreateKey(file)
	if err != nil {
		return err
	}
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	policy := price.Default()
	policy.Operators = []string{key.Public()}
	if _, err := c.SetPricePolicy(ctx, policy); err != nil {
		return err
	}
	said, err := c.SetPrice(ctx, wire.PriceRequest{Sample: key.Sign(priceOfIO, 0, time.Now())})
	if err != nil {
		return err
	}
	if said.Halt != "" {
		return fmt.Errorf("setting the price of IO: %s: %s", said.Halt, said.Reason)
	}
	return n.spawnWith(processPrice, n.environment("admin"), "admin", "price", "set", priceText, "--key", file, "--every", priceEvery)
}

// environment lets the CLI act as a person without a login.
func (n *Network) environment(who string) []string {
	return append(os.Environ(), "RAYLINK_URL="+strings.Join(n.urls(), ","), "RAYLINK_CA="+filepath.Join(n.cfg.Dir, caFile),
		"RAYLINK_TOKEN="+n.people[who].token, "RAYLINK_CONTEXT=", "NO_COLOR=1")
}

// cli runs one command of the CLI as a person, and answers what it printed.
func (n *Network) cli(ctx context.Context, who string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.cfg.Binary, args...)
	cmd.Env = n.environment(who)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running raylink %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), nil
}

// startSigner starts the process that has the treasury's key, with a policy of its own.
func (n *Network) startSigner(ctx context.Context) error {
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	token, err := c.CreateToken(ctx, wire.TokenRequest{Role: raylink.RoleSigner, Label: "dev"})
	if err != nil {
		return err
	}
	tokenFile, err := n.secret(signerToken, token.Secret)
	if err != nil {
		return err
	}
	policy, err := n.cli(ctx, "admin", "signer", "policy")
	if err != nil {
		return err
	}
	policyFile := filepath.Join(n.cfg.Dir, signerPolicy)
	if err := os.WriteFile(policyFile, []byte(policy), 0o600); err != nil {
		return fmt.Errorf("writing the signer's policy: %w", err)
	}
	return n.spawn(processSign, "signer", "--coordinator", strings.Join(n.urls(), ","), "--ca", filepath.Join(n.cfg.Dir, caFile), "--token-file", tokenFile,
		"--key-file", n.keyFile(treasuryName), "--policy", policyFile, "--journal", filepath.Join(n.cfg.Dir, signerLines), "--solana-rpc", n.chain.URL, "--every", "500ms")
}

// fundCapital pays IO of the house's own in, from the desk, as an admin would.
func (n *Network) fundCapital(ctx context.Context) error {
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := c.Topup(ctx, wire.TopupRequest{Amount: money.Amount{Minor: capitalIO * 100_000_000, Asset: money.IO}, Lot: "capital"})
	if err != nil {
		return err
	}
	if _, err := n.cli(ctx, "admin", "wallet", "pay", t.URL, "--key", n.keyFile(deskName), "--rpc", n.chain.URL, "--yes"); err != nil {
		return err
	}
	return n.until(ctx, "crediting the house's capital", processSign, creditLimit, func(ctx context.Context) error {
		now, err := c.TopupByID(ctx, t.ID)
		if err == nil && now.State != "paid" {
			err = fmt.Errorf("top-up %s is %s", t.ID, now.State)
		}
		return err
	})
}

// proveWallets lets each supplier prove his wallet and choose what he takes.
func (n *Network) proveWallets(ctx context.Context) error {
	for i := range n.cfg.Suppliers {
		if err := n.prove(ctx, supplierName(i), supplierName(i)); err != nil {
			return err
		}
		c, err := n.As(supplierName(i))
		if err != nil {
			return err
		}
		_, err = c.SetSettlement(ctx, wire.Settlement{Takes: takes(i), Wallet: string(n.chain.Wallets[supplierName(i)]), Minimum: money.Amount{Asset: takes(i)}})
		c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// prove proves a wallet of the local chain as a person's.
func (n *Network) prove(ctx context.Context, who, name string) error {
	key, err := solana.ReadKey(n.keyFile(name))
	if err != nil {
		return err
	}
	c, err := n.As(who)
	if err != nil {
		return err
	}
	defer c.Close()
	address := string(n.chain.Wallets[name])
	asked, err := c.ChallengeWallet(ctx, address)
	if err != nil {
		return err
	}
	signature := wallet.Encode(ed25519.Sign(key, []byte(asked.Text)))
	_, err = c.ProveWallet(ctx, wire.WalletRequest{Address: address, Nonce: asked.Nonce, Signature: signature})
	return err
}

// python finds the Python for the local chain. Where none was named and there is none, money stays off, which is said.
func (o *Options) python(ctx context.Context, say func(format string, args ...any)) (string, error) {
	path, err := FindPython(ctx, o.Python)
	var known *raylink.Error
	if err != nil && o.Python == "" && errors.As(err, &known) {
		say("no local chain: %s. Money stays off: there is granted credit only.\n     To have it, %s", known.Message, known.Hint)
		return "", nil
	}
	return path, err
}

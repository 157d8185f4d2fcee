package devnet

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
)

// ChainOptions is what `raylink localchain` is asked for; its flags come from it.
type ChainOptions struct {
	Listen   string        `flag:"listen" default:"127.0.0.1:8899" help:"address of the loopback that the JSON-RPC is served on"`
	Python   string        `flag:"python" help:"a Python that has solders, as raylink/devnet/setup/python.sh makes; by default it is looked for"`
	Dir      string        `flag:"dir" help:"directory for the wallets' keys and chain.json, which says where everything is"`
	Wallets  []string      `flag:"wallet" help:"wallet to make beside authority, treasury and desk, as NAME or NAME:USDC:IO with what it holds, such as engineer:100:400"`
	Slot     time.Duration `flag:"slot" default:"100ms" help:"time between two slots; a transaction is finalized after --finality of them"`
	Finality int           `flag:"finality" default:"32" help:"slots until a transaction is finalized"`
}

// ChainFile is chain.json: what a local chain has on it. It appears when all of it is there.
type ChainFile struct {
	URL     string                   `json:"url"`
	USDC    chain.Mint               `json:"usdc"`
	IO      chain.Mint               `json:"io"`
	Wallets map[string]chain.Address `json:"wallets"` // key files beside it are named after them: NAME.json
}

// The wallets that every local chain has: the mints' authority, the treasury, and the desk that changes USDC into IO.
const (
	authorityName = "authority"
	treasuryName  = "treasury"
	deskName      = "desk"
)

const (
	chainFileName = "chain.json"
	walletSOL     = 100_000_000_000 // lamports that each wallet gets, for fees
	deskUSDC      = 1_000_000_000_000
	deskIO        = 100_000_000_000_000
	finalLimit    = time.Minute // for the first transactions to be finalized
)

// mint is the mint of an asset on this chain.
func (f ChainFile) mint(asset money.Asset) chain.Mint {
	if asset == money.IO {
		return f.IO
	}
	return f.USDC
}

// RunChain runs a local Solana chain until ctx ends, with two mints and wallets that hold something. All of it is in memory and worth nothing.
func RunChain(ctx context.Context, o ChainOptions, log *slog.Logger) error {
	python, err := FindPython(ctx, o.Python)
	if err != nil {
		return err
	}
	c, err := localchain.Start(ctx, localchain.Config{Python: python, Log: log, Slot: o.Slot, FinalityAge: o.Finality})
	if err != nil {
		return err
	}
	err = serveChain(ctx, c, o, log)
	return errors.Join(err, c.Close())
}

// serveChain puts the chain on the wanted address, and everything onto the chain.
func serveChain(ctx context.Context, c *localchain.Chain, o ChainOptions, log *slog.Logger) error {
	inner, err := url.Parse(c.URL())
	if err != nil {
		return fmt.Errorf("reading the local chain's address: %w", err)
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listening for the local chain's users: %w", err)
	}
	front := &http.Server{Handler: httputil.NewSingleHostReverseProxy(inner), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	served := make(chan error, 1)
	go func() { served <- front.Serve(listener) }()
	err = furnish(ctx, c, o, "http://"+listener.Addr().String(), log)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-c.Done():
			err = errors.New("the local chain's process has ended")
		case err = <-served:
			return fmt.Errorf("serving the local chain: %w", err)
		}
	}
	closed := front.Close()
	<-served
	return errors.Join(err, closed)
}

// furnish makes mints, wallets and token accounts, and then chain.json.
func furnish(ctx context.Context, c *localchain.Chain, o ChainOptions, at string, log *slog.Logger) error {
	if o.Dir == "" {
		log.Info("the local chain is empty: --dir puts mints and wallets on it", "url", at)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, finalLimit)
	defer cancel()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("making the local chain's directory: %w", err)
	}
	f := ChainFile{URL: at, Wallets: map[string]chain.Address{}}
	authority, err := newWallet(ctx, c, o.Dir, authorityName, &f)
	if err != nil {
		return err
	}
	for asset, into := range map[money.Asset]*chain.Mint{money.USDC: &f.USDC, money.IO: &f.IO} {
		if *into, err = c.CreateMint(ctx, authority, asset, asset.Decimals()); err != nil {
			return err
		}
	}
	var last chain.Signature
	wanted := append([]string{treasuryName, fmt.Sprintf("%s:%d:%d", deskName, deskUSDC/1_000_000, deskIO/100_000_000)}, o.Wallets...)
	for _, text := range wanted {
		signature, err := furnishWallet(ctx, c, o.Dir, authority, text, &f)
		if err != nil {
			return err
		}
		if signature != "" {
			last = signature
		}
	}
	if err := c.Await(ctx, last); err != nil { // all before it is final, too
		return err
	}
	log.Info("the local chain has its mints and wallets", "url", at, "dir", o.Dir, "wallets", len(f.Wallets))
	return f.save(o.Dir)
}

func newWallet(ctx context.Context, c *localchain.Chain, dir, name string, f *ChainFile) (ed25519.PrivateKey, error) {
	key := localchain.NewKey()
	if err := solana.WriteKey(filepath.Join(dir, name+".json"), key); err != nil {
		return nil, err
	}
	f.Wallets[name] = localchain.AddressOf(key)
	return key, c.Airdrop(ctx, f.Wallets[name], walletSOL)
}

// furnishWallet makes one wallet with a token account of each mint; the answer is the last transaction that gave it tokens.
func furnishWallet(ctx context.Context, c *localchain.Chain, dir string, authority ed25519.PrivateKey, text string, f *ChainFile) (last chain.Signature, err error) {
	parts := strings.Split(text, ":")
	if (len(parts) != 1 && len(parts) != 3) || parts[0] == "" || strings.ContainsAny(parts[0], `/\.`) || f.Wallets[parts[0]] != "" {
		return "", fmt.Errorf("making the wallet %q: write it as NAME or NAME:USDC:IO, each name once", text)
	}
	if _, err := newWallet(ctx, c, dir, parts[0], f); err != nil {
		return "", err
	}
	for i, mint := range []chain.Mint{f.USDC, f.IO} {
		account, err := c.CreateTokenAccount(ctx, authority, f.Wallets[parts[0]], mint)
		if err != nil {
			return "", err
		}
		if len(parts) == 1 {
			continue
		}
		amount, err := money.Parse(parts[i+1] + " " + string(mint.Asset))
		if err != nil {
			return "", fmt.Errorf("making the wallet %q: %w", text, err)
		}
		if amount.Minor > 0 {
			if last, err = c.MintTo(ctx, authority, mint, account, amount.Minor); err != nil {
				return "", err
			}
		}
	}
	return last, nil
}

// save writes chain.json in one step: who sees it sees all of it.
func (f ChainFile) save(dir string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the local chain's file: %w", err)
	}
	path := filepath.Join(dir, chainFileName)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("writing the local chain's file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the local chain's file: %w", err)
	}
	return nil
}

// readChainFile reads what save has written.
func readChainFile(dir string) (f ChainFile, err error) {
	text, err := os.ReadFile(filepath.Join(dir, chainFileName))
	if err != nil {
		return f, fmt.Errorf("reading the local chain's file: %w", err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("reading the local chain's file: %w", err)
	}
	return f, nil
}

// Package fake is the chain in memory, for tests: accounts, heights, blockhashes that expire, finality by age, and the faults of nodes and of the
// world. Its transactions are its own bytes (a signature, then JSON) and as strictly read as Solana's. It passes the suite in chaintest.
package fake

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
)

// Config of a fake chain.
type Config struct {
	FinalityAge uint64    // heights from landing to finalized; 1 if zero
	Window      uint64    // heights that a blockhash stays valid; 150 if zero
	Start       time.Time // of height 0; 2026-01-01 if zero. A height takes 400 ms.
}

// ErrLine is what a fault answers: after it nothing is known.
var ErrLine = errors.New("the line to the node broke")

// Program is the one token program here.
const Program chain.Address = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"

// Chain is the fake. It implements chain.Reader, chain.Sender and chain.Builder.
type Chain struct {
	mutex    sync.Mutex
	cfg      Config
	height   uint64
	hashes   map[string]uint64
	mints    map[chain.Address]chain.Mint
	supply   map[chain.Address]int64
	accounts map[chain.Address]*chain.TokenAccount
	known    map[chain.Signature]*transaction
	log      []*transaction
	serial   uint64
	faults   faults
}

// transaction is one that landed.
type transaction struct {
	name       chain.Signature
	height     uint64
	mint       chain.Mint
	accounts   []chain.Address // that it touched: token accounts and references
	payer      chain.Address
	deltas     map[chain.Address]int64
	minted     int64
	memo       string
	references []chain.Address
	senders    []chain.Address
	failed     chain.FailureCode // empty: it did not
}

// New is a chain with mints of USDC and IO and nothing else.
func New(cfg Config) *Chain {
	if cfg.FinalityAge == 0 {
		cfg.FinalityAge = 1
	}
	if cfg.Window == 0 {
		cfg.Window = 150
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	c := &Chain{
		cfg: cfg, hashes: map[string]uint64{}, mints: map[chain.Address]chain.Mint{}, supply: map[chain.Address]int64{},
		accounts: map[chain.Address]*chain.TokenAccount{}, known: map[chain.Signature]*transaction{},
	}
	c.AddMint(USDC())
	c.AddMint(IO())
	c.Tick(cfg.FinalityAge + 1)
	return c
}

// Key is the key of this name, the same in every run.
func Key(name string) ed25519.PrivateKey {
	seed := digest("key", []byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// USDC is the made-up mint of USDC.
func USDC() chain.Mint { return mintOf(money.USDC) }

// IO is the made-up mint of IO.
func IO() chain.Mint { return mintOf(money.IO) }

func mintOf(asset money.Asset) chain.Mint {
	address := digest("mint", []byte(asset))
	return chain.Mint{Asset: asset, Address: chain.Address(chain.EncodeBase58(address[:])), Program: Program, Decimals: asset.Decimals()}
}

func digest(kind string, parts ...[]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("raylink fake chain " + kind))
	for _, p := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// finalized is the finalized height as a reader sees it.
func (c *Chain) finalized() uint64 { return below(c.seen(), c.cfg.FinalityAge) }

// seen is the newest height that a reader sees.
func (c *Chain) seen() uint64 { return below(c.height, c.faults.lag) }

func below(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

// enter begins a call: it takes the lock, unless the line breaks. The caller unlocks where there is no error.
func (c *Chain) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("calling the fake chain: %w", err)
	}
	c.mutex.Lock()
	if c.faults.broken > 0 {
		c.faults.broken--
		c.mutex.Unlock()
		return ErrLine
	}
	return nil
}

// History implements chain.Reader. It also knows the transactions that named an address as a reference.
func (c *Chain) History(ctx context.Context, account chain.Address, after chain.Signature, limit int) ([]chain.Signature, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.mutex.Unlock()
	out, err := c.history(account, after, limit)
	if err == nil && c.faults.lies.History != nil {
		out = c.faults.lies.History(out)
	}
	return out, err
}

func (c *Chain) history(account chain.Address, after chain.Signature, limit int) ([]chain.Signature, error) {
	if c.faults.stale {
		return nil, nil
	}
	past := after == ""
	if known := c.known[after]; !past && (known == nil || known.height > c.finalized()) {
		return nil, fmt.Errorf("reading an account's history from %s on: %w", after, chain.ErrLag)
	}
	var out []chain.Signature
	for _, t := range c.log {
		if t.height > c.finalized() || len(out) >= limit {
			break
		}
		if past && t.touches(account) {
			out = append(out, t.name)
		}
		past = past || t.name == after
	}
	return out, nil
}

func (t *transaction) touches(account chain.Address) bool {
	return t.payer == account || slices.Contains(t.accounts, account)
}

// Effect implements chain.Reader.
func (c *Chain) Effect(ctx context.Context, signature chain.Signature, account chain.Address) (chain.Effect, error) {
	if err := c.enter(ctx); err != nil {
		return chain.Effect{}, err
	}
	defer c.mutex.Unlock()
	t := c.known[signature]
	if t == nil || t.height > c.finalized() || c.faults.stale {
		return chain.Effect{}, fmt.Errorf("reading transaction %s: %w", signature, chain.ErrUnknown)
	}
	out := chain.Effect{
		Signature: signature, Account: account, Slot: t.height, Failed: t.failed != "", Memo: t.memo, Payer: t.payer,
		At: c.cfg.Start.Add(time.Duration(t.height) * 400 * time.Millisecond), References: append([]chain.Address(nil), t.references...),
	}
	if held := c.accounts[account]; held != nil && t.touches(account) {
		mint := c.mints[held.Mint]
		out.Mint, out.Program, out.Decimals = mint.Address, mint.Program, mint.Decimals
	}
	if !out.Failed {
		out.Delta = t.deltas[account]
		out.Senders = append([]chain.Address(nil), t.senders...)
	}
	if c.faults.lies.Effect != nil {
		out = c.faults.lies.Effect(out)
	}
	return out, nil
}

// Account implements chain.Reader. Amounts are finalized; opening, freezing and closing count at once.
func (c *Chain) Account(ctx context.Context, account chain.Address) (chain.TokenAccount, error) {
	if err := c.enter(ctx); err != nil {
		return chain.TokenAccount{}, err
	}
	defer c.mutex.Unlock()
	found := c.accounts[account]
	if found == nil || found.Program == "" {
		return chain.TokenAccount{}, fmt.Errorf("reading account %s: %w", account, chain.ErrNoAccount)
	}
	out := *found
	for _, t := range c.pending() {
		out.Amount -= t.deltas[account]
	}
	return out, nil
}

// pending are the transactions that a reader does not see as finalized.
func (c *Chain) pending() []*transaction {
	first := len(c.log)
	for first > 0 && c.log[first-1].height > c.finalized() {
		first--
	}
	return c.log[first:]
}

// Supply implements chain.Reader.
func (c *Chain) Supply(ctx context.Context, mint chain.Address) (int64, error) {
	if err := c.enter(ctx); err != nil {
		return 0, err
	}
	defer c.mutex.Unlock()
	if _, ok := c.mints[mint]; !ok {
		return 0, fmt.Errorf("reading a mint's supply: %s is no mint", mint)
	}
	supply := c.supply[mint]
	for _, t := range c.pending() {
		if t.mint.Address == mint {
			supply -= t.minted
		}
	}
	return supply, nil
}

// Blockhash implements chain.Sender.
func (c *Chain) Blockhash(ctx context.Context) (chain.Blockhash, error) {
	if err := c.enter(ctx); err != nil {
		return chain.Blockhash{}, err
	}
	defer c.mutex.Unlock()
	at := c.finalized()
	out := chain.Blockhash{Hash: hashAt(at), LastValidHeight: at + c.cfg.Window}
	if c.faults.lies.Hash != nil {
		out = c.faults.lies.Hash(out)
	}
	return out, nil
}

func hashAt(height uint64) string {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], height)
	hash := digest("hash", number[:])
	return chain.EncodeBase58(hash[:])
}

// Height implements chain.Sender.
func (c *Chain) Height(ctx context.Context) (uint64, error) {
	if err := c.enter(ctx); err != nil {
		return 0, err
	}
	defer c.mutex.Unlock()
	if c.faults.lies.Height != nil {
		return c.faults.lies.Height(c.finalized()), nil
	}
	return c.finalized(), nil
}

// Status implements chain.Sender.
func (c *Chain) Status(ctx context.Context, signature chain.Signature) (chain.Status, error) {
	if err := c.enter(ctx); err != nil {
		return chain.Status{}, err
	}
	defer c.mutex.Unlock()
	out := chain.Status{Stage: chain.Unknown}
	if t := c.known[signature]; t != nil && t.height <= c.seen() && !c.faults.stale {
		out = chain.Status{Stage: chain.Seen, Slot: t.height, Code: t.failed}
		if t.failed != "" {
			out.Reason = "the transaction failed: " + string(t.failed)
		}
		if t.height <= c.finalized() {
			out.Stage = chain.Finalized
			if t.failed != "" {
				out.Stage = chain.Failed
			}
		}
	}
	if c.faults.lies.Status != nil {
		out = c.faults.lies.Status(signature, out)
	}
	return out, nil
}

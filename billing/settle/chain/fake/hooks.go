package fake

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"

	"raylink/billing/settle/chain"
)

// faults are what is wrong with the node now.
type faults struct {
	drops, losses, broken int
	failure               chain.FailureCode
	lag                   uint64
	stale                 bool
	lies                  Lies
}

// Lies bend a node's answers. They run with the chain's lock held and must not call it.
type Lies struct {
	Effect  func(chain.Effect) chain.Effect
	Status  func(chain.Signature, chain.Status) chain.Status
	History func([]chain.Signature) []chain.Signature
	Height  func(uint64) uint64
	Hash    func(chain.Blockhash) chain.Blockhash
}

// AddMint makes a mint known.
func (c *Chain) AddMint(mint chain.Mint) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.mints[mint.Address] = mint
}

// Open opens the wallet's token account, unless it is open.
func (c *Chain) Open(wallet chain.Address, mint chain.Mint) chain.Address {
	account, err := c.TokenAccount(wallet, mint)
	if err != nil {
		panic("opening an account of the fake chain: " + err.Error())
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if held := c.accounts[account]; held == nil || held.Program == "" {
		c.accounts[account] = &chain.TokenAccount{Address: account, Mint: mint.Address, Program: mint.Program, Owner: wallet}
	}
	return account
}

// Fund mints tokens into an open account.
func (c *Chain) Fund(account chain.Address, amount int64) chain.Signature {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	held := c.accounts[account]
	if held == nil || held.Program == "" || amount < 0 {
		panic(fmt.Sprintf("funding account %s of the fake chain with %d: there is none, or less than nothing", account, amount))
	}
	t := &transaction{
		name: c.invent(), height: c.height, mint: c.mints[held.Mint], accounts: []chain.Address{account},
		deltas: map[chain.Address]int64{account: amount}, minted: amount,
	}
	c.land(t)
	return t.name
}

// invent is a signature that no other transaction has.
func (c *Chain) invent() chain.Signature {
	c.serial++
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], c.serial)
	return chain.SignatureOf(ed25519.Sign(Key("users"), number[:]))
}

// Payment is what a user's wallet does.
type Payment struct {
	From       ed25519.PrivateKey
	To         chain.Address // a token account
	Amount     int64         // minor units
	Memo       string
	References []chain.Address
}

// Pay transfers from the payer's own token account of the receiver's mint. A refusal is *chain.RefusedError.
func (c *Chain) Pay(p Payment) (chain.Signature, error) {
	payer := chain.AddressOf(p.From.Public().(ed25519.PublicKey))
	c.mutex.Lock()
	defer c.mutex.Unlock()
	target := c.accounts[p.To]
	if target == nil || target.Program == "" {
		return "", &chain.RefusedError{Code: chain.NoAccount, Item: 0, Reason: "the receiver has no such account"}
	}
	mint := c.mints[target.Mint]
	from, err := c.TokenAccount(payer, mint)
	if err != nil {
		return "", err
	}
	t := &transaction{name: c.invent(), height: c.height, mint: mint, memo: chain.ReadMemo([]byte(p.Memo)), references: slices.Clone(p.References)}
	batch := chain.Batch{Mint: mint, From: from, Owner: payer, Transfers: []chain.Transfer{{Account: p.To, Amount: p.Amount}}}
	if err := c.fill(t, batch); err != nil {
		return "", err
	}
	t.accounts = append(t.accounts, p.References...)
	c.land(t)
	return t.name, nil
}

// Tick moves the chain on by n heights and answers the newest, not yet finalized one.
func (c *Chain) Tick(n uint64) uint64 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for range n {
		c.height++
		c.hashes[hashAt(c.height)] = c.height
		if c.height > c.cfg.Window+c.cfg.FinalityAge {
			delete(c.hashes, hashAt(c.height-c.cfg.Window-c.cfg.FinalityAge))
		}
	}
	return c.height
}

// Balance of an account now, finalized or not; 0 where there is none.
func (c *Chain) Balance(account chain.Address) int64 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if held := c.accounts[account]; held != nil {
		return held.Amount
	}
	return 0
}

// Freeze stops an account.
func (c *Chain) Freeze(account chain.Address) { c.freeze(account, true) }

// Thaw lets it go again.
func (c *Chain) Thaw(account chain.Address) { c.freeze(account, false) }

func (c *Chain) freeze(account chain.Address, frozen bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if held := c.accounts[account]; held != nil {
		held.Frozen = frozen
	}
}

// Close closes an empty account.
func (c *Chain) Close(account chain.Address) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	held := c.accounts[account]
	if held == nil || held.Program == "" {
		return fmt.Errorf("closing account %s: %w", account, chain.ErrNoAccount)
	}
	if held.Amount != 0 {
		return fmt.Errorf("closing account %s: it holds %d", account, held.Amount)
	}
	held.Program = "" // what was known of it stays, for the history's sake
	return nil
}

// ForkBack makes a transaction vanish that is not finalized. Its bytes can be sent again.
func (c *Chain) ForkBack(name chain.Signature) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	t := c.known[name]
	if t == nil || t.height+c.cfg.FinalityAge <= c.height {
		return fmt.Errorf("forking %s back: it is unknown or finalized", name)
	}
	for account, delta := range t.deltas {
		if held := c.accounts[account]; held != nil && held.Amount < delta {
			return fmt.Errorf("forking %s back: what it brought has been spent", name)
		}
	}
	c.apply(t, -1)
	delete(c.known, name)
	c.log = slices.DeleteFunc(c.log, func(other *transaction) bool { return other == t })
	return nil
}

// Drop makes the next n sends vanish after they were taken.
func (c *Chain) Drop(n int) { c.set(func(f *faults) { f.drops = n }) }

// Lose makes the next n sends land and answer an error.
func (c *Chain) Lose(n int) { c.set(func(f *faults) { f.losses = n }) }

// Break makes the next n calls fail and do nothing.
func (c *Chain) Break(n int) { c.set(func(f *faults) { f.broken = n }) }

// FailNext makes the next send skip preflight and land as failed.
func (c *Chain) FailNext(code chain.FailureCode) { c.set(func(f *faults) { f.failure = code }) }

// Lag makes all reads answer as of n heights ago: a node that is behind.
func (c *Chain) Lag(n uint64) { c.set(func(f *faults) { f.lag = n }) }

// Stale makes the node know no transaction while its heights are current.
func (c *Chain) Stale(on bool) { c.set(func(f *faults) { f.stale = on }) }

// Lie bends the answers from now on; the zero value ends it.
func (c *Chain) Lie(lies Lies) { c.set(func(f *faults) { f.lies = lies }) }

func (c *Chain) set(change func(*faults)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	change(&c.faults)
}

// Landed names all that landed and did not vanish, in order.
func (c *Chain) Landed() []chain.Signature {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	out := make([]chain.Signature, len(c.log))
	for i, t := range c.log {
		out[i] = t.name
	}
	return out
}

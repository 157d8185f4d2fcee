package fake

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"raylink/billing/settle/chain"
)

// order is what an owner signs.
type order struct {
	Batch     chain.Batch `json:"batch"`
	Blockhash string      `json:"blockhash"`
}

// Message implements chain.Builder.
func (c *Chain) Message(batch chain.Batch, blockhash string) ([]byte, error) {
	if err := batch.Check(); err != nil {
		return nil, err
	}
	for _, address := range append(addresses(batch), batch.Owner, chain.Address(blockhash)) {
		if _, err := address.Bytes(); err != nil {
			return nil, err
		}
	}
	c.mutex.Lock()
	mint, ok := c.mints[batch.Mint.Address]
	c.mutex.Unlock()
	if batch.From != "" && (!ok || mint != batch.Mint) {
		return nil, fmt.Errorf("%+v is none of the known mints: %w", batch.Mint, chain.ErrBatch)
	}
	if len(batch.Transfers) == 0 {
		batch.Transfers = nil
	}
	return json.Marshal(order{batch, blockhash})
}

func addresses(batch chain.Batch) []chain.Address {
	var out []chain.Address
	if batch.From != "" {
		out = append(out, batch.From, batch.Mint.Address)
	}
	for _, t := range batch.Transfers {
		out = append(out, t.Account)
	}
	return out
}

// Assemble implements chain.Builder.
func (c *Chain) Assemble(message, signature []byte) ([]byte, chain.Signature, error) {
	raw := append(append([]byte(nil), signature...), message...)
	if _, _, err := c.Read(raw); err != nil {
		return nil, "", err
	}
	return raw, chain.SignatureOf(signature), nil
}

// Read implements chain.Builder.
func (c *Chain) Read(raw []byte) (chain.Batch, string, error) {
	if len(raw) <= ed25519.SignatureSize || len(raw) > 8192 {
		return chain.Batch{}, "", fmt.Errorf("%d bytes: %w", len(raw), chain.ErrBatch)
	}
	message := raw[ed25519.SignatureSize:]
	var got order
	if err := json.Unmarshal(message, &got); err != nil {
		return chain.Batch{}, "", fmt.Errorf("bytes that are no order: %w", chain.ErrBatch)
	}
	again, err := c.Message(got.Batch, got.Blockhash)
	if err != nil {
		return chain.Batch{}, "", err
	}
	if !bytes.Equal(again, message) {
		return chain.Batch{}, "", fmt.Errorf("the transaction does something beside its batch: %w", chain.ErrBatch)
	}
	owner, err := got.Batch.Owner.Bytes()
	if err != nil {
		return chain.Batch{}, "", err
	}
	if !ed25519.Verify(owner, message, raw[:ed25519.SignatureSize]) {
		return chain.Batch{}, "", fmt.Errorf("the signature is not the owner's: %w", chain.ErrBatch)
	}
	return got.Batch, got.Blockhash, nil
}

// TokenAccount implements chain.Builder.
func (c *Chain) TokenAccount(wallet chain.Address, mint chain.Mint) (chain.Address, error) {
	if _, err := wallet.Bytes(); err != nil {
		return "", err
	}
	account := digest("account", []byte(wallet), []byte(mint.Address), []byte(mint.Program))
	return chain.Address(chain.EncodeBase58(account[:])), nil
}

// Send implements chain.Sender.
func (c *Chain) Send(ctx context.Context, raw []byte) error {
	batch, blockhash, err := c.Read(raw)
	if err != nil {
		return &chain.RefusedError{Code: chain.Other, Item: -1, Reason: err.Error()}
	}
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.mutex.Unlock()
	t := &transaction{name: chain.SignatureOf(raw[:ed25519.SignatureSize]), height: c.height, mint: batch.Mint, memo: batch.Memo}
	if c.known[t.name] != nil {
		return &chain.RefusedError{Code: chain.Replayed, Item: -1, Reason: "already processed"}
	}
	if made, ok := c.hashes[blockhash]; !ok || c.height-made > c.cfg.Window {
		return &chain.RefusedError{Code: chain.Expired, Item: -1, Reason: "blockhash not found"}
	}
	t.failed, c.faults.failure = c.faults.failure, ""
	if refused := c.fill(t, batch); refused != nil {
		return refused
	}
	switch {
	case c.faults.drops > 0:
		c.faults.drops--
	case c.faults.losses > 0:
		c.faults.losses--
		c.land(t)
		return ErrLine
	default:
		c.land(t)
	}
	return nil
}

// fill computes what the batch does, or why it cannot. One that shall fail touches its accounts all the same.
func (c *Chain) fill(t *transaction, batch chain.Batch) error {
	t.deltas, t.payer = map[chain.Address]int64{}, batch.Owner
	if batch.From == "" {
		return nil
	}
	t.accounts, t.senders = []chain.Address{batch.From}, []chain.Address{batch.Owner}
	for _, to := range batch.Transfers {
		t.accounts = append(t.accounts, to.Account)
	}
	if t.failed != "" {
		return nil
	}
	if batch.Burn > 0 {
		if code := c.move(t, batch, batch.From, batch.Burn); code != "" {
			return &chain.RefusedError{Code: code, Item: -1, Reason: "burning: " + string(code)}
		}
		t.minted = -batch.Burn
	}
	for i, to := range batch.Transfers {
		if code := c.move(t, batch, to.Account, to.Amount); code != "" {
			return &chain.RefusedError{Code: code, Item: i, Reason: fmt.Sprintf("transfer %d: %s", i, code)}
		}
		t.deltas[to.Account] += to.Amount
	}
	return nil
}

// move takes the amount from the batch's account, if a token program would let it go to the other one.
func (c *Chain) move(t *transaction, batch chain.Batch, to chain.Address, amount int64) chain.FailureCode {
	from, target := c.accounts[batch.From], c.accounts[to]
	switch {
	case from == nil || from.Program == "" || target == nil || target.Program == "":
		return chain.NoAccount
	case from.Frozen || target.Frozen:
		return chain.Frozen
	case from.Amount+t.deltas[batch.From] < amount:
		return chain.Insufficient
	case from.Mint != batch.Mint.Address || target.Mint != batch.Mint.Address:
		return chain.WrongMint
	case from.Owner != batch.Owner:
		return chain.WrongOwner
	}
	t.deltas[batch.From] -= amount
	return ""
}

// land records the transaction and does what it does.
func (c *Chain) land(t *transaction) {
	c.known[t.name] = t
	c.log = append(c.log, t)
	c.apply(t, 1)
}

func (c *Chain) apply(t *transaction, sign int64) {
	for account, delta := range t.deltas {
		if held := c.accounts[account]; held != nil {
			held.Amount += sign * delta
		}
	}
	c.supply[t.mint.Address] += sign * t.minted
}

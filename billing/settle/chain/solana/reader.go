package solana

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	solanago "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"

	"raylink/billing/settle/chain"
)

const (
	pageSize = 1000 // the most that a node answers
	maxPages = 200
)

// History implements chain.Reader. A node answers newest first and stops at `until`; where it does not know that one it goes on to the very first
// without a word, so it is asked before whether it does.
func (c *Client) History(ctx context.Context, account chain.Address, after chain.Signature, limit int) ([]chain.Signature, error) {
	key, err := keyOf(account)
	if err != nil {
		return nil, err
	}
	size := pageSize
	opts := &rpc.GetSignaturesForAddressOpts{Limit: &size, Commitment: rpc.CommitmentFinalized}
	if after != "" {
		status, err := c.Status(ctx, after)
		if err != nil {
			return nil, err
		}
		if status.Stage != chain.Finalized && status.Stage != chain.Failed {
			return nil, fmt.Errorf("reading an account's history from %s on: %w", after, chain.ErrLag)
		}
		if opts.Until, err = signatureOf(after); err != nil {
			return nil, err
		}
	}
	newest, err := c.pages(ctx, key, opts, max(0, limit))
	if err != nil {
		return nil, err
	}
	oldest := make([]chain.Signature, len(newest))
	for i, name := range newest {
		oldest[len(newest)-1-i] = name
	}
	return oldest, nil
}

// pages reads all pages, newest first, and keeps the last `limit` names.
func (c *Client) pages(ctx context.Context, key solanago.PublicKey, opts *rpc.GetSignaturesForAddressOpts, limit int) ([]chain.Signature, error) {
	var kept []chain.Signature
	for range maxPages {
		page, err := c.rpc.GetSignaturesForAddressWithOpts(ctx, key, opts)
		if err != nil {
			return nil, plain("reading an account's history", err)
		}
		for _, found := range page {
			if found == nil {
				return nil, errors.New("reading an account's history: the node names a transaction null")
			}
			kept = append(kept, chain.SignatureOf(found.Signature[:]))
		}
		if len(kept) > limit {
			kept = append([]chain.Signature(nil), kept[len(kept)-limit:]...)
		}
		if len(page) < pageSize {
			return kept, nil
		}
		opts.Before = page[len(page)-1].Signature
	}
	return nil, fmt.Errorf("reading an account's history: more than %d transactions since the last one seen", maxPages*pageSize)
}

// Account implements chain.Reader.
func (c *Client) Account(ctx context.Context, account chain.Address) (chain.TokenAccount, error) {
	data, owner, err := c.bytesOf(ctx, account)
	if err != nil {
		return chain.TokenAccount{}, err
	}
	out, ok := readTokenAccount(data)
	if !ok || owner != TokenProgram && owner != Token2022Program {
		return chain.TokenAccount{}, fmt.Errorf("reading account %s: %w", account, chain.ErrNoAccount)
	}
	if out.Amount < 0 {
		return chain.TokenAccount{}, fmt.Errorf("reading account %s: its amount is beyond 63 bits", account)
	}
	out.Address, out.Program = account, owner
	return out, nil
}

// bytesOf is the account's finalized data and the program that owns it.
func (c *Client) bytesOf(ctx context.Context, account chain.Address) ([]byte, chain.Address, error) {
	key, err := keyOf(account)
	if err != nil {
		return nil, "", err
	}
	got, err := c.rpc.GetAccountInfoWithOpts(ctx, key, &rpc.GetAccountInfoOpts{
		Encoding: solanago.EncodingBase64, Commitment: rpc.CommitmentFinalized,
	})
	if errors.Is(err, rpc.ErrNotFound) || err == nil && (got == nil || got.Value == nil || got.Value.Data == nil) {
		return nil, "", fmt.Errorf("reading account %s: %w", account, chain.ErrNoAccount)
	}
	if err != nil {
		return nil, "", plain("reading account "+string(account), err)
	}
	return got.Value.Data.GetBinary(), addressOf(got.Value.Owner), nil
}

// Layout of SPL Token's accounts (spl_token::state::Account and Mint). Token-2022 appends extensions behind a byte that tells the kind.
const (
	tokenAccountSize = 165
	mintSize         = 82
	kindAccount      = 2
	stateFrozen      = 2
)

func readTokenAccount(data []byte) (chain.TokenAccount, bool) {
	if len(data) < tokenAccountSize || len(data) > tokenAccountSize && data[tokenAccountSize] != kindAccount {
		return chain.TokenAccount{}, false
	}
	state := data[108]
	if state == 0 || state > stateFrozen {
		return chain.TokenAccount{}, false
	}
	amount := binary.LittleEndian.Uint64(data[64:72])
	out := chain.TokenAccount{
		Mint: chain.Address(chain.EncodeBase58(data[0:32])), Owner: chain.Address(chain.EncodeBase58(data[32:64])), Amount: -1, Frozen: state == stateFrozen,
	}
	if amount <= math.MaxInt64 {
		out.Amount = int64(amount)
	}
	return out, true
}

// Supply implements chain.Reader.
func (c *Client) Supply(ctx context.Context, mint chain.Address) (int64, error) {
	key, err := keyOf(mint)
	if err != nil {
		return 0, err
	}
	got, err := c.rpc.GetTokenSupply(ctx, key, rpc.CommitmentFinalized)
	if err != nil {
		return 0, plain("reading a mint's supply", err)
	}
	if got == nil || got.Value == nil {
		return 0, errors.New("reading a mint's supply: the node names none")
	}
	amount, err := strconv.ParseInt(got.Value.Amount, 10, 64)
	if err != nil || amount < 0 {
		return 0, fmt.Errorf("reading a mint's supply: %.40q is not an amount", got.Value.Amount)
	}
	return amount, nil
}

// Check looks whether the mint is what the configuration says: owned by the right token program, with the right decimals, and in use.
func (c *Client) Check(ctx context.Context, mint chain.Mint) error {
	if mint.Program != TokenProgram {
		return fmt.Errorf("checking the mint of %s: only tokens of %s are taken, not of %.60q", mint.Asset, TokenProgram, string(mint.Program))
	}
	if mint.Decimals != mint.Asset.Decimals() {
		return fmt.Errorf("checking the mint of %s: the asset has %d decimals, the configuration says %d", mint.Asset, mint.Asset.Decimals(), mint.Decimals)
	}
	data, owner, err := c.bytesOf(ctx, mint.Address)
	if err != nil {
		return fmt.Errorf("checking the mint of %s: %w", mint.Asset, err)
	}
	if owner != mint.Program || len(data) != mintSize || data[45] != 1 {
		return fmt.Errorf("checking the mint of %s: %s is no mint of %s (it belongs to %s)", mint.Asset, mint.Address, mint.Program, owner)
	}
	if int(data[44]) != mint.Decimals {
		return fmt.Errorf("checking the mint of %s: %s has %d decimals, not %d", mint.Asset, mint.Address, data[44], mint.Decimals)
	}
	return nil
}

// ErrOtherCluster: the node has answered, and is of another cluster than the one that is meant.
var ErrOtherCluster = errors.New("the Solana node is of another cluster")

// CheckGenesis looks whether the node is of the cluster whose genesis hash is given; ErrOtherCluster where it is not.
func (c *Client) CheckGenesis(ctx context.Context, genesis string) error {
	got, err := c.rpc.GetGenesisHash(ctx)
	if err != nil {
		return plain("asking which cluster the node is of", err)
	}
	if got.String() != genesis {
		return fmt.Errorf("%w: its genesis is %s, not %.60q", ErrOtherCluster, got, genesis)
	}
	return nil
}

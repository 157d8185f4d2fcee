package localchain

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	solanago "github.com/gagliardetto/solana-go"
	ata "github.com/gagliardetto/solana-go/programs/associated-token-account"
	"github.com/gagliardetto/solana-go/programs/memo"
	"github.com/gagliardetto/solana-go/programs/system"
	"github.com/gagliardetto/solana-go/programs/token"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
)

const (
	mintSize       = 82 // bytes of a mint's account
	lamportsPerSOL = 1_000_000_000
)

// NewKey is a new wallet's key. It is for this chain only.
func NewKey() ed25519.PrivateKey {
	key, err := solanago.NewRandomPrivateKey()
	if err != nil {
		panic("the system has no randomness: " + err.Error())
	}
	return ed25519.PrivateKey(key)
}

// AddressOf is the wallet of a key.
func AddressOf(key ed25519.PrivateKey) chain.Address { return addressOf(public(key)) }

// Submit signs a transaction of these instructions with the keys, the first of which pays, and sends it. The blockhash is the newest, so that
// what was just done is seen.
func (c *Chain) Submit(ctx context.Context, list []solanago.Instruction, keys ...ed25519.PrivateKey) (chain.Signature, error) {
	if len(keys) == 0 {
		return "", errors.New("a transaction needs somebody who pays")
	}
	var latest struct {
		Value struct {
			Blockhash string `json:"blockhash"`
		} `json:"value"`
	}
	if err := c.client.Call(ctx, &latest, "getLatestBlockhash", map[string]string{"commitment": "processed"}); err != nil {
		return "", err
	}
	raw, name, err := Sign(list, latest.Value.Blockhash, keys...)
	if err != nil {
		return "", err
	}
	if err := c.client.Send(ctx, raw); err != nil {
		return name, err
	}
	return name, nil
}

// Sign makes a transaction's bytes and its name. The first key pays.
func Sign(list []solanago.Instruction, blockhash string, keys ...ed25519.PrivateKey) ([]byte, chain.Signature, error) {
	hash, err := chain.Address(blockhash).Bytes()
	if err != nil {
		return nil, "", err
	}
	tx, err := solanago.NewTransaction(list, solanago.HashFromBytes(hash), solanago.TransactionPayer(public(keys[0])))
	if err != nil {
		return nil, "", fmt.Errorf("building a transaction: %w", err)
	}
	return Seal(tx, keys...)
}

// Seal signs a transaction that stands already.
func Seal(tx *solanago.Transaction, keys ...ed25519.PrivateKey) ([]byte, chain.Signature, error) {
	_, err := tx.Sign(func(key solanago.PublicKey) *solanago.PrivateKey {
		for _, k := range keys {
			if public(k) == key {
				private := solanago.PrivateKey(k)
				return &private
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("signing a transaction: %w", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return nil, "", fmt.Errorf("writing a transaction: %w", err)
	}
	return raw, chain.SignatureOf(tx.Signatures[0][:]), nil
}

// Airdrop gives the wallet SOL out of nothing, in lamports (10^-9 SOL).
func (c *Chain) Airdrop(ctx context.Context, wallet chain.Address, lamports uint64) error {
	var name string
	return c.client.Call(ctx, &name, "requestAirdrop", string(wallet), lamports)
}

// NewWallet is a new key with 100 SOL for fees and rent.
func (c *Chain) NewWallet(ctx context.Context) (ed25519.PrivateKey, error) {
	key := NewKey()
	return key, c.Airdrop(ctx, AddressOf(key), 100*lamportsPerSOL)
}

// CreateMint makes a mint of SPL Token. The authority pays, and may mint and freeze.
func (c *Chain) CreateMint(ctx context.Context, authority ed25519.PrivateKey, asset money.Asset, decimals int) (chain.Mint, error) {
	mint, owner := NewKey(), public(authority)
	var rent uint64
	if err := c.client.Call(ctx, &rent, "getMinimumBalanceForRentExemption", mintSize); err != nil {
		return chain.Mint{}, err
	}
	_, err := c.Submit(ctx, []solanago.Instruction{
		system.NewCreateAccountInstruction(rent, mintSize, solanago.TokenProgramID, owner, public(mint)).Build(),
		token.NewInitializeMint2Instruction(uint8(decimals), owner, owner, public(mint)).Build(),
	}, authority, mint)
	if err != nil {
		return chain.Mint{}, fmt.Errorf("making a mint of %s: %w", asset, err)
	}
	return chain.Mint{Asset: asset, Address: AddressOf(mint), Program: solana.TokenProgram, Decimals: decimals}, nil
}

// CreateTokenAccount makes the wallet's associated token account, unless it is there. The payer pays its rent.
func (c *Chain) CreateTokenAccount(ctx context.Context, payer ed25519.PrivateKey, wallet chain.Address, mint chain.Mint) (chain.Address, error) {
	owner, token, program, err := three(wallet, mint.Address, mint.Program)
	if err != nil {
		return "", err
	}
	account, err := (&solana.Builder{}).TokenAccount(wallet, mint)
	if err != nil {
		return "", err
	}
	create := ata.NewCreateIdempotentInstructionBuilder().SetPayer(public(payer)).SetWallet(owner).SetMint(token)
	if program != solanago.TokenProgramID {
		create = create.SetTokenProgram(program)
	}
	if _, err := c.Submit(ctx, []solanago.Instruction{create.Build()}, payer); err != nil && !already(err) {
		return "", fmt.Errorf("making a token account of %s for %s: %w", mint.Asset, wallet, err)
	}
	return account, nil
}

// already says that the very same transaction has landed in this slot.
func already(err error) bool {
	var refused *chain.RefusedError
	return errors.As(err, &refused) && refused.Code == chain.Replayed
}

// MintTo makes new tokens in the account.
func (c *Chain) MintTo(ctx context.Context, authority ed25519.PrivateKey, mint chain.Mint, account chain.Address, amount int64) (chain.Signature, error) {
	to, address, program, err := three(account, mint.Address, mint.Program)
	if err != nil {
		return "", err
	}
	if amount <= 0 {
		return "", fmt.Errorf("minting %d minor units: it must be more than none", amount)
	}
	make := token.NewMintToCheckedInstruction(uint64(amount), uint8(mint.Decimals), address, to, public(authority), nil).Build()
	name, err := c.Submit(ctx, []solanago.Instruction{make.SetProgramID(program), unique()}, authority)
	if err != nil {
		return "", fmt.Errorf("minting %s: %w", mint.Asset, err)
	}
	return name, nil
}

// unique is a memo that no other transaction has, so that two alike have two names.
func unique() solanago.Instruction {
	return memo.NewMemoInstructionBuilder().SetMessage([]byte(public(NewKey()).String())).Build()
}

// Payment is what a wallet app does for a Solana Pay URL.
type Payment struct {
	From       ed25519.PrivateKey
	To         chain.Address // the recipient's wallet, as in the URL; its associated token account is paid
	Mint       chain.Mint
	Amount     int64  // minor units
	Memo       string // none if empty
	References []chain.Address
}

// Pay transfers as the Solana Pay specification wants it: the memo before the transfer, the references as read-only accounts of the transfer,
// which comes last.
func (c *Chain) Pay(ctx context.Context, p Payment) (chain.Signature, error) {
	list, err := p.Instructions()
	if err != nil {
		return "", err
	}
	name, err := c.Submit(ctx, list, p.From)
	if err != nil {
		return name, fmt.Errorf("paying %s: %w", p.Mint.Asset, err)
	}
	return name, nil
}

// Instructions of the payment.
func (p Payment) Instructions() ([]solanago.Instruction, error) {
	var builder solana.Builder
	source, err := builder.TokenAccount(AddressOf(p.From), p.Mint)
	if err != nil {
		return nil, err
	}
	target, err := builder.TokenAccount(p.To, p.Mint)
	if err != nil {
		return nil, err
	}
	from, to, mint, err := three(source, target, p.Mint.Address)
	if err != nil {
		return nil, err
	}
	program, err := keyOf(p.Mint.Program)
	if err != nil {
		return nil, err
	}
	if p.Amount < 0 {
		return nil, fmt.Errorf("paying %d minor units: it must not be less than none", p.Amount)
	}
	move := token.NewTransferCheckedInstruction(uint64(p.Amount), uint8(p.Mint.Decimals), from, mint, to, public(p.From), nil).Build()
	data, err := move.Data()
	if err != nil {
		return nil, fmt.Errorf("building a transfer: %w", err)
	}
	metas := move.Accounts()
	for _, reference := range p.References {
		key, err := keyOf(reference)
		if err != nil {
			return nil, err
		}
		metas = append(metas, solanago.Meta(key))
	}
	var list []solanago.Instruction
	if p.Memo != "" {
		list = append(list, memo.NewMemoInstructionBuilder().SetMessage([]byte(p.Memo)).Build())
	}
	return append(list, solanago.NewInstruction(program, metas, data)), nil
}

func public(key ed25519.PrivateKey) solanago.PublicKey {
	return solanago.PublicKeyFromBytes(key.Public().(ed25519.PublicKey))
}

func addressOf(key solanago.PublicKey) chain.Address {
	return chain.Address(chain.EncodeBase58(key[:]))
}

func keyOf(address chain.Address) (solanago.PublicKey, error) {
	raw, err := address.Bytes()
	if err != nil {
		return solanago.PublicKey{}, err
	}
	return solanago.PublicKeyFromBytes(raw), nil
}

func three(a, b, c chain.Address) (x, y, z solanago.PublicKey, err error) {
	var all [3]solanago.PublicKey
	for i, address := range []chain.Address{a, b, c} {
		if all[i], err = keyOf(address); err != nil {
			return x, y, z, err
		}
	}
	return all[0], all[1], all[2], nil
}

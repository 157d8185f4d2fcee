package localchain

import (
	"context"
	"crypto/ed25519"
	"fmt"

	solanago "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/token"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
)

// Freeze makes the account unable to send or receive, as an issuer may. The authority is the mint's.
func (c *Chain) Freeze(ctx context.Context, authority ed25519.PrivateKey, mint chain.Mint, account chain.Address) error {
	what, address, program, err := three(account, mint.Address, mint.Program)
	if err != nil {
		return err
	}
	freeze := token.NewFreezeAccountInstruction(what, address, public(authority), nil).Build()
	if _, err := c.Submit(ctx, []solanago.Instruction{freeze.SetProgramID(program), unique()}, authority); err != nil {
		return fmt.Errorf("freezing an account: %w", err)
	}
	return nil
}

// Thaw undoes Freeze.
func (c *Chain) Thaw(ctx context.Context, authority ed25519.PrivateKey, mint chain.Mint, account chain.Address) error {
	what, address, program, err := three(account, mint.Address, mint.Program)
	if err != nil {
		return err
	}
	thaw := token.NewThawAccountInstruction(what, address, public(authority), nil).Build()
	if _, err := c.Submit(ctx, []solanago.Instruction{thaw.SetProgramID(program), unique()}, authority); err != nil {
		return fmt.Errorf("thawing an account: %w", err)
	}
	return nil
}

// CloseAccount closes an empty token account of SPL Token; its rent goes to the owner.
func (c *Chain) CloseAccount(ctx context.Context, owner ed25519.PrivateKey, account chain.Address) error {
	what, err := keyOf(account)
	if err != nil {
		return err
	}
	end := token.NewCloseAccountInstruction(what, public(owner), public(owner), nil).Build()
	if _, err := c.Submit(ctx, []solanago.Instruction{end, unique()}, owner); err != nil {
		return fmt.Errorf("closing an account: %w", err)
	}
	return nil
}

// Desk changes USDC into IO at a fixed rate: it stands in for the market, which a local chain has not. Its wallet must hold IO.
type Desk struct {
	Key      ed25519.PrivateKey
	USDC, IO chain.Mint
	Price    money.Price // of one IO in USD; one USDC counts as one USD
}

// Swapped is what a swap did.
type Swapped struct {
	Signature chain.Signature
	USDC, IO  int64 // minor units: paid in, got out
}

// Swap takes USDC (minor units) from the customer and gives IO, rounded down, both as real transfers in one transaction that both sign; the
// customer pays its fee.
func (c *Chain) Swap(ctx context.Context, desk Desk, customer ed25519.PrivateKey, usdc int64) (Swapped, error) {
	io, err := money.ToIO(usdc, desk.Price)
	if err != nil {
		return Swapped{}, fmt.Errorf("changing USDC into IO: %w", err)
	}
	list, err := Payment{From: customer, To: AddressOf(desk.Key), Mint: desk.USDC, Amount: usdc}.Instructions()
	if err != nil {
		return Swapped{}, err
	}
	back, err := Payment{From: desk.Key, To: AddressOf(customer), Mint: desk.IO, Amount: io}.Instructions()
	if err != nil {
		return Swapped{}, err
	}
	name, err := c.Submit(ctx, append(append(list, back...), unique()), customer, desk.Key)
	if err != nil {
		return Swapped{Signature: name}, fmt.Errorf("changing USDC into IO: %w", err)
	}
	return Swapped{Signature: name, USDC: usdc, IO: io}, nil
}

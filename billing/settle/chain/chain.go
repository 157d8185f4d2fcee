// Package chain is the port to the ledger outside: where users' tokens come in and suppliers' tokens go out. It speaks of accounts, signatures
// and heights as Solana does; solana/ implements it on a node's JSON-RPC, fake/ in memory, and chaintest/ is the suite that both pass.
//
// Nothing here is believed because it was sent: a transfer counts by its effect on our own token account, once it is finalized.
package chain

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"raylink/billing/money"
)

// Address is a public key in base58: a wallet, a token account, a mint, a program or a reference.
type Address string

// Signature is a transaction's first signature in base58, which is its name and is known before it is sent.
type Signature string

// Mint is a token that we take: all of it must fit, or the token is another one.
type Mint struct {
	Asset    money.Asset `json:"asset"`
	Address  Address     `json:"address"`
	Program  Address     `json:"program"` // the token program that owns it
	Decimals int         `json:"decimals"`
}

// TokenAccount is what stands in an account of a token program.
type TokenAccount struct {
	Address Address
	Mint    Address
	Program Address
	Owner   Address // the wallet
	Amount  int64   // minor units
	Frozen  bool
}

// Effect is what one finalized transaction did to one token account.
type Effect struct {
	Signature  Signature
	Account    Address // the token account
	Mint       Address
	Program    Address
	Decimals   int
	Delta      int64 // balance after less balance before, minor units; may be zero or negative
	Slot       uint64
	At         time.Time // of the block, zero where the node does not know
	Failed     bool      // the transaction failed: Delta is 0
	Memo       string    // the first memo's text, cut to 256 bytes; empty if there is none or if it is not UTF-8
	References []Address // read-only accounts of the transaction that do not sign, at most 16: a reference of ours is among them, if any
	Payer      Address   // who signed first and paid the fee
	Senders    []Address // owners whose balance of the same mint fell, in the order of the transaction, at most 16
}

// Reader is what a watcher of token accounts needs. All it answers is finalized.
type Reader interface {
	// History names the transactions that touched the account and came after the one named `after` (from the first, if empty), oldest first, at
	// most limit of them. Where `after` is not known to the node (it lags, or was another one) it is ErrLag.
	History(ctx context.Context, account Address, after Signature, limit int) ([]Signature, error)
	// Effect is what the transaction did to the account; ErrUnknown where the node does not know it (yet).
	Effect(ctx context.Context, signature Signature, account Address) (Effect, error)
	// Account reads a token account; ErrNoAccount where there is none.
	Account(ctx context.Context, account Address) (TokenAccount, error)
	// Supply is how many minor units of the mint exist.
	Supply(ctx context.Context, mint Address) (int64, error)
}

// Blockhash is what a transaction must name to be taken, and the height up to which it can be.
type Blockhash struct {
	Hash            string
	LastValidHeight uint64
}

// Status says how far a transaction has come.
type Status struct {
	Stage  Stage
	Code   FailureCode // of a failed one
	Reason string      // of a failed one, in words
	Slot   uint64
}

// Stage of a transaction.
type Stage string

// The stages. Unknown says nothing by itself: only with a finalized height above LastValidHeight is the transaction dead.
const (
	Unknown   Stage = "unknown"
	Seen      Stage = "seen"      // processed or confirmed, may still vanish
	Finalized Stage = "finalized" // took effect, for good
	Failed    Stage = "failed"    // finalized with an error: the fee is lost, nothing moved
)

// FailureCode says why a token program refused.
type FailureCode string

// The refusals that have consequences of their own; Other is every other one.
const (
	Insufficient  FailureCode = "insufficient" // Custom(1)
	WrongMint     FailureCode = "wrong-mint"   // Custom(3)
	WrongOwner    FailureCode = "wrong-owner"  // Custom(4)
	Frozen        FailureCode = "frozen"       // Custom(17)
	WrongDecimals FailureCode = "wrong-decimals"
	NoAccount     FailureCode = "no-account" // InvalidAccountData: the token account is missing
	Expired       FailureCode = "expired"    // blockhash not found, in preflight
	Replayed      FailureCode = "replayed"   // already processed
	Other         FailureCode = "other"
)

// RefusedError is a refusal before anything was recorded (preflight), or a failed transaction's error. Item is the number of the transfer that
// failed, -1 where it is not known.
type RefusedError struct {
	Code   FailureCode
	Item   int
	Reason string
}

func (e *RefusedError) Error() string { return "the chain refused: " + e.Reason }

// Errors of a Reader or Sender beside RefusedError; whatever else comes is a failure of the line, after which nothing is known.
var (
	ErrUnknown   = errors.New("the node does not know this transaction")
	ErrNoAccount = errors.New("there is no such token account")
	ErrLag       = errors.New("the node does not know the place to go on from")
	ErrBatch     = errors.New("this batch or these bytes cannot be a transaction of ours")
)

// Sender is what payouts need beside a Reader. A nil error of Send means that the node took the bytes, no more; any error but *RefusedError means
// that nothing is known.
type Sender interface {
	// Blockhash is the latest one at the commitment `finalized`.
	Blockhash(ctx context.Context) (Blockhash, error)
	Send(ctx context.Context, raw []byte) error
	Status(ctx context.Context, signature Signature) (Status, error)
	// Height is the finalized block height.
	Height(ctx context.Context) (uint64, error)
}

// Transfer is one payment of a batch.
type Transfer struct {
	Account Address // the receiver's token account, which exists
	Amount  int64   // minor units
}

// Batch is one transaction that pays up to MaxTransfers receivers, all or none. Memo carries the batch's id, so that no two batches have one
// signature. A batch with neither Transfers nor Burn is a memo alone (at most MaxMemo bytes): then Mint and From are empty.
type Batch struct {
	Mint      Mint
	From      Address // our token account
	Owner     Address // our wallet, which signs and pays the fee
	Transfers []Transfer
	Burn      int64 // minor units burnt from From instead of transferred; then there are no Transfers
	Memo      string
}

// MaxTransfers is how many transfers one batch holds, MaxMemo how many bytes its memo may have: both together fit into one transaction.
const (
	MaxTransfers = 15
	MaxMemo      = 128
)

// ReadMemo is a memo's text as an Effect has it: cut to 256 bytes between characters, empty if it is not UTF-8.
func ReadMemo(data []byte) string {
	if !utf8.Valid(data) {
		return ""
	}
	data = data[:min(len(data), 256)]
	for !utf8.Valid(data) {
		data = data[:len(data)-1]
	}
	return string(data)
}

// Check says what is wrong with the form of a batch; what the chain holds is not looked at.
func (b Batch) Check() error {
	switch {
	case b.Memo == "" || len(b.Memo) > MaxMemo || !utf8.ValidString(b.Memo):
		return fmt.Errorf("a batch's memo has 1 to %d bytes of UTF-8, not %d: %w", MaxMemo, len(b.Memo), ErrBatch)
	case len(b.Transfers) > MaxTransfers:
		return fmt.Errorf("a batch has at most %d transfers, not %d: %w", MaxTransfers, len(b.Transfers), ErrBatch)
	case b.Burn < 0 || b.Burn > 0 && len(b.Transfers) > 0:
		return fmt.Errorf("a batch transfers or burns: %w", ErrBatch)
	case len(b.Transfers) == 0 && b.Burn == 0 && (b.Mint != Mint{} || b.From != ""):
		return fmt.Errorf("a memo alone has no mint and no account: %w", ErrBatch)
	}
	for i, t := range b.Transfers {
		if t.Amount <= 0 || t.Account == b.From {
			return fmt.Errorf("transfer %d of %d minor units to %s: %w", i, t.Amount, t.Account, ErrBatch)
		}
	}
	return nil
}

// Builder makes transactions. It needs no line to a node and no key.
type Builder interface {
	// Message is what the owner signs (Ed25519).
	Message(batch Batch, blockhash string) ([]byte, error)
	// Assemble puts the signature to the message: the transaction's bytes and its name.
	Assemble(message, signature []byte) (raw []byte, name Signature, err error)
	// TokenAccount is the wallet's associated token account for the mint.
	TokenAccount(wallet Address, mint Mint) (Address, error)
	// Read is the inverse of Message and Assemble: what raw bytes do. Who signs or sends looks before.
	Read(raw []byte) (batch Batch, blockhash string, err error)
}

// Package solana is the chain port on a Solana node's JSON-RPC, by gagliardetto/solana-go. It is the only package of the product proper that
// imports that library, so that another can take its place.
//
// It reads at the commitment `finalized` only, credits nothing by what an instruction says (see Effect), logs nothing, and puts a limit on the
// length of every answer and the time of every call. Money's facts behind it stand in billing/DESIGN.md.
package solana

import (
	"context"
	"fmt"
	"time"

	solanago "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"

	"raylink/billing/settle/chain"
)

// The token programs. Only the first one's tokens are taken: mints of the second may charge fees, move holders' tokens or stop transfers.
const (
	TokenProgram     chain.Address = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
	Token2022Program chain.Address = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
)

// Config of a line to one node.
type Config struct {
	URL     string            // http or https; a secret, where a provider's key is in it
	Headers map[string]string // for a provider's key; a secret
	Timeout time.Duration     // of each call, 10 s if zero
}

// Client is a chain.Reader and chain.Sender on one node. It is safe for several goroutines.
type Client struct {
	line *line
	rpc  *rpc.Client
}

// New is a client of the node; it makes no call.
func New(cfg Config) (*Client, error) {
	line, err := newLine(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{line: line, rpc: rpc.NewWithCustomRPCClient(line)}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.line.client.CloseIdleConnections() }

// Call makes a call that the port has no method for, such as a local chain's own ones.
func (c *Client) Call(ctx context.Context, out any, method string, params ...any) error {
	if err := c.line.CallForInto(ctx, out, method, params); err != nil {
		return plain("calling "+method, err)
	}
	return nil
}

// Blockhash is the latest one at the commitment `finalized`: one of a branch that loses would make the transaction worthless.
func (c *Client) Blockhash(ctx context.Context) (chain.Blockhash, error) {
	got, err := c.rpc.GetLatestBlockhash(ctx, rpc.CommitmentFinalized)
	if err != nil {
		return chain.Blockhash{}, plain("asking for a blockhash", err)
	}
	if got == nil || got.Value == nil || got.Value.Blockhash.IsZero() || got.Value.LastValidBlockHeight == 0 {
		return chain.Blockhash{}, fmt.Errorf("asking for a blockhash: the node names none")
	}
	return chain.Blockhash{Hash: got.Value.Blockhash.String(), LastValidHeight: got.Value.LastValidBlockHeight}, nil
}

// Send hands the transaction to the node, after a preflight on the node's confirmed state (which costs nothing where it refuses). The node is
// told to send it on once: who wants it sent again does so.
func (c *Client) Send(ctx context.Context, raw []byte) error {
	once := uint(0)
	opts := rpc.TransactionOpts{PreflightCommitment: rpc.CommitmentConfirmed, MaxRetries: &once}
	name, err := c.rpc.SendRawTransactionWithOpts(ctx, raw, opts)
	if err != nil {
		return refusal(err, transfersIn(raw))
	}
	if len(raw) < 65 || name != solanago.SignatureFromBytes(raw[1:65]) {
		return fmt.Errorf("sending a transaction: the node answered with the name of another one")
	}
	return nil
}

// Status asks with a search of the node's whole history: without it a node knows only the last minutes.
func (c *Client) Status(ctx context.Context, signature chain.Signature) (chain.Status, error) {
	name, err := signatureOf(signature)
	if err != nil {
		return chain.Status{}, err
	}
	got, err := c.rpc.GetSignatureStatuses(ctx, true, name)
	if err != nil {
		return chain.Status{}, plain("asking for a transaction's status", err)
	}
	if len(got.Value) != 1 {
		return chain.Status{}, fmt.Errorf("asking for a transaction's status: %d answers to one question", len(got.Value))
	}
	found := got.Value[0]
	if found == nil {
		return chain.Status{Stage: chain.Unknown}, nil
	}
	out := chain.Status{Stage: chain.Seen, Slot: found.Slot}
	if found.ConfirmationStatus == rpc.ConfirmationStatusFinalized {
		out.Stage = chain.Finalized
		if found.Err != nil {
			out.Stage = chain.Failed
		}
	}
	if found.Err != nil {
		out.Code, _, out.Reason = explain(found.Err)
	}
	return out, nil
}

// Height is the finalized block height (which is not the slot: slots may be empty).
func (c *Client) Height(ctx context.Context) (uint64, error) {
	height, err := c.rpc.GetBlockHeight(ctx, rpc.CommitmentFinalized)
	if err != nil {
		return 0, plain("asking for the height", err)
	}
	return height, nil
}

// Lamports is how much SOL the wallet has for fees, in lamports, finalized.
func (c *Client) Lamports(ctx context.Context, wallet chain.Address) (uint64, error) {
	key, err := keyOf(wallet)
	if err != nil {
		return 0, err
	}
	got, err := c.rpc.GetBalance(ctx, key, rpc.CommitmentFinalized)
	if err != nil {
		return 0, plain("asking for a wallet's SOL", err)
	}
	if got == nil {
		return 0, fmt.Errorf("asking for a wallet's SOL: the node names none")
	}
	return got.Value, nil
}

func keyOf(address chain.Address) (solanago.PublicKey, error) {
	raw, err := address.Bytes()
	if err != nil {
		return solanago.PublicKey{}, err
	}
	return solanago.PublicKeyFromBytes(raw), nil
}

func signatureOf(name chain.Signature) (solanago.Signature, error) {
	raw, err := chain.DecodeBase58(string(name))
	if err != nil || len(raw) != 64 {
		return solanago.Signature{}, fmt.Errorf("reading signature %.100q: %w", string(name), chain.ErrBase58)
	}
	return solanago.SignatureFromBytes(raw), nil
}

func addressOf(key solanago.PublicKey) chain.Address {
	return chain.Address(chain.EncodeBase58(key[:]))
}

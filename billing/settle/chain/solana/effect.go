package solana

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	solanago "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"

	"raylink/billing/settle/chain"
)

const maxListed = 16

// Effect implements chain.Reader. What counts is the difference of the account's token balance, which the node computed when it executed the
// transaction; how the transaction did it (wallets put all kinds of instructions around a transfer) is not looked at.
func (c *Client) Effect(ctx context.Context, signature chain.Signature, account chain.Address) (chain.Effect, error) {
	name, err := signatureOf(signature)
	if err != nil {
		return chain.Effect{}, err
	}
	key, err := keyOf(account)
	if err != nil {
		return chain.Effect{}, err
	}
	version := uint64(0)
	got, err := c.rpc.GetTransaction(ctx, name, &rpc.GetTransactionOpts{
		Encoding: solanago.EncodingBase64, Commitment: rpc.CommitmentFinalized, MaxSupportedTransactionVersion: &version,
	})
	if errors.Is(err, rpc.ErrNotFound) {
		return chain.Effect{}, fmt.Errorf("reading transaction %s: %w", signature, chain.ErrUnknown)
	}
	if err != nil {
		return chain.Effect{}, plain("reading transaction "+string(signature), err)
	}
	out, err := effectOf(got, name, key)
	if err != nil {
		return chain.Effect{}, fmt.Errorf("reading transaction %s: %w", signature, err)
	}
	return out, nil
}

func effectOf(got *rpc.GetTransactionResult, name solanago.Signature, account solanago.PublicKey) (chain.Effect, error) {
	if got.Meta == nil || got.Transaction == nil {
		return chain.Effect{}, errors.New("the node leaves out what it did")
	}
	tx, err := got.Transaction.GetTransaction()
	if err != nil || tx == nil {
		return chain.Effect{}, errors.New("its bytes are not a transaction")
	}
	if len(tx.Signatures) == 0 || tx.Signatures[0] != name {
		return chain.Effect{}, errors.New("the node answered with another transaction")
	}
	keys := slices.Concat(tx.Message.AccountKeys, got.Meta.LoadedAddresses.Writable, got.Meta.LoadedAddresses.ReadOnly)
	out := chain.Effect{
		Signature: chain.SignatureOf(name[:]), Account: addressOf(account), Slot: got.Slot, Failed: got.Meta.Err != nil,
		Memo: memoOf(tx, got.Meta, keys), References: references(tx, got.Meta, keys, account),
	}
	if len(keys) > 0 {
		out.Payer = addressOf(keys[0])
	}
	if got.BlockTime != nil {
		out.At = time.Unix(int64(*got.BlockTime), 0).UTC()
	}
	index := slices.Index(keys, account)
	if index < 0 {
		return out, nil
	}
	if err := addBalances(&out, got.Meta, uint16(index)); err != nil {
		return chain.Effect{}, err
	}
	return out, nil
}

// addBalances fills in what the transaction did to the account with this index. An account that was opened has no balance before, one that was
// closed none after.
func addBalances(out *chain.Effect, meta *rpc.TransactionMeta, index uint16) error {
	before, after := balanceAt(meta.PreTokenBalances, index), balanceAt(meta.PostTokenBalances, index)
	now := after
	if now == nil {
		now = before
	}
	if now == nil {
		return nil
	}
	out.Mint, out.Decimals = addressOf(now.Mint), int(now.UiTokenAmount.Decimals)
	if now.ProgramId != nil {
		out.Program = addressOf(*now.ProgramId)
	}
	if out.Failed {
		return nil
	}
	old, err := amountOf(before, now.Mint)
	if err != nil {
		return err
	}
	fresh, err := amountOf(after, now.Mint)
	if err != nil {
		return err
	}
	out.Delta = fresh - old // both are between 0 and 2^63-1
	out.Senders = senders(meta, now.Mint)
	return nil
}

func balanceAt(balances []rpc.TokenBalance, index uint16) *rpc.TokenBalance {
	for i := range balances {
		if balances[i].AccountIndex == index && balances[i].UiTokenAmount != nil {
			return &balances[i]
		}
	}
	return nil
}

// amountOf is the balance in minor units; one of another mint (an address that was closed and opened anew) counts as none.
func amountOf(balance *rpc.TokenBalance, mint solanago.PublicKey) (int64, error) {
	if balance == nil || balance.Mint != mint {
		return 0, nil
	}
	amount, err := strconv.ParseInt(balance.UiTokenAmount.Amount, 10, 64)
	if err != nil || amount < 0 {
		return 0, fmt.Errorf("%.40q is not an amount of up to 63 bits", balance.UiTokenAmount.Amount)
	}
	return amount, nil
}

// senders are the owners whose balance of the mint fell, in the order of the transaction's accounts.
func senders(meta *rpc.TransactionMeta, mint solanago.PublicKey) []chain.Address {
	var out []chain.Address
	for i := range meta.PreTokenBalances {
		before := &meta.PreTokenBalances[i]
		if before.Mint != mint || before.Owner == nil || before.UiTokenAmount == nil || len(out) == maxListed {
			continue
		}
		old, err := amountOf(before, mint)
		if err != nil {
			continue
		}
		now, err := amountOf(balanceAt(meta.PostTokenBalances, before.AccountIndex), mint)
		owner := addressOf(*before.Owner)
		if err == nil && now < old && !slices.Contains(out, owner) {
			out = append(out, owner)
		}
	}
	return out
}

// instruction is one of the transaction's own or of those that its programs called.
type instruction struct {
	program  uint16
	accounts []uint16
	data     []byte
}

// instructions are the transaction's own, then the inner ones.
func instructions(tx *solanago.Transaction, meta *rpc.TransactionMeta) []instruction {
	var out []instruction
	for _, i := range tx.Message.Instructions {
		out = append(out, instruction{i.ProgramIDIndex, i.Accounts, i.Data})
	}
	for _, group := range meta.InnerInstructions {
		for _, i := range group.Instructions {
			out = append(out, instruction{i.ProgramIDIndex, i.Accounts, i.Data})
		}
	}
	return out
}

// memoOf reads the first memo from its instruction's data: what programs log of it differs between their versions.
func memoOf(tx *solanago.Transaction, meta *rpc.TransactionMeta, keys solanago.PublicKeySlice) string {
	for _, i := range instructions(tx, meta) {
		if int(i.program) >= len(keys) {
			continue
		}
		if program := keys[i.program]; program != solanago.MemoProgramID && program != solanago.MemoProgramIDV1 {
			continue
		}
		return chain.ReadMemo(i.data)
	}
	return ""
}

// references are the read-only accounts that do not sign: first those of instructions that name our account, as Solana Pay wants them, so that
// a transaction with many others cannot push them out of the list. Programs that run and mints that move are none.
func references(tx *solanago.Transaction, meta *rpc.TransactionMeta, keys solanago.PublicKeySlice, account solanago.PublicKey) []chain.Address {
	skip, near := map[uint16]bool{}, []uint16{}
	for _, i := range instructions(tx, meta) {
		skip[i.program] = true
		ours := slices.ContainsFunc(i.accounts, func(a uint16) bool { return int(a) < len(keys) && keys[a] == account })
		if ours {
			near = append(near, i.accounts...)
		}
	}
	for i := range keys {
		near = append(near, uint16(i))
	}
	mints := map[solanago.PublicKey]bool{}
	for _, balance := range slices.Concat(meta.PreTokenBalances, meta.PostTokenBalances) {
		mints[balance.Mint] = true
	}
	var out []chain.Address
	for _, index := range near {
		if int(index) >= len(keys) || skip[index] || mints[keys[index]] || !readOnly(&tx.Message, meta, int(index)) {
			continue
		}
		skip[index] = true
		if out = append(out, addressOf(keys[index])); len(out) == maxListed {
			break
		}
	}
	return out
}

// readOnly says that the account neither signs nor may be written. Keys from lookup tables follow the message's own, the writable ones first.
func readOnly(message *solanago.Message, meta *rpc.TransactionMeta, index int) bool {
	own := len(message.AccountKeys)
	if index >= own {
		return index >= own+len(meta.LoadedAddresses.Writable)
	}
	return index >= int(message.Header.NumRequiredSignatures) && index >= own-int(message.Header.NumReadonlyUnsignedAccounts)
}

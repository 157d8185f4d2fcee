package solana

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"

	solanago "github.com/gagliardetto/solana-go"
	computebudget "github.com/gagliardetto/solana-go/programs/compute-budget"
	"github.com/gagliardetto/solana-go/programs/memo"
	"github.com/gagliardetto/solana-go/programs/token"

	"raylink/billing/settle/chain"
)

// What a transaction asks for. A transfer costs some 105 compute units with the token program of 2026 and some 6,200 with the one before it, a
// signerless memo of 128 bytes below 30,000. The fee is 5,000 lamports and limit × price / 10^6: at most some 1,500 more at the default price.
const (
	budgetInstructions = 2 // the limit, then the price
	baseUnits          = 30_000
	unitsPerTransfer   = 7_500
	defaultUnitPrice   = 10_000     // micro-lamports per compute unit
	maxUnitPrice       = 50_000_000 // above it the fee of one batch could reach 0.0073 SOL: no price of ours
	maxTransaction     = 1232       // bytes
)

// Builder makes and reads transactions of ours: limit and price of compute units, then TransferChecked for each transfer or one BurnChecked, then
// the memo; one signature, no lookup table. The zero value knows no mint.
type Builder struct {
	UnitPrice uint64 // micro-lamports per compute unit; 10,000 if zero
	mints     []chain.Mint
}

// NewBuilder is a builder for batches of these mints and no other.
func NewBuilder(mints ...chain.Mint) *Builder { return &Builder{mints: mints} }

// TokenAccount implements chain.Builder.
func (b *Builder) TokenAccount(wallet chain.Address, mint chain.Mint) (chain.Address, error) {
	owner, err := keyOf(wallet)
	if err != nil {
		return "", err
	}
	token, err := keyOf(mint.Address)
	if err != nil {
		return "", err
	}
	program, err := keyOf(mint.Program)
	if err != nil {
		return "", err
	}
	account, _, err := solanago.FindAssociatedTokenAddressWithProgram(owner, token, program)
	if err != nil {
		return "", fmt.Errorf("deriving the token account of %s: %w", wallet, err)
	}
	return addressOf(account), nil
}

// Message implements chain.Builder.
func (b *Builder) Message(batch chain.Batch, blockhash string) ([]byte, error) {
	price := b.UnitPrice
	if price == 0 {
		price = defaultUnitPrice
	}
	return b.message(batch, blockhash, price)
}

func (b *Builder) message(batch chain.Batch, blockhash string, price uint64) ([]byte, error) {
	if err := batch.Check(); err != nil {
		return nil, err
	}
	if price > maxUnitPrice {
		return nil, fmt.Errorf("a price of %d micro-lamports per unit is above %d: %w", price, uint64(maxUnitPrice), chain.ErrBatch)
	}
	owner, err := keyOf(batch.Owner)
	if err != nil {
		return nil, err
	}
	hash, err := chain.Address(blockhash).Bytes()
	if err != nil {
		return nil, fmt.Errorf("reading blockhash %.60q: %w", blockhash, err)
	}
	moves, err := b.moves(batch, owner)
	if err != nil {
		return nil, err
	}
	limit := uint32(baseUnits + unitsPerTransfer*len(moves))
	list := []solanago.Instruction{
		computebudget.NewSetComputeUnitLimitInstruction(limit).Build(),
		computebudget.NewSetComputeUnitPriceInstruction(price).Build(),
	}
	list = append(list, moves...)
	list = append(list, memo.NewMemoInstructionBuilder().SetMessage([]byte(batch.Memo)).Build())
	tx, err := solanago.NewTransaction(list, solanago.HashFromBytes(hash), solanago.TransactionPayer(owner))
	if err != nil {
		return nil, fmt.Errorf("building a transaction: %w", err)
	}
	message, err := tx.Message.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("building a transaction: %w", err)
	}
	if size := len(message) + 1 + ed25519.SignatureSize; size > maxTransaction {
		return nil, fmt.Errorf("the batch makes a transaction of %d bytes, more than %d: %w", size, maxTransaction, chain.ErrBatch)
	}
	return message, nil
}

// moves are the instructions that move tokens.
func (b *Builder) moves(batch chain.Batch, owner solanago.PublicKey) ([]solanago.Instruction, error) {
	if len(batch.Transfers) == 0 && batch.Burn == 0 {
		return nil, nil
	}
	mint, err := b.known(batch.Mint.Address)
	if err != nil {
		return nil, err
	}
	if mint != batch.Mint || mint.Decimals < 0 || mint.Decimals > math.MaxUint8 {
		return nil, fmt.Errorf("the batch's mint %+v is not the configured %+v: %w", batch.Mint, mint, chain.ErrBatch)
	}
	address, err := keyOf(mint.Address)
	if err != nil {
		return nil, err
	}
	program, err := keyOf(mint.Program)
	if err != nil {
		return nil, err
	}
	from, err := keyOf(batch.From)
	if err != nil {
		return nil, err
	}
	if batch.Burn > 0 {
		burn := token.NewBurnCheckedInstruction(uint64(batch.Burn), uint8(mint.Decimals), from, address, owner, nil).Build()
		return []solanago.Instruction{burn.SetProgramID(program)}, nil
	}
	var out []solanago.Instruction
	for _, t := range batch.Transfers {
		to, err := keyOf(t.Account)
		if err != nil {
			return nil, err
		}
		move := token.NewTransferCheckedInstruction(uint64(t.Amount), uint8(mint.Decimals), from, address, to, owner, nil).Build()
		out = append(out, move.SetProgramID(program))
	}
	return out, nil
}

func (b *Builder) known(mint chain.Address) (chain.Mint, error) {
	for _, m := range b.mints {
		if m.Address == mint {
			return m, nil
		}
	}
	return chain.Mint{}, fmt.Errorf("%.60q is none of the configured mints: %w", string(mint), chain.ErrBatch)
}

// Assemble implements chain.Builder. A signature that is not the fee payer's over the message is refused.
func (b *Builder) Assemble(message, signature []byte) ([]byte, chain.Signature, error) {
	if len(signature) != ed25519.SignatureSize {
		return nil, "", fmt.Errorf("a signature of %d bytes: %w", len(signature), chain.ErrBatch)
	}
	raw := append([]byte{1}, signature...)
	raw = append(raw, message...)
	if _, _, err := b.Read(raw); err != nil {
		return nil, "", err
	}
	return raw, chain.SignatureOf(signature), nil
}

// Read implements chain.Builder. It is strict: what it answers, built again, gives the same bytes (the price per unit may be another builder's),
// and the signature is the owner's.
func (b *Builder) Read(raw []byte) (chain.Batch, string, error) {
	tx, err := decode(raw)
	if err != nil {
		return chain.Batch{}, "", err
	}
	batch, price, err := b.read(tx)
	if err != nil {
		return chain.Batch{}, "", err
	}
	blockhash := tx.Message.RecentBlockhash.String()
	message, err := b.message(batch, blockhash, price)
	if err != nil {
		return chain.Batch{}, "", err
	}
	head := 1 + ed25519.SignatureSize
	if !bytes.Equal(message, raw[head:]) {
		return chain.Batch{}, "", fmt.Errorf("the transaction does something beside its batch: %w", chain.ErrBatch)
	}
	if payer := tx.Message.AccountKeys[0]; !ed25519.Verify(payer[:], message, raw[1:head]) {
		return chain.Batch{}, "", fmt.Errorf("the signature is not the owner's: %w", chain.ErrBatch)
	}
	return batch, blockhash, nil
}

// decode reads a legacy transaction with one signature.
func decode(raw []byte) (tx *solanago.Transaction, err error) {
	const shortest = 1 + ed25519.SignatureSize + 3 + 1 + 32 + 32 + 1
	if len(raw) < shortest || len(raw) > maxTransaction || raw[0] != 1 || raw[1+ed25519.SignatureSize]&0x80 != 0 {
		return nil, fmt.Errorf("%d bytes that are no legacy transaction with one signature: %w", len(raw), chain.ErrBatch)
	}
	tx, err = solanago.TransactionFromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("bytes that are no transaction: %w", chain.ErrBatch)
	}
	if len(tx.Message.AccountKeys) == 0 || len(tx.Signatures) != 1 {
		return nil, fmt.Errorf("a transaction without accounts: %w", chain.ErrBatch)
	}
	return tx, nil
}

// transfersIn is how many transfers a transaction of ours holds; 0 for any other one.
func transfersIn(raw []byte) int {
	tx, err := decode(raw)
	if err != nil {
		return 0
	}
	n := 0
	for _, i := range tx.Message.Instructions {
		if len(i.Data) == 10 && i.Data[0] == token.Instruction_TransferChecked {
			n++
		}
	}
	return n
}

// read takes the batch and the price per unit out of a transaction. What it overlooks, Read finds by building it again.
func (b *Builder) read(tx *solanago.Transaction) (chain.Batch, uint64, error) {
	list := tx.Message.Instructions
	strange := fmt.Errorf("instructions that are not a batch's: %w", chain.ErrBatch)
	if len(list) < budgetInstructions+1 || len(list[1].Data) != 9 {
		return chain.Batch{}, 0, strange
	}
	last := list[len(list)-1]
	batch := chain.Batch{Owner: addressOf(tx.Message.AccountKeys[0]), Memo: string(last.Data)}
	key := func(i solanago.CompiledInstruction, n int) chain.Address {
		if n >= len(i.Accounts) || int(i.Accounts[n]) >= len(tx.Message.AccountKeys) {
			return ""
		}
		return addressOf(tx.Message.AccountKeys[i.Accounts[n]])
	}
	for _, i := range list[budgetInstructions : len(list)-1] {
		if len(i.Data) != 10 { // kind, amount, decimals
			return chain.Batch{}, 0, strange
		}
		amount := binary.LittleEndian.Uint64(i.Data[1:9])
		if amount == 0 || amount > math.MaxInt64 {
			return chain.Batch{}, 0, strange
		}
		switch i.Data[0] {
		case token.Instruction_TransferChecked:
			batch.Transfers = append(batch.Transfers, chain.Transfer{Account: key(i, 2), Amount: int64(amount)})
		case token.Instruction_BurnChecked:
			batch.Burn = int64(amount)
		default:
			return chain.Batch{}, 0, strange
		}
		mint, err := b.known(key(i, 1))
		if err != nil {
			return chain.Batch{}, 0, err
		}
		batch.Mint, batch.From = mint, key(i, 0)
	}
	return batch, binary.LittleEndian.Uint64(list[1].Data[1:9]), nil
}

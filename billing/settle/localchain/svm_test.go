package localchain_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	solanago "github.com/gagliardetto/solana-go"
	tables "github.com/gagliardetto/solana-go/programs/address-lookup-table"
	ata "github.com/gagliardetto/solana-go/programs/associated-token-account"
	"github.com/gagliardetto/solana-go/programs/memo"
	"github.com/gagliardetto/solana-go/programs/system"
	"github.com/gagliardetto/solana-go/programs/token"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
)

// house is a chain with a treasury that holds USDC and a receiver.
type house struct {
	*localchain.Chain
	t                   *testing.T
	ctx                 context.Context
	authority, treasury ed25519.PrivateKey
	usdc                chain.Mint
	account             chain.Address // the treasury's
}

const thousand = 1_000_000_000 // USDC's minor units

func newHouse(t *testing.T, c *localchain.Chain) *house {
	t.Helper()
	h := &house{Chain: c, t: t, ctx: t.Context()}
	h.authority = got[ed25519.PrivateKey](t)(c.NewWallet(h.ctx))
	h.treasury = got[ed25519.PrivateKey](t)(c.NewWallet(h.ctx))
	h.usdc = got[chain.Mint](t)(c.CreateMint(h.ctx, h.authority, money.USDC, 6))
	h.account = h.open(h.treasury)
	h.fund(h.account, thousand)
	return h
}

func (h *house) open(wallet ed25519.PrivateKey) chain.Address {
	h.t.Helper()
	return got[chain.Address](h.t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(wallet), h.usdc))
}

func (h *house) fund(account chain.Address, amount int64) {
	h.t.Helper()
	_, err := h.MintTo(h.ctx, h.authority, h.usdc, account, amount)
	must(h.t, err)
}

func (h *house) tick(n int) {
	h.t.Helper()
	_, err := h.Tick(h.ctx, n)
	must(h.t, err)
}

// newest is the blockhash of this very slot.
func (h *house) newest() (hash string, last uint64) {
	h.t.Helper()
	var out struct {
		Value struct {
			Blockhash            string
			LastValidBlockHeight uint64
		}
	}
	must(h.t, h.Client().Call(h.ctx, &out, "getLatestBlockhash", map[string]string{"commitment": "processed"}))
	return out.Value.Blockhash, out.Value.LastValidBlockHeight
}

// batch is a transaction of ours that pays 12.345678 to the account.
func (h *house) batch(to chain.Address, note, hash string) (raw []byte, name chain.Signature) {
	h.t.Helper()
	builder := solana.NewBuilder(h.usdc)
	message, err := builder.Message(chain.Batch{
		Mint: h.usdc, From: h.account, Owner: localchain.AddressOf(h.treasury), Memo: note,
		Transfers: []chain.Transfer{{Account: to, Amount: 12_345_678}},
	}, hash)
	must(h.t, err)
	raw, name, err = builder.Assemble(message, ed25519.Sign(h.treasury, message))
	must(h.t, err)
	return raw, name
}

func (h *house) final(account chain.Address) int64 {
	h.t.Helper()
	must(h.t, h.TickFinal(h.ctx))
	return got[chain.TokenAccount](h.t)(h.Client().Account(h.ctx, account)).Amount
}

func refused(t *testing.T, err error, code chain.FailureCode, words string) {
	t.Helper()
	var said *chain.RefusedError
	if !errors.As(err, &said) || said.Code != code || !strings.Contains(said.Reason, words) {
		t.Fatalf("%v, wanted a refusal with %s and %q", err, code, words)
	}
}

func key(t testing.TB, address chain.Address) solanago.PublicKey {
	t.Helper()
	return solanago.PublicKeyFromBytes(got[[]byte](t)(address.Bytes()))
}

// TestRefusalsOfRealPrograms is what the token programs say, number by number.
func TestRefusalsOfRealPrograms(t *testing.T) {
	h := newHouse(t, start(t))
	other := got[chain.Mint](t)(h.CreateMint(h.ctx, h.authority, money.IO, 8))
	payee := got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx))
	to := h.open(payee)
	foreign := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(payee), other))
	nobody := localchain.AddressOf(localchain.NewKey())
	missing := got[chain.Address](t)((&solana.Builder{}).TokenAccount(nobody, h.usdc))
	owner := key(t, localchain.AddressOf(h.treasury))
	move := func(amount uint64, decimals uint8, from, mint, to chain.Address, by ed25519.PrivateKey) error {
		ins := token.NewTransferCheckedInstruction(amount, decimals, key(t, from), key(t, mint), key(t, to), key(t, localchain.AddressOf(by)), nil).Build()
		_, err := h.Submit(h.ctx, []solanago.Instruction{ins}, by)
		return err
	}
	refused(t, move(thousand+1, 6, h.account, h.usdc.Address, to, h.treasury), chain.Insufficient, "Custom(1)")
	refused(t, move(1, 6, h.account, other.Address, to, h.treasury), chain.WrongMint, "Custom(3)")
	refused(t, move(1, 6, h.account, h.usdc.Address, foreign, h.treasury), chain.WrongMint, "Custom(3)")
	refused(t, move(1, 6, h.account, h.usdc.Address, to, payee), chain.WrongOwner, "Custom(4)")
	refused(t, move(1, 8, h.account, h.usdc.Address, to, h.treasury), chain.WrongDecimals, "Custom(18)")
	refused(t, move(1, 6, h.account, h.usdc.Address, missing, h.treasury), chain.NoAccount, "InvalidAccountData")
	must(t, h.Freeze(h.ctx, h.authority, h.usdc, to))
	refused(t, move(1, 6, h.account, h.usdc.Address, to, h.treasury), chain.Frozen, "Custom(17)")
	must(t, h.Thaw(h.ctx, h.authority, h.usdc, to))
	must(t, move(1, 6, h.account, h.usdc.Address, to, h.treasury))
	burn := token.NewBurnCheckedInstruction(1, 8, key(t, h.account), key(t, h.usdc.Address), owner, nil).Build()
	_, err := h.Submit(h.ctx, []solanago.Instruction{burn}, h.treasury)
	refused(t, err, chain.WrongDecimals, "Custom(18)")
	if left := h.final(h.account); left != thousand-1 {
		t.Fatalf("the treasury holds %d", left)
	}
	hash, _ := h.newest()
	raw, _ := h.batch(to, "flipped", hash)
	raw[7] ^= 1
	refused(t, h.Client().Send(h.ctx, raw), chain.Other, "signature verification")
	refused(t, h.Client().Send(h.ctx, make([]byte, 1233)), chain.Other, "too large: 1644 bytes (max: encoded/raw 1644/1232)")
	poor := localchain.NewKey()
	_, err = h.Submit(h.ctx, []solanago.Instruction{memo.NewMemoInstructionBuilder().SetMessage([]byte("poor")).Build()}, poor)
	refused(t, err, chain.Other, "AccountNotFound")
}

// TestAgeOfBlockhash walks over the edge: 149 and 150 blocks old is taken, 151 and 152 is not.
func TestAgeOfBlockhash(t *testing.T) {
	h := newHouse(t, start(t))
	to := h.open(localchain.NewKey())
	for age, taken := range map[int]bool{149: true, 150: true, 151: false, 152: false} {
		hash, last := h.newest()
		raw, _ := h.batch(to, fmt.Sprint("age ", age), hash)
		height := got[uint64](t)(h.Tick(h.ctx, age))
		if (height <= last) != taken {
			t.Fatalf("age %d: height %d, last %d", age, height, last)
		}
		err := h.Client().Send(h.ctx, raw)
		if taken {
			must(t, err)
			continue
		}
		refused(t, err, chain.Expired, "BlockhashNotFound")
		var name string
		must(t, h.Client().Call(h.ctx, &name, "sendTransaction", encode(raw), map[string]any{"encoding": "base64", "skipPreflight": true}))
		if status := got[chain.Status](t)(h.Client().Status(h.ctx, chain.Signature(name))); status.Stage != chain.Unknown {
			t.Fatalf("an old one without preflight is %s", status.Stage)
		}
	}
	if held := h.final(to); held != 2*12_345_678 {
		t.Fatalf("%d arrived", held)
	}
}

// TestWhatAPayoutCosts: two fees of the network and no more; a refusal costs nothing, a failure on the chain its fee.
func TestWhatAPayoutCosts(t *testing.T) {
	h := newHouse(t, start(t))
	to := h.open(localchain.NewKey())
	sol := func() uint64 {
		must(t, h.TickFinal(h.ctx))
		return got[uint64](t)(h.Client().Lamports(h.ctx, localchain.AddressOf(h.treasury)))
	}
	begin := sol()
	hash, _ := h.newest()
	raw, _ := h.batch(to, "cost", hash)
	must(t, h.Client().Send(h.ctx, raw))
	if spent := begin - sol(); spent != 5000+375 { // 37,500 units at 10,000 micro-lamports
		t.Fatalf("a payout cost %d lamports", spent)
	}
	refused(t, h.Client().Send(h.ctx, raw), chain.Replayed, "AlreadyProcessed")
	if spent := begin - sol(); spent != 5375 {
		t.Fatalf("a refusal cost %d lamports", spent-5375)
	}
}

// TestDurableNonce: a transaction on a nonce lands hundreds of slots later, once, and uses the nonce up.
func TestDurableNonce(t *testing.T) {
	h := newHouse(t, start(t))
	nonce, owner := localchain.NewKey(), key(t, localchain.AddressOf(h.treasury))
	at := key(t, localchain.AddressOf(nonce))
	_, err := h.Submit(h.ctx, []solanago.Instruction{
		system.NewCreateAccountInstruction(1_447_680, 80, solanago.SystemProgramID, owner, at).Build(),
		system.NewInitializeNonceAccountInstruction(owner, at, solanago.SysVarRecentBlockHashesPubkey, solanago.SysVarRentPubkey).Build(),
	}, h.treasury, nonce)
	must(t, err)
	value := func() string {
		t.Helper()
		var out struct{ Value struct{ Data [2]string } }
		must(t, h.Client().Call(h.ctx, &out, "getAccountInfo", string(localchain.AddressOf(nonce)), map[string]string{"encoding": "base64", "commitment": "processed"}))
		state := got[*solanago.NonceVersions](t)(solanago.DecodeNonceVersions(decode(t, out.Value.Data[0])))
		return state.State.Data.Blockhash().String()
	}
	pay := func(to chain.Address, note, hash string) []byte {
		t.Helper()
		list := []solanago.Instruction{
			system.NewAdvanceNonceAccountInstruction(at, solanago.SysVarRecentBlockHashesPubkey, owner).Build(),
			token.NewTransferCheckedInstruction(5, 6, key(t, h.account), key(t, h.usdc.Address), key(t, to), owner, nil).Build(),
			memo.NewMemoInstructionBuilder().SetMessage([]byte(note)).Build(),
		}
		raw, _, err := localchain.Sign(list, hash, h.treasury)
		must(t, err)
		return raw
	}
	to, first := h.open(localchain.NewKey()), value()
	raw, second := pay(to, "one", first), pay(to, "two", first)
	h.tick(400)
	must(t, h.Client().Send(h.ctx, raw))
	refused(t, h.Client().Send(h.ctx, raw), chain.Replayed, "AlreadyProcessed")
	h.tick(1)
	refused(t, h.Client().Send(h.ctx, second), chain.Expired, "BlockhashNotFound")
	now := value()
	if now == first {
		t.Fatal("the nonce was not used up")
	}
	failing := pay(h.open(localchain.NewKey()), "three", now)
	must(t, h.Freeze(h.ctx, h.authority, h.usdc, h.account))
	must(t, h.Fault(h.ctx, localchain.NoPreflight, 1))
	must(t, h.Client().Send(h.ctx, failing))
	if value() == now {
		t.Fatal("a failed transaction left its nonce unused")
	}
	must(t, h.Thaw(h.ctx, h.authority, h.usdc, h.account))
	if held := h.final(to); held != 5 {
		t.Fatalf("%d arrived", held)
	}
}

// TestLookupTable: a payment whose accounts come from a table is credited as any other, however many it carries.
func TestLookupTable(t *testing.T) {
	const many = 53 // one more would not fit beside the reference
	h := newHouse(t, start(t))
	payer, owner := h.treasury, key(t, localchain.AddressOf(h.treasury))
	var list solanago.PublicKeySlice
	var wallets []ed25519.PrivateKey
	for range many {
		wallets = append(wallets, localchain.NewKey())
		list = append(list, key(t, h.open(wallets[len(wallets)-1])))
	}
	reference := localchain.AddressOf(localchain.NewKey())
	list = append(list, key(t, reference), key(t, h.usdc.Address))
	table := h.table(payer, list)
	var ins []solanago.Instruction
	for i := range wallets {
		move := token.NewTransferCheckedInstruction(uint64(100+i), 6, key(t, h.account), key(t, h.usdc.Address), list[i], owner, nil)
		ins = append(ins, withKeys(t, move.Build(), key(t, reference), i == many-1))
	}
	hash, _ := h.newest()
	tx, err := solanago.NewTransaction(ins, solanago.HashFromBytes(got[[]byte](t)(chain.Address(hash).Bytes())),
		solanago.TransactionPayer(owner), solanago.TransactionAddressTables(map[solanago.PublicKey]solanago.PublicKeySlice{table: list}))
	must(t, err)
	raw, name, err := localchain.Seal(tx, payer)
	must(t, err)
	must(t, h.Client().Send(h.ctx, raw))
	must(t, h.TickFinal(h.ctx))
	for i, account := range list[:many] {
		got := got[chain.Effect](t)(h.Client().Effect(h.ctx, name, chain.Address(account.String())))
		if got.Delta != int64(100+i) || got.Mint != h.usdc.Address || len(got.Senders) != 1 || got.Senders[0] != localchain.AddressOf(payer) {
			t.Fatalf("transfer %d: %+v", i, got)
		}
		if i == many-1 && (len(got.References) == 0 || got.References[0] != reference) {
			t.Fatalf("references %v, wanted %s", got.References, reference)
		}
	}
	found := got[[]chain.Signature](t)(h.Client().History(h.ctx, reference, "", 10))
	if found[len(found)-1] != name {
		t.Fatal("the reference in the table does not lead to the payment")
	}
	if _, _, err := solana.NewBuilder(h.usdc).Read(raw); err == nil {
		t.Fatal("a transaction with a lookup table was read as a batch of ours")
	}
}

// table makes a lookup table with these keys.
func (h *house) table(payer ed25519.PrivateKey, keys solanago.PublicKeySlice) solanago.PublicKey {
	h.t.Helper()
	h.tick(2)
	var slot uint64
	must(h.t, h.Client().Call(h.ctx, &slot, "getSlot", map[string]string{"commitment": "processed"}))
	owner := key(h.t, localchain.AddressOf(payer))
	create, table, err := tables.NewCreateLookupTableInstruction(owner, owner, slot-1)
	must(h.t, err)
	_, err = h.Submit(h.ctx, []solanago.Instruction{create.Build()}, payer)
	must(h.t, err)
	for len(keys) > 0 {
		n := min(20, len(keys))
		extend := tables.NewExtendLookupTableInstruction(table, owner, owner, keys[:n]).Build()
		_, err = h.Submit(h.ctx, []solanago.Instruction{extend}, payer)
		must(h.t, err)
		keys = keys[n:]
	}
	h.tick(1)
	return table
}

// withKeys is the instruction with one more read-only account, if wanted.
func withKeys(t *testing.T, ins *token.Instruction, extra solanago.PublicKey, wanted bool) solanago.Instruction {
	t.Helper()
	metas := ins.Accounts()
	if wanted {
		metas = append(metas, solanago.Meta(extra))
	}
	return solanago.NewInstruction(ins.ProgramID(), metas, got[[]byte](t)(ins.Data()))
}

// TestTokenWithAFee: a mint of Token-2022 that keeps 2 % is told apart by its program, and is credited by what arrived.
func TestTokenWithAFee(t *testing.T) {
	h := newHouse(t, start(t))
	mint := h.feeMint(200)
	if err := h.Client().Check(h.ctx, mint); err == nil || !strings.Contains(err.Error(), "Token") {
		t.Fatalf("a mint with a fee was taken: %v", err)
	}
	payee := localchain.NewKey()
	from := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(h.authority), mint))
	to := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(payee), mint))
	_, err := h.MintTo(h.ctx, h.authority, mint, from, 1_000_000)
	must(t, err)
	name := got[chain.Signature](t)(h.Pay(h.ctx, localchain.Payment{From: h.authority, To: localchain.AddressOf(payee), Mint: mint, Amount: 100_000}))
	must(t, h.TickFinal(h.ctx))
	effect := got[chain.Effect](t)(h.Client().Effect(h.ctx, name, to))
	if effect.Delta != 98_000 || effect.Program != solana.Token2022Program || effect.Mint != mint.Address {
		t.Fatalf("effect %+v", effect)
	}
	if account := got[chain.TokenAccount](t)(h.Client().Account(h.ctx, to)); account.Amount != 98_000 || account.Program != solana.Token2022Program {
		t.Fatalf("account %+v", account)
	}
}

// feeMint is a mint of Token-2022 with the extension TransferFeeConfig.
func (h *house) feeMint(basisPoints uint16) chain.Mint {
	h.t.Helper()
	const size = 82 + 83 + 1 + 4 + 108 // the mint, padded to an account's length, the kind, the extension's head and body
	mint, owner := localchain.NewKey(), key(h.t, localchain.AddressOf(h.authority))
	at := key(h.t, localchain.AddressOf(mint))
	var fee bytes.Buffer
	fee.Write([]byte{26, 0}) // TransferFeeExtension, InitializeTransferFeeConfig
	for range 2 {            // both authorities
		fee.WriteByte(1)
		fee.Write(owner[:])
	}
	must(h.t, binary.Write(&fee, binary.LittleEndian, struct {
		BasisPoints uint16
		Most        uint64
	}{basisPoints, 1 << 60}))
	var rent uint64
	must(h.t, h.Client().Call(h.ctx, &rent, "getMinimumBalanceForRentExemption", size))
	_, err := h.Submit(h.ctx, []solanago.Instruction{
		system.NewCreateAccountInstruction(rent, size, solanago.Token2022ProgramID, owner, at).Build(),
		solanago.NewInstruction(solanago.Token2022ProgramID, solanago.AccountMetaSlice{solanago.Meta(at).WRITE()}, fee.Bytes()),
		token.NewInitializeMint2Instruction(6, owner, owner, at).Build().SetProgramID(solanago.Token2022ProgramID),
	}, h.authority, mint)
	must(h.t, err)
	return chain.Mint{Asset: money.USDC, Address: localchain.AddressOf(mint), Program: solana.Token2022Program, Decimals: 6}
}

// TestRentFarming shows why we never make a receiver's account anew: who closes it each time pockets its rent.
func TestRentFarming(t *testing.T) {
	h := newHouse(t, start(t))
	supplier := got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx))
	hot := got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx))
	sol := func(who ed25519.PrivateKey) int64 {
		must(t, h.TickFinal(h.ctx))
		return int64(got[uint64](t)(h.Client().Lamports(h.ctx, localchain.AddressOf(who))))
	}
	ours, theirs := sol(hot), sol(supplier)
	for range 3 {
		h.tick(1)
		account := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, hot, localchain.AddressOf(supplier), h.usdc))
		must(t, h.CloseAccount(h.ctx, supplier, account))
	}
	const rent, fee = 2_039_280, 5000
	if lost, won := ours-sol(hot), sol(supplier)-theirs; lost != 3*(rent+fee) || won != 3*(rent-fee) {
		t.Fatalf("three rounds cost us %d and gave them %d lamports", lost, won)
	}
}

// TestWalletsAroundATransfer: what wallets put around a transfer does not change what is credited.
func TestWalletsAroundATransfer(t *testing.T) {
	h := newHouse(t, start(t))
	payer := got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx))
	from := h.open(payer)
	h.fund(from, 1000)
	payment := localchain.Payment{From: payer, To: localchain.AddressOf(h.treasury), Mint: h.usdc, Amount: 300, Memo: "tab"}
	list := got[[]solanago.Instruction](t)(payment.Instructions())
	back := token.NewTransferCheckedInstruction(100, 6, key(t, h.account), key(t, h.usdc.Address), key(t, from), key(t, localchain.AddressOf(h.treasury)), nil).Build()
	create := ata.NewCreateIdempotentInstructionBuilder().SetPayer(key(t, localchain.AddressOf(payer))).
		SetWallet(key(t, localchain.AddressOf(h.treasury))).SetMint(key(t, h.usdc.Address)).Build()
	list = append(list, list[1], back, memo.NewMemoInstructionBuilder().SetMessage([]byte("second")).Build(), create)
	name := got[chain.Signature](t)(h.Submit(h.ctx, list, payer, h.treasury))
	must(t, h.TickFinal(h.ctx))
	effect := got[chain.Effect](t)(h.Client().Effect(h.ctx, name, h.account))
	if effect.Delta != 300+300-100 || effect.Memo != "tab" {
		t.Fatalf("effect %+v", effect)
	}
}

package solana

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	solanago "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/memo"
	"github.com/gagliardetto/solana-go/programs/system"

	"raylink/billing/settle/chain"
)

func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize))
}

func testAddress(n byte) chain.Address {
	return chain.AddressOf(testKey(n).Public().(ed25519.PublicKey))
}

const testHash = "11111111111111111111111111111112"

func testBatch(n int) chain.Batch {
	out := chain.Batch{Mint: Mainnet().USDC, From: testAddress(2), Owner: testAddress(1), Memo: "rl:po:1"}
	for i := range n {
		out.Transfers = append(out.Transfers, chain.Transfer{Account: testAddress(byte(10 + i)), Amount: int64(1) << (i * 4)})
	}
	return out
}

func sealed(t testing.TB, b *Builder, batch chain.Batch) []byte {
	t.Helper()
	message, err := b.Message(batch, testHash)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := b.Assemble(message, ed25519.Sign(testKey(1), message))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestLargestBatchFits into one packet of the network.
func TestLargestBatchFits(t *testing.T) {
	batch := testBatch(chain.MaxTransfers)
	batch.Memo = strings.Repeat("m", chain.MaxMemo)
	if raw := sealed(t, NewBuilder(Mainnet().USDC), batch); len(raw) > maxTransaction {
		t.Fatalf("%d bytes", len(raw))
	}
}

// TestAnotherPrice: two builders with different prices read each other's transactions, up to a price that is none of ours.
func TestAnotherPrice(t *testing.T) {
	dear, cheap := NewBuilder(Mainnet().USDC), NewBuilder(Mainnet().USDC)
	dear.UnitPrice = maxUnitPrice
	if _, _, err := cheap.Read(sealed(t, dear, testBatch(3))); err != nil {
		t.Fatal(err)
	}
	dear.UnitPrice = maxUnitPrice + 1
	if _, err := dear.Message(testBatch(3), testHash); err == nil {
		t.Fatal("a price without measure was taken")
	}
	if _, _, err := NewBuilder(Mainnet().IO).Read(sealed(t, cheap, testBatch(3))); err == nil {
		t.Fatal("a mint that is not configured was read")
	}
}

// TestReadRefusesMore: what signs or sends our batches is never led to sign or send anything beside them.
func TestReadRefusesMore(t *testing.T) {
	b := NewBuilder(Mainnet().USDC)
	owner := testKey(1)
	payer, err := keyOf(testAddress(1))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := solanago.TransactionFromBytes(sealed(t, b, testBatch(2)))
	if err != nil {
		t.Fatal(err)
	}
	var list []solanago.Instruction
	for _, i := range tx.Message.Instructions {
		metas, err := i.ResolveInstructionAccounts(&tx.Message)
		if err != nil {
			t.Fatal(err)
		}
		program, err := tx.ResolveProgramIDIndex(i.ProgramIDIndex)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, solanago.NewInstruction(program, metas, i.Data))
	}
	drain := system.NewTransferInstruction(1, payer, solanago.TokenProgramID).Build()
	extra := memo.NewMemoInstructionBuilder().SetMessage([]byte("twice")).Build()
	cases := map[string][]solanago.Instruction{
		"as it was": list, "SOL too": append(slices.Clone(list), drain), "two memos": append(slices.Clone(list), extra), "no memo": list[:4],
		"no limit": list[1:], "turned": {list[1], list[0], list[2], list[3], list[4]}, "memo between": {list[0], list[1], list[4], list[2], list[3]},
		"SOL between": {list[0], list[1], drain, list[2], list[4]},
	}
	for name, ins := range cases {
		tx, err := solanago.NewTransaction(ins, tx.Message.RecentBlockhash, solanago.TransactionPayer(payer))
		if err != nil {
			t.Fatal(err)
		}
		message, err := tx.Message.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = b.Assemble(message, ed25519.Sign(owner, message))
		if (err == nil) != (name == "as it was") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRead: what is read builds the same bytes again, and nothing panics.
func FuzzRead(f *testing.F) {
	b := NewBuilder(Mainnet().USDC, Mainnet().IO)
	for _, n := range []int{0, 1, 2, chain.MaxTransfers} {
		batch := testBatch(n)
		if n == 0 {
			batch.Burn = 7
		}
		f.Add(sealed(f, b, batch))
	}
	f.Add([]byte{})
	f.Add(slices.Repeat([]byte{1}, maxTransaction))
	f.Fuzz(func(t *testing.T, raw []byte) {
		transfersIn(raw)
		batch, hash, err := b.Read(raw)
		if err != nil {
			return
		}
		message, err := b.Message(batch, hash)
		if err != nil || len(message) != len(raw)-65 { // the price alone may differ
			t.Fatalf("read %+v of other bytes: %v", batch, err)
		}
	})
}

// TestKeyFiles in the form of solana-keygen.
func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "wallet.json")
	if err := WriteKey(path, testKey(3)); err != nil {
		t.Fatal(err)
	}
	got, err := ReadKey(path)
	if err != nil || !got.Equal(testKey(3)) {
		t.Fatalf("read another key: %v", err)
	}
	library, err := solanago.PrivateKeyFromSolanaKeygenFile(path)
	if err != nil || string(library) != string(testKey(3)) {
		t.Fatalf("the library reads another key: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v %v", info.Mode(), err)
	}
	if err := WriteKey(path, testKey(4)); err == nil {
		t.Fatal("a key was written over another")
	}
	for name, text := range map[string]string{"short": "[1,2]", "text": "hello", "big": "[" + strings.Repeat("256,", 63) + "1]", "half": "[" + strings.Repeat("1,", 63) + "1]"} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(bad); err == nil {
			t.Errorf("%s was read as a key", name)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a key that everybody can read: %v", err)
	}
}

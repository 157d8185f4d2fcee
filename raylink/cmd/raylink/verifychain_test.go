package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
	"raylink/billing/verify"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// ring is a treasury on a chain with the real token programs, and the books of what it did.
type ring struct {
	t         *testing.T
	chain     *localchain.Chain
	authority ed25519.PrivateKey
	mint      chain.Mint
	us, ann   ed25519.PrivateKey
	account   chain.Address
	book      *ledger.Ledger
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func of(key ed25519.PrivateKey) chain.Address {
	return chain.AddressOf(key.Public().(ed25519.PublicKey))
}

func startRing(t *testing.T) *ring {
	python := os.Getenv("RAYLINK_PYTHON")
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("the real token programs run with RAYLINK_REAL=1 and RAYLINK_PYTHON=<the environment of raylink/devnet/setup/python.sh>/bin/python")
	}
	if python == "" {
		t.Fatal("RAYLINK_PYTHON is not set: run raylink/devnet/setup/python.sh and name the python in the folder that it prints")
	}
	c := must[*localchain.Chain](t)(localchain.Start(t.Context(), localchain.Config{Python: python, FinalityAge: 2}))
	t.Cleanup(func() { _ = c.Close() }) // it ends with the context anyway
	r := &ring{t: t, chain: c, book: ledger.New()}
	for _, key := range []*ed25519.PrivateKey{&r.authority, &r.us, &r.ann} {
		*key = must[ed25519.PrivateKey](t)(c.NewWallet(t.Context()))
	}
	r.mint = must[chain.Mint](t)(c.CreateMint(t.Context(), r.authority, money.USDC, 6))
	r.account = must[chain.Address](t)(c.CreateTokenAccount(t.Context(), r.authority, of(r.us), r.mint))
	theirs := must[chain.Address](t)(c.CreateTokenAccount(t.Context(), r.authority, of(r.ann), r.mint))
	must[chain.Signature](t)(c.MintTo(t.Context(), r.authority, r.mint, theirs, 100_000_000))
	r.finish()
	paid := must[chain.Signature](t)(c.Pay(t.Context(), localchain.Payment{From: r.ann, To: of(r.us), Mint: r.mint, Amount: 50_000_000}))
	r.finish()
	r.post("deposit", string(paid)+"/"+string(r.account), nil, ledger.TreasuryChain, ledger.Tenant("acc-ann"), 50_000_000)
	r.post("payout.reserve", "po-1", nil, ledger.Tenant("acc-ann"), ledger.Payout("po-1"), 20_000_000)
	out := r.send(chain.Batch{Mint: r.mint, From: r.account, Owner: of(r.us), Transfers: []chain.Transfer{{Account: theirs, Amount: 20_000_000}}, Memo: "rl:po:pb-1"})
	r.post("payout.paid", "po-1", map[string]any{"signature": out, "payout": map[string]any{"wallet": of(r.ann)}}, ledger.Payout("po-1"), ledger.TreasuryChain, 20_000_000)
	return r
}

func (r *ring) finish() {
	r.t.Helper()
	if err := r.chain.TickFinal(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *ring) send(b chain.Batch) chain.Signature {
	r.t.Helper()
	ctx, builder, node := r.t.Context(), solana.NewBuilder(r.mint), r.chain.Client()
	hash := must[chain.Blockhash](r.t)(node.Blockhash(ctx))
	message := must[[]byte](r.t)(builder.Message(b, hash.Hash))
	raw, name, err := builder.Assemble(message, ed25519.Sign(r.us, message))
	if err == nil {
		err = node.Send(ctx, raw)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.finish()
	return name
}

func (r *ring) post(kind, ref string, note any, from, to string, minor int64) {
	r.t.Helper()
	postings := must[[]ledger.Posting](r.t)(ledger.Move(from, ledger.Posting{Account: to, Amount: money.Amount{Minor: minor, Asset: money.USDC}}))
	must[ledger.Entry](r.t)(r.book.Post(time.Now(), kind, ref, postings, note))
}

// export is the journal as the ring says it is now; or a part of it, where the header names a cluster or a supplier.
func (r *ring) export(header verify.Header) string {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	sign := func(m []byte) []byte { return ed25519.Sign(private, m) }
	header.ExportedAt, header.GroupKey, header.Chain = time.Now(), public, "local"
	header.Treasury = []verify.TokenAccount{{Asset: money.USDC, Mint: string(r.mint.Address), Program: string(r.mint.Program), Account: string(r.account), Wallet: string(of(r.us))}}
	seq, hash := r.book.Head()
	var out bytes.Buffer
	switch head := (&verify.Head{Seq: seq, Hash: hash}); {
	case header.Cluster != "":
		header.Head = head
		err = verify.WriteBill(&out, header, r.book, 0, public, sign)
	case header.Supplier != "":
		header.Head = head
		err = verify.WriteEarnings(&out, header, r.book, func(string) bool { return true }, public, sign)
	default:
		err = verify.Write(&out, header, r.book, public, sign)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return out.String()
}

// verify is `raylink verify - --chain` over the journal.
func (r *ring) verify() (exit int, said string) { return r.verifyFile(r.export(verify.Header{})) }

func (r *ring) verifyFile(file string) (exit int, said string) {
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(file), out: &out, err: &errs, getenv: func(string) string { return "" }}
	exit = a.run(r.t.Context(), []string{"verify", "-", "--chain", "--rpc", r.chain.URL()})
	return exit, out.String() + errs.String()
}

// The journal of a treasury agrees with the chain that it was on; what is taken from the treasury behind the books' back shows.
func TestVerifyAgainstTheChain(t *testing.T) {
	r := startRing(t)
	exit, said := r.verify()
	if exit != 0 || !strings.Contains(said, "verified: chain and journal agree: 1 deposit(s), 1 payout(s) to 1 recipient(s)") {
		t.Fatal(exit, said)
	}
	stolen := r.send(chain.Batch{Mint: r.mint, From: r.account, Owner: of(r.us), Memo: "rl:po:pb-2",
		Transfers: []chain.Transfer{{Account: must[chain.Address](t)(solana.NewBuilder(r.mint).TokenAccount(of(r.ann), r.mint)), Amount: 1}}})
	exit, said = r.verify()
	if exit != raylink.CodeConflict.ExitCode() || !strings.Contains(said, "wrong: account "+string(r.account)+": transaction "+string(stolen)+" changed it by -0.000001 USDC") {
		t.Error(exit, said)
	}
	invented := string(chain.SignatureOf(make([]byte, 64)))
	r.post("deposit", invented+"/"+string(r.account), nil, ledger.TreasuryChain, ledger.Tenant("acc-eve"), 1)
	if _, said = r.verify(); !strings.Contains(said, "the chain does not know transaction "+invented) {
		t.Error(said)
	}
}

// A bill with its payer's deposits is held against the chain, before and after the next checkpoint is there.
func TestVerifyBillAgainstTheChain(t *testing.T) {
	r := startRing(t)
	r.post("hold", "c-1", nil, ledger.Tenant("acc-ann"), ledger.Hold("c-1"), 1_000_000)
	bill := r.export(verify.Header{Cluster: "c-1", Payer: "acc-ann"})
	exit, said := r.verifyFile(bill)
	if exit != 0 || !strings.Contains(said, "note: no checkpoint that covers the journal as it stood at the export (entry 4)") ||
		!strings.Contains(said, "verified: chain and file agree: 1 deposit(s), 0 payout(s), 0 checkpoint(s)") {
		t.Fatal(exit, said)
	}
	seq, hash := r.book.Head()
	r.send(chain.Batch{Owner: of(r.us), Memo: ledger.RootMemo(seq, hash)})
	if exit, said = r.verifyFile(bill); exit != 0 || !strings.Contains(said, "1 checkpoint(s); the one of entry 4 covers the journal that the file was taken from") {
		t.Error(exit, said)
	}
	r.post("deposit", string(chain.SignatureOf(make([]byte, 64)))+"/"+string(r.account), nil, ledger.TreasuryChain, ledger.Tenant("acc-ann"), 1)
	if exit, said = r.verifyFile(r.export(verify.Header{Cluster: "c-1", Payer: "acc-ann"})); exit != raylink.CodeConflict.ExitCode() || !strings.Contains(said, "(deposit): the chain does not know transaction") {
		t.Error(exit, said)
	}
	if exit, said = r.verifyFile(r.export(verify.Header{Cluster: "c-1"})); exit != 0 || !strings.Contains(said, "0 deposit(s)") { // without the deposits there is less to ask
		t.Error(exit, said)
	}
}

// minute charges a minute of acc-bob's machine for 1 USDC, of which he gets 0.98. Machine and gateway sign with one key.
func (r *ring) minute() (signer ed25519.PublicKey) {
	r.t.Helper()
	signer, agent, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	signed := func(m []byte) string { return base64.StdEncoding.EncodeToString(ed25519.Sign(agent, m)) }
	note := meter.MinuteNote{Cluster: "c-1", Lease: "l-1", Node: "head", Machine: "m-1", Rate: 60_000_000, FeeBasisPoints: 200, Purse: "usdc", Takes: money.USDC,
		SupplierFeeBasisPoints: 200, PriceHalt: "no-price",
		Agent:   &meter.Evidence{Seconds: 60, RayNode: "ray", Machine: "m-1", Signature: signed(identity.MinuteBytes("l-1", 0, 60, "ray"))},
		Gateway: &meter.Confirmation{Seconds: 60, RayNode: "ray", Gateway: "g-1", Signature: signed(identity.ConfirmBytes("l-1", 0, 60, "ray"))}}
	moves := must[[]ledger.Posting](r.t)(exchange.Postings(exchange.Minute{Cluster: "c-1", Supplier: "acc-bob", Purse: exchange.USDC, Takes: money.USDC,
		Use: 1_000_000, Fee: 20_000, SupplierFee: 20_000, Halted: true}))
	r.post("hold", "c-1", nil, ledger.Tenant("acc-ann"), ledger.Hold("c-1"), 2_000_000)
	must[ledger.Entry](r.t)(r.book.Post(time.Now(), meter.KindCharged, meter.Ref("l-1", 0), moves, note))
	return signer
}

// A supplier's earnings are held against the chain: his payout reached his wallet, or did not.
func TestVerifyEarningsAgainstTheChain(t *testing.T) {
	r := startRing(t)
	signer := r.minute()
	bob := must[ed25519.PrivateKey](t)(r.chain.NewWallet(t.Context()))
	account := must[chain.Address](t)(r.chain.CreateTokenAccount(t.Context(), r.authority, of(bob), r.mint))
	theirs := must[chain.Address](t)(solana.NewBuilder(r.mint).TokenAccount(of(r.ann), r.mint))
	r.finish()
	out := r.send(chain.Batch{Mint: r.mint, From: r.account, Owner: of(r.us), Memo: "rl:po:pb-3", Transfers: []chain.Transfer{{Account: account, Amount: 900_000}, {Account: theirs, Amount: 5}}})
	pay := func(id string, to chain.Address, minor int64) {
		r.post("payout.reserve", id, nil, ledger.Supplier("acc-bob"), ledger.Payout(id), minor)
		r.post("payout.paid", id, map[string]any{"signature": out, "payout": map[string]any{"wallet": to}}, ledger.Payout(id), ledger.TreasuryChain, minor)
	}
	header := verify.Header{Supplier: "acc-bob", Machines: map[string]ed25519.PublicKey{"m-1": signer}, Gateways: map[string]ed25519.PublicKey{"g-1": signer}}
	pay("po-2", of(bob), 900_000)
	exit, said := r.verifyFile(r.export(header))
	if exit != 0 || !strings.Contains(said, "verified: chain and file agree: 0 deposit(s), 1 payout(s), 0 checkpoint(s)") || !strings.Contains(said, "supplier:acc-bob  0.08 USDC") {
		t.Fatal(exit, said)
	}
	pay("po-3", of(bob), 50_000)
	if exit, said = r.verifyFile(r.export(header)); exit != raylink.CodeConflict.ExitCode() || !strings.Contains(said, "by 0.900000 USDC, the file says 0.950000 USDC") {
		t.Error(exit, said)
	}
}

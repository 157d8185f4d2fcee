package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"raylink/billing/deposit"
	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
)

var update = flag.Bool("update", false, "write the vectors of examples/verify")

// vectors is where the files of the format page stand, beside the verifier that was written from it.
const vectors = "../../examples/verify/"

// address and transaction are names as the chain has them, made of one byte.
func address(name byte) string { return string(chain.AddressOf(public(name))) }
func transaction(name byte) string {
	return string(chain.SignatureOf(bytes.Repeat([]byte{name}, 64)))
}

// worldHeader is the header of the vectors, with the chain and where the group's tokens are.
func worldHeader() Header {
	h := header()
	delete(h.Machines, "m-2")
	h.Chain = "local"
	for _, t := range []struct {
		asset         money.Asset
		mint, account byte
	}{{money.USDC, 'u', 'U'}, {money.IO, 'i', 'I'}} {
		h.Treasury = append(h.Treasury, TokenAccount{Asset: t.asset, Mint: address(t.mint), Program: "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", Account: address(t.account), Wallet: address('W')})
	}
	return h
}

// partHeader is the header of a part of the journal: with how it stood, and what of it is on the chain.
func partHeader(entries []ledger.Entry) Header {
	h, list := worldHeader(), chained(entries)
	for _, e := range list {
		h.Head = &Head{Seq: e.Seq, Hash: e.Hash}
		if e.Kind == ledger.KindAnchor {
			h.Anchor = new(ledger.Anchor)
			if err := json.Unmarshal(e.Note, h.Anchor); err != nil {
				panic(err)
			}
		}
	}
	return h
}

// noted is the entry with a note.
func noted(e ledger.Entry, note any) ledger.Entry {
	text, err := json.Marshal(note)
	if err != nil {
		panic(err)
	}
	e.Note = text
	return e
}

// world is the journal of the vectors: a deposit, a hold, minutes charged and waived for each reason that evidence gives, the rest of the hold, what stood at a
// checkpoint, which transaction carries it, a payout and a swap.
func world() []ledger.Entry {
	waived := func(ordinal int64, agent, gateway int) ledger.Entry {
		n := mixNote(exchange.USDC, money.USDC, ordinal, false)
		e := note(n.Lease, ordinal, agent, gateway)
		n.Agent, n.Gateway, n.Reason = e.Agent, e.Gateway, e.Reason
		sign(&n)
		return noted(ledger.Entry{Kind: meter.KindWaived, Ref: meter.Ref(n.Lease, ordinal), Postings: []ledger.Posting{}}, n)
	}
	in := deposit.Deposit{Key: transaction('d') + "/" + address('U'), Asset: money.USDC, Amount: 1_000_000, Slot: 4711, At: noon, To: ledger.Tenant("ann"),
		Via: deposit.ViaReference, Account: "ann", Topup: "top-1", Senders: []string{address('a')}}
	out := payout.Payout{ID: "po-1", Kind: payout.Settlement, Account: "bob", Asset: money.USDC, Amount: 3900, Wallet: address('b'), State: payout.Paid,
		RequestedAt: noon, ChangedAt: noon, Batch: "pb-1", Signature: transaction('p')}
	ask := payout.Request{ID: out.ID, Kind: out.Kind, Account: out.Account, Asset: out.Asset, Amount: out.Amount, Wallet: out.Wallet}
	entries := []ledger.Entry{
		noted(moved("deposit", in.Key, ledger.TreasuryChain, in.To, "1 USDC"), in),
		moved("hold", "c-usdc", ledger.Tenant("ann"), ledger.Hold("c-usdc"), "0.5 USDC"),
		mixed(mixNote(exchange.USDC, money.USDC, 0, false)),
		waived(1, 12, 60),
		waived(2, 60, -1),
		mixed(mixNote(exchange.USDC, money.USDC, 3, false)),
		moved("release", "c-usdc", ledger.Hold("c-usdc"), ledger.Tenant("ann"), "0.49592 USDC"),
	}
	stood := chained(entries)[len(entries)-1]
	root := ledger.Root{Seq: stood.Seq, Hash: stood.Hash, Key: public('G'), Signature: ed25519.Sign(key('G'), ledger.RootBytes(stood.Seq, stood.Hash))}
	return append(entries,
		noted(ledger.Entry{Kind: ledger.KindCheckpoint, Ref: "7", Postings: []ledger.Posting{}}, root),
		noted(ledger.Entry{Kind: ledger.KindAnchor, Ref: "7", Postings: []ledger.Posting{}}, ledger.Anchor{Seq: root.Seq, Hash: root.Hash, Signature: transaction('c')}),
		noted(moved("payout.reserve", out.ID, ledger.Supplier("bob"), ledger.Payout(out.ID), "0.0039 USDC"), ask),
		noted(moved("payout.paid", out.ID, ledger.Payout(out.ID), ledger.TreasuryChain, "0.0039 USDC"), struct {
			Payout    payout.Payout `json:"payout"`
			Attempt   int           `json:"attempt"`
			Signature string        `json:"signature"`
			Slot      uint64        `json:"slot"`
		}{out, 1, out.Signature, 5000}),
		noted(ledger.Entry{Kind: "swap", Ref: transaction('s'), Postings: slices.Concat(
			moved("", "", ledger.Fees, ledger.TreasuryChain, "0.0001 USDC").Postings, moved("", "", ledger.TreasuryChain, ledger.Lot("burn"), "0.0004 IO").Postings)},
			map[string]string{"purpose": "buyback", "by": "ada"}))
}

// worldFiles are the vectors by their names.
func worldFiles(t *testing.T) map[string][]byte {
	t.Helper()
	bill := partHeader(world())
	bill.Cluster, bill.Payer = cluster(exchange.USDC), "ann"
	var file bytes.Buffer
	if err := WriteBill(&file, bill, chained(world()), 0, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) }); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"journal.jsonl": export(t, worldHeader(), world()), "bill.jsonl": file.Bytes(),
		"earnings.jsonl": earningsOf(t, "bob", world(), "m-1")}
}

// The vectors are what this package writes, and they verify.
func TestVectors(t *testing.T) {
	for name, file := range worldFiles(t) {
		if *update {
			if err := os.WriteFile(vectors+name, file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(vectors + name); err != nil || !bytes.Equal(there, file) {
			t.Errorf("%s is not what is written now; -update writes it: %v", name, err)
		}
		if report, err := Verify(bytes.NewReader(file)); err != nil || !report.OK() {
			t.Errorf("%s: %v %v", name, err, report.Problems)
		}
	}
}

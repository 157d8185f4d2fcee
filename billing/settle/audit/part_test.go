package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
	"raylink/billing/verify"
)

// payBob lets bob, a supplier, be paid twice in one transaction that pays ann as well.
func (s *scene) payBob() {
	s.t.Helper()
	signature := s.batch(chain.Transfer{Account: s.bob, Amount: 7_000_000}, chain.Transfer{Account: s.ann, Amount: 5_000_000})
	s.post("release", "grant/1", nil, usdc(7_000_000), ledger.Lot("grants"), ledger.Supplier("acc-bob"))
	for id, minor := range map[string]int64{"po-7": 4_000_000, "po-8": 3_000_000} {
		s.post("payout.reserve", id, nil, usdc(minor), ledger.Supplier("acc-bob"), ledger.Payout(id))
		s.post("payout.paid", id, map[string]any{"signature": signature, "payout": map[string]any{"wallet": wallet("bob")}}, usdc(minor), ledger.Payout(id), ledger.TreasuryChain)
	}
}

// fix puts what the journal is now onto the chain: with its real hash, or another one; by the treasury, or by somebody else.
func (s *scene) fix(by, hash string) ledger.Anchor {
	s.t.Helper()
	last := s.Entries(0, 1000)[len(s.journal)-1]
	if hash == "" {
		hash = last.Hash
	}
	memo, name := ledger.RootMemo(last.Seq, hash), chain.Signature("")
	if by == "us" {
		name = s.sent(chain.Batch{Owner: wallet("us"), Memo: memo})
	} else {
		var err error
		if name, err = s.chain.Pay(fake.Payment{From: fake.Key(by), To: s.usdc, Amount: 1, Memo: memo, References: []chain.Address{wallet("us")}}); err != nil {
			s.t.Fatal(err)
		}
		s.chain.Tick(2)
	}
	return ledger.Anchor{Seq: last.Seq, Hash: hash, Signature: string(name)}
}

// header is of bob's earnings, with the journal's head as it is now.
func (s *scene) header(anchor *ledger.Anchor) verify.Header {
	last := s.Entries(0, 1000)[len(s.journal)-1]
	return verify.Header{Supplier: "acc-bob", ExportedAt: s.exported, Chain: "local", Head: &verify.Head{Seq: last.Seq, Hash: last.Hash}, Anchor: anchor, Treasury: []verify.TokenAccount{
		{Asset: money.USDC, Mint: string(fake.USDC().Address), Program: string(fake.USDC().Program), Account: string(s.usdc), Wallet: string(wallet("us"))}}}
}

// comparePart exports bob's earnings and compares them with the chain.
func (s *scene) comparePart(h verify.Header) (Report, error) {
	s.t.Helper()
	var file bytes.Buffer
	key := fake.Key("group")
	none := func(string) bool { return false }
	if err := verify.WriteEarnings(&file, h, s, none, key.Public().(ed25519.PublicKey), func(m []byte) []byte { return ed25519.Sign(key, m) }); err != nil {
		s.t.Fatal(err)
	}
	books := NewBooks()
	if _, err := io.CopyBuffer(struct{ io.Writer }{books}, &file, make([]byte, 7)); err != nil {
		s.t.Fatal(err)
	}
	return books.Compare(s.t.Context(), Node{Reader: s.chain, Builder: s.chain})
}

// A supplier's payouts are on the chain, beside others' in the same transaction; and what he holds is fixed by the next checkpoint.
func TestPartAgrees(t *testing.T) {
	s := play(t)
	s.payBob()
	before := s.header(nil)
	report, err := s.comparePart(before)
	if err != nil || !report.OK() || report.Payouts != 2 || report.Recipients != 1 || report.Covered != 0 || len(report.Remarks) != 1 {
		t.Fatalf("before there is a checkpoint: %v %+v", err, report)
	}
	anchor := s.fix("us", "")
	report, err = s.comparePart(before)
	if err != nil || !report.OK() || report.Covered != anchor.Seq || len(report.Remarks) != 0 {
		t.Errorf("after: %v %+v", err, report)
	}
	s.post("release", "grant/2", nil, usdc(1), ledger.Lot("grants"), ledger.Supplier("acc-bob"))
	later := s.header(&anchor)
	s.post("grant", "g", nil, money.MicroUSD(1), ledger.Grants, ledger.Tenant("acc-ann"))
	next := s.fix("us", "")
	report, err = s.comparePart(later)
	if err != nil || !report.OK() || report.Covered != next.Seq || report.Anchors != 2 || next.Seq != anchor.Seq+2 {
		t.Errorf("with a checkpoint before it and one behind it: %v %+v", err, report)
	}
}

// What a part says and the chain does not is found.
func TestPartDiffers(t *testing.T) {
	entry := func(s *scene, kind string) *ledger.Entry { // the last of its kind
		for i := range slices.Backward(s.journal) {
			if s.journal[i].Kind == kind {
				return &s.journal[i]
			}
		}
		panic("no " + kind)
	}
	for name, c := range map[string]struct {
		change func(s *scene, h *verify.Header)
		want   string
	}{
		"more than was paid": {func(s *scene, _ *verify.Header) {
			e := entry(s, "payout.paid")
			e.Postings[0].Amount.Minor--
			e.Postings[1].Amount.Minor++
		}, "by 7.000000 USDC, the file says 7.000001 USDC"},
		"paid to another": {func(s *scene, _ *verify.Header) {
			e := entry(s, "payout.paid")
			e.Note = bytes.ReplaceAll(e.Note, []byte(wallet("bob")), []byte(wallet("eve")))
		}, "by 0.000000 USDC, the file says"},
		"a payout that never was": {func(s *scene, _ *verify.Header) {
			e := entry(s, "payout.paid")
			e.Note, _ = json.Marshal(map[string]any{"signature": chain.SignatureOf(make([]byte, 64)), "payout": map[string]any{"wallet": wallet("bob")}})
		}, "the chain does not know transaction"},
		"another checkpoint than the header's": {func(s *scene, h *verify.Header) {
			h.Anchor.Hash = strings.Repeat("cd", 32)
		}, "(anchor): the memo of transaction"},
		"a checkpoint that never was": {func(s *scene, h *verify.Header) {
			h.Anchor.Signature = string(chain.SignatureOf(make([]byte, 64)))
		}, "(anchor): the chain does not know transaction"},
		"another journal": {func(s *scene, h *verify.Header) {
			s.fix("us", strings.Repeat("ab", 32))
		}, "there are two journals"},
		"a node that lies": {func(s *scene, _ *verify.Header) {
			s.chain.Lie(fake.Lies{Effect: func(e chain.Effect) chain.Effect { e.Delta *= 2; return e }})
		}, "the file says"},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			anchor := s.fix("us", "")
			s.payBob()
			h := s.header(&anchor)
			c.change(s, &h)
			report, err := s.comparePart(h)
			if err != nil || report.OK() || !strings.Contains(strings.Join(report.Problems, "\n"), c.want) {
				t.Errorf("%v: %q", err, report.Problems)
			}
		})
	}
}

// Anybody can write a memo that mentions the treasury's wallet: it says nothing.
func TestPartOfAStrangersMemo(t *testing.T) {
	s := play(t)
	s.payBob()
	h := s.header(nil)
	s.fix("ann", strings.Repeat("ab", 32))
	report, err := s.comparePart(h)
	if err != nil || !report.OK() || report.Covered != 0 {
		t.Errorf("%v %+v", err, report)
	}
}

// Where nothing can be compared, that is said, instead of that all is well.
func TestPartCannot(t *testing.T) {
	s := play(t)
	s.payBob()
	h := s.header(nil)
	s.chain.Break(1)
	if _, err := s.comparePart(h); err == nil {
		t.Error("a node that does not answer agrees")
	}
	h.Treasury = nil
	if _, err := s.comparePart(h); err == nil || !strings.Contains(err.Error(), "names no token accounts") {
		t.Errorf("%v", err)
	}
}

// A root's memo is read in its one spelling only.
func TestReadRoot(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	if seq, got, ok := readRoot(ledger.RootMemo(7, hash)); !ok || seq != 7 || got != hash {
		t.Error(seq, got, ok)
	}
	for _, memo := range []string{"", "rl:cp:", "rl:cp:7", "rl:cp:07:" + hash, "7:" + hash, "rl:po:7:" + hash, "rl:cp:-1:" + hash} {
		if _, _, ok := readRoot(memo); ok {
			t.Errorf("%q is read", memo)
		}
	}
}

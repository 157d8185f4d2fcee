package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
	"raylink/billing/verify"
)

// scene is a chain on which a treasury was paid and has paid, and the journal of that.
type scene struct {
	t        *testing.T
	chain    *fake.Chain
	usdc, io chain.Address // ours
	ann, bob chain.Address // token accounts of USDC
	journal  []ledger.Entry
	payout   chain.Signature
	exported time.Time
}

func wallet(name string) chain.Address {
	return chain.AddressOf(fake.Key(name).Public().(ed25519.PublicKey))
}

func usdc(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: money.USDC} }

func play(t *testing.T) *scene {
	start := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	s := &scene{t: t, chain: fake.New(fake.Config{Start: start}), exported: start.Add(time.Minute)}
	s.usdc, s.io = s.chain.Open(wallet("us"), fake.USDC()), s.chain.Open(wallet("us"), fake.IO())
	s.ann, s.bob = s.chain.Open(wallet("ann"), fake.USDC()), s.chain.Open(wallet("bob"), fake.USDC())
	s.chain.Fund(s.ann, 100_000_000)
	paid := s.pay("ann", s.usdc, 50_000_000)
	s.post("deposit", string(paid)+"/"+string(s.usdc), nil, usdc(50_000_000), ledger.TreasuryChain, ledger.Tenant("acc-ann"))
	s.post("payout.reserve", "po-1", nil, usdc(30_000_000), ledger.Tenant("acc-ann"), ledger.Payout("po-1"))
	s.post("payout.reserve", "po-2", nil, usdc(5_000_000), ledger.Tenant("acc-ann"), ledger.Payout("po-2"))
	s.payout = s.batch(chain.Transfer{Account: s.bob, Amount: 30_000_000})
	note := map[string]any{"signature": s.payout, "payout": map[string]any{"wallet": wallet("bob")}}
	s.post("payout.paid", "po-1", note, usdc(30_000_000), ledger.Payout("po-1"), ledger.TreasuryChain)
	s.anchor()
	s.chain.Tick(2)
	return s
}

func (s *scene) pay(from string, to chain.Address, minor int64) chain.Signature {
	signature, err := s.chain.Pay(fake.Payment{From: fake.Key(from), To: to, Amount: minor})
	if err != nil {
		s.t.Fatal(err)
	}
	s.chain.Tick(2)
	return signature
}

// batch is a transaction of ours.
func (s *scene) batch(transfers ...chain.Transfer) chain.Signature {
	b := chain.Batch{Mint: fake.USDC(), From: s.usdc, Owner: wallet("us"), Transfers: transfers, Memo: "rl:po:pb-1"}
	return s.sent(b)
}

func (s *scene) sent(b chain.Batch) chain.Signature {
	s.t.Helper()
	hash, err := s.chain.Blockhash(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	message, err := s.chain.Message(b, hash.Hash)
	if err != nil {
		s.t.Fatal(err)
	}
	raw, name, err := s.chain.Assemble(message, ed25519.Sign(fake.Key("us"), message))
	if err == nil {
		err = s.chain.Send(s.t.Context(), raw)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.chain.Tick(2)
	return name
}

func (s *scene) post(kind, ref string, note any, amount money.Amount, from, to string) {
	s.t.Helper()
	text, err := json.Marshal(note)
	if err != nil {
		s.t.Fatal(err)
	}
	s.journal = append(s.journal, ledger.Entry{Kind: kind, Ref: ref, Note: text, Postings: []ledger.Posting{
		{Account: from, Amount: money.Amount{Minor: -amount.Minor, Asset: amount.Asset}}, {Account: to, Amount: amount}}})
}

func (s *scene) anchor() {
	hash := strings.Repeat("ab", 32)
	signature := s.sent(chain.Batch{Owner: wallet("us"), Memo: ledger.RootMemo(1, hash)})
	text, err := json.Marshal(ledger.Anchor{Seq: 1, Hash: hash, Signature: string(signature)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.journal = append(s.journal, ledger.Entry{Kind: ledger.KindAnchor, Ref: "1", Note: text})
}

// entries are the scene's, chained.
func (s *scene) Entries(after uint64, limit int) []ledger.Entry {
	prev, list := "", slices.Clone(s.journal)
	for i := range list {
		e := &list[i]
		e.Seq, e.At, e.Prev = uint64(i+1), s.exported.Add(-time.Minute), prev
		e.Hash = ledger.HashOf(*e)
		prev = e.Hash
	}
	if after >= uint64(len(list)) {
		return nil
	}
	return list[after:min(len(list), int(after)+limit)]
}

// compare exports the journal, reads it beside a reader of odd sizes, and compares.
func (s *scene) compare() (Report, error) {
	s.t.Helper()
	header := verify.Header{ExportedAt: s.exported, Chain: "local", Treasury: []verify.TokenAccount{
		{Asset: money.USDC, Mint: string(fake.USDC().Address), Program: string(fake.USDC().Program), Account: string(s.usdc), Wallet: string(wallet("us"))},
		{Asset: money.IO, Mint: string(fake.IO().Address), Program: string(fake.IO().Program), Account: string(s.io), Wallet: string(wallet("us"))}}}
	var file bytes.Buffer
	key := fake.Key("group")
	err := verify.Write(&file, header, s, key.Public().(ed25519.PublicKey), func(m []byte) []byte { return ed25519.Sign(key, m) })
	if err != nil {
		s.t.Fatal(err)
	}
	books := NewBooks()
	if _, err := io.CopyBuffer(struct{ io.Writer }{books}, &file, make([]byte, 7)); err != nil {
		s.t.Fatal(err)
	}
	return books.Compare(s.t.Context(), Node{Reader: s.chain, Builder: s.chain})
}

func TestAgrees(t *testing.T) {
	s := play(t)
	report, err := s.compare()
	if err != nil || !report.OK() || report.Deposits != 1 || report.Payouts != 1 || report.Anchors != 1 || report.Recipients != 1 || len(report.Later) != 0 {
		t.Fatalf("%v %+v", err, report)
	}
	if a := report.Accounts[0]; a.Journal != usdc(20_000_000) || a.Effects != a.Journal || a.Balance != a.Journal || len(report.Accounts) != 2 {
		t.Errorf("%+v", report.Accounts)
	}
}

// What the journal leaves out, invents or changes is found, and so is what a node leaves out.
func TestDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *scene)
		want   string
	}{
		"an invented deposit": {func(s *scene) {
			s.post("deposit", string(chain.SignatureOf(make([]byte, 64)))+"/"+string(s.usdc), nil, usdc(1), ledger.TreasuryChain, ledger.Tenant("acc-eve"))
		}, "the chain does not know transaction"},
		"a deposit that is too great": {func(s *scene) {
			s.journal[0].Postings[0].Amount.Minor--
			s.journal[0].Postings[1].Amount.Minor++
		}, "by 50.000000 USDC, the journal says 50.000001 USDC"},
		"a deposit left out": {func(s *scene) { s.journal = s.journal[1:] }, "changed it by 50.000000 USDC, and the journal has no entry of it"},
		"a payout left out":  {func(s *scene) { s.journal = slices.Delete(s.journal, 3, 4); s.pay("ann", s.usdc, 1); s.claimLast() }, "changed it by -30.000000 USDC, and the journal has no entry"},
		"a theft":            {func(s *scene) { s.batch(chain.Transfer{Account: s.ann, Amount: 6_000_000}) }, "no payout of that much was in flight"},
		"an old theft": {func(s *scene) {
			s.batch(chain.Transfer{Account: s.ann, Amount: 1})
			s.exported = s.exported.Add(time.Hour)
		}, "and the journal has no entry of it"},
		"paid to another": {func(s *scene) {
			s.journal[3].Note, _ = json.Marshal(map[string]any{"signature": s.payout, "payout": map[string]any{"wallet": wallet("ann")}})
		}, "gave 0.000000 USDC to account " + string(fakeAccount("ann"))},
		"another memo": {func(s *scene) {
			s.journal[4].Note = bytes.ReplaceAll(s.journal[4].Note, []byte("abab"), []byte("cdcd"))
		}, "(anchor): the memo of transaction"},
		"a node that hides": {func(s *scene) {
			s.chain.Lie(fake.Lies{History: func(all []chain.Signature) []chain.Signature { return all[:max(len(all)-1, 0)] }})
		}, "its transactions add up to 50.000000 USDC"},
		"an effect of a lie": {func(s *scene) {
			s.chain.Lie(fake.Lies{Effect: func(e chain.Effect) chain.Effect { e.Delta *= 2; return e }})
		}, "changed account"},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			c.change(s)
			report, err := s.compare()
			if err != nil || report.OK() || !strings.Contains(strings.Join(report.Problems, "\n"), c.want) {
				t.Errorf("%v: %q", err, report.Problems)
			}
		})
	}
}

// claimLast posts the last payment to us as a deposit.
func (s *scene) claimLast() {
	landed := s.chain.Landed()
	s.post("deposit", string(landed[len(landed)-1])+"/"+string(s.usdc), nil, usdc(1), ledger.TreasuryChain, ledger.Tenant("acc-ann"))
}

func fakeAccount(name string) chain.Address {
	account, err := fake.New(fake.Config{}).TokenAccount(wallet(name), fake.USDC())
	if err != nil {
		panic(err)
	}
	return account
}

// What came after the export is no problem: a deposit, and a payout that was in flight.
func TestLater(t *testing.T) {
	s := play(t)
	s.pay("ann", s.usdc, 7)
	s.batch(chain.Transfer{Account: s.bob, Amount: 5_000_000})
	report, err := s.compare()
	if err != nil || !report.OK() || len(report.Later) != 2 {
		t.Fatalf("%v %+v", err, report)
	}
	if a := report.Accounts[0]; a.Balance != usdc(15_000_007) || a.Journal != usdc(20_000_000) {
		t.Errorf("%+v", a)
	}
}

// Where nothing can be compared, that is said, instead of that all is well.
func TestCannot(t *testing.T) {
	s := play(t)
	s.chain.Break(1)
	if _, err := s.compare(); err == nil {
		t.Error("a node that does not answer agrees")
	}
	s.post("gift", "1", nil, usdc(1), ledger.TreasuryChain, ledger.Tenant("acc-eve"))
	if _, err := s.compare(); err == nil || !strings.Contains(err.Error(), "gift moves treasury:chain") {
		t.Errorf("%v", err)
	}
	books := NewBooks()
	_, _ = books.Write([]byte("hello\n"))
	if _, err := books.Compare(t.Context(), Node{Reader: s.chain}); err == nil || errors.Is(err, chain.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

package settle_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
)

// quiet is a world without actors or faults, with one port to it.
func quiet(t *testing.T) (*world, port) {
	w := newWorld(t, 1)
	return w, port{&actor{world: w, name: "test"}}
}

func (w *world) watcher(p port, second chain.Reader) *settle.Watcher {
	return &settle.Watcher{Books: p, First: settle.Node{Name: "one", Reader: p}, Second: settle.Node{Name: "two", Reader: second}, Every: time.Second, Log: w.log}
}

func (w *world) fund(asset money.Asset, amount int64) chain.Signature {
	return w.chain.Fund(w.purses[asset].Account, amount)
}

func TestWatcherReadsWholeHistoriesInOneStep(t *testing.T) {
	w, p := quiet(t)
	for range 450 {
		w.fund(money.USDC, 200_000)
	}
	w.chain.Tick(4)
	if n, err := w.watcher(p, nil).Step(t.Context()); err != nil || n != 450 || w.ledger.Balance("suspense", money.USDC) != 450*200_000 {
		t.Errorf("took in %d, %v", n, err)
	}
	if n, err := w.watcher(p, nil).Step(t.Context()); err != nil || n != 0 {
		t.Errorf("took in %d again, %v", n, err)
	}
}

func TestWatcherWithoutASecondNode(t *testing.T) {
	w, p := quiet(t)
	big := w.fund(money.USDC, 2_000_000_000)
	w.fund(money.USDC, 200_000)
	w.chain.Tick(4)
	if n, err := w.watcher(p, nil).Step(t.Context()); err != nil || n != 2 {
		t.Errorf("took in %d, %v", n, err)
	}
	kept := w.deposits.Deposits[string(big)+"/"+string(w.purses[money.USDC].Account)]
	if kept == nil || kept.To != "suspense" || !slices.Equal(kept.Reasons, []deposit.Reason{deposit.NeedsTwoNodes}) {
		t.Errorf("the big one: %+v", kept)
	}
}

// TestWatcherWaitsForTheSecondNode: nothing is taken in that the two do not agree on, however small.
func TestWatcherWaitsForTheSecondNode(t *testing.T) {
	w, p := quiet(t)
	w.fund(money.USDC, 200_000)
	hidden := w.fund(money.USDC, 2_000_000_000)
	w.fund(money.USDC, 300_000)
	w.fund(money.IO, 20_000_000)
	w.chain.Tick(4)
	for _, c := range []struct {
		what          string
		first, second chain.Reader
		taken         int
		says          string
	}{
		{"the second knows nothing", p, fake.New(fake.Config{}), 0, "does not know it yet"},
		{"the second says otherwise", p, bent{w.chain}, 0, "do not agree on what it did"},
		{"the first says otherwise", bent{w.chain}, p, 0, "do not agree on what it did"},
		{"the first hides one", hiding{w.chain, hidden}, p, 2, "do not agree on what comes next"}, // the one before, and the other asset
		{"the second hides one", p, hiding{w.chain, hidden}, 0, "do not agree on what comes next"},
		{"they agree", p, w.chain, 2, ""},
	} {
		watcher := w.watcher(p, c.second)
		watcher.First.Reader = c.first
		if n, err := watcher.Step(t.Context()); n != c.taken || (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: took in %d, %v", c.what, n, err)
		}
	}
	if sum := w.ledger.Balance("suspense", money.USDC); sum != 2_000_500_000 {
		t.Errorf("%d are in the books", sum)
	}
}

// hiding is a node that does not name one transaction.
type hiding struct {
	*fake.Chain
	hidden chain.Signature
}

func (h hiding) History(ctx context.Context, account chain.Address, after chain.Signature, limit int) ([]chain.Signature, error) {
	list, err := h.Chain.History(ctx, account, after, limit)
	return slices.DeleteFunc(list, func(s chain.Signature) bool { return s == h.hidden }), err
}

// bent is a node that sees one unit more.
type bent struct{ *fake.Chain }

func (b bent) Effect(ctx context.Context, s chain.Signature, a chain.Address) (chain.Effect, error) {
	e, err := b.Chain.Effect(ctx, s, a)
	e.Delta++
	return e, err
}

func TestWatcherRunsUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := quiet(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		w.fund(money.USDC, 200_000)
		w.chain.Tick(4)
		w.chain.Break(3) // the first steps fail, and are logged
		if err := w.watcher(p, nil).Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(w.deposits.Deposits) != 1 {
			t.Error("nothing was taken in")
		}
		if (&settle.Watcher{Log: w.log}).Run(ctx) == nil {
			t.Error("ran without an interval")
		}
	})
}

// reserved is a world with one payout in a batch, whose attempt 1 is recorded and not sent.
func reserved(t *testing.T) (*world, port, *payout.Batch) {
	w, p := quiet(t)
	receiver := addressOf("sup-0")
	w.fund(money.USDC, 50_000_000)
	w.chain.Tick(4)
	w.must(second(w.watcher(p, nil).Step(t.Context())))
	account := w.chain.Open(receiver, fake.USDC())
	w.must(w.payouts.CheckDestination(w.now, string(receiver), money.USDC, payout.Existence{TokenAccount: string(account), Exists: true}))
	entries, err := w.payouts.Request(w.now, payout.Request{ID: "po-1", Kind: payout.Refund, Item: "x", Account: "sup-0", Asset: money.USDC, Amount: 5_000_000, Wallet: string(receiver)}, 50_000_000, true)
	w.must(err)
	w.post(entries)
	b := w.payouts.NextBatch(w.now, money.USDC, 50_000_000)
	w.sign(b, w.purses[money.USDC].BatchOf(*b))
	return w, p, b
}

func second[T any](_ T, err error) error { return err }

// sign records an attempt for the batch that does what `does` says.
func (w *world) sign(b *payout.Batch, does chain.Batch) {
	w.t.Helper()
	hash, err := w.chain.Blockhash(w.t.Context())
	w.must(err)
	message, err := w.chain.Message(does, hash.Hash)
	w.must(err)
	raw, name, err := w.chain.Assemble(message, ed25519.Sign(fake.Key("treasury"), message))
	w.must(err)
	w.must(w.payouts.Attempt(w.now, payout.Attempted{Batch: b.ID, N: len(b.Attempts) + 1, Signature: string(name), Raw: base64.StdEncoding.EncodeToString(raw), LastValidHeight: hash.LastValidHeight}))
}

func (w *world) payer(p port, node, other chain.Sender) *settle.Payer {
	return &settle.Payer{Books: p, Node: node, Second: other, Builder: w.chain, Purses: w.purses, Log: w.log}
}

func TestPayerSendsTheSameBytesUntilTheyLand(t *testing.T) {
	w, p, b := reserved(t)
	payer := w.payer(p, p, nil)
	w.chain.Drop(1)
	w.must(payer.Step(t.Context())) // taken, and vanished
	w.chain.Lose(1)
	if payer.Step(t.Context()) == nil {
		t.Error("an error of the line is none")
	}
	w.must(payer.Step(t.Context()))
	if b.Live() == nil {
		t.Fatal("ended before it is final")
	}
	w.chain.Tick(4)
	w.must(payer.Step(t.Context()))
	if b.State != payout.Done || len(b.Attempts) != 1 || w.chain.Balance(chain.Address(b.Transfers[0].TokenAccount)) != 5_000_000 {
		t.Errorf("%+v", b)
	}
}

// deaf is a node that knows no transaction.
type deaf struct{ port }

func (deaf) Status(context.Context, chain.Signature) (chain.Status, error) {
	return chain.Status{Stage: chain.Unknown}, nil
}

func TestPayerBelievesNoSingleNodeThatKnowsNothing(t *testing.T) {
	w, p, b := reserved(t)
	w.must(w.payer(p, p, nil).Step(t.Context()))
	w.chain.Tick(50)
	if err := w.payer(p, deaf{p}, p).Step(t.Context()); err == nil || b.Live() == nil {
		t.Fatalf("%v, %+v", err, b)
	}
	w.must(w.payer(p, p, p).Step(t.Context()))
	if b.State != payout.Done {
		t.Errorf("%+v", b)
	}
}

func TestPayerKeepsTheMargin(t *testing.T) {
	w, p, b := reserved(t)
	payer := w.payer(p, deaf{p}, nil)
	payer.Margin = 5
	height := func() uint64 { h, err := w.chain.Height(t.Context()); w.must(err); return h }
	for b.Live() != nil {
		if height() > b.Attempts[0].LastValidHeight+6 {
			t.Fatal("never said to be dead")
		}
		w.chain.Tick(1)
		_ = payer.Step(t.Context()) // the node refuses bytes that are too old
	}
	if got := b.Attempts[0]; got.Stage != payout.Expired || got.Height != got.LastValidHeight+6 {
		t.Errorf("%+v", got)
	}
}

func TestPayerRemembersARefusal(t *testing.T) {
	w, p, b := reserved(t)
	payer := w.payer(p, p, nil)
	w.chain.Freeze(chain.Address(b.Transfers[0].TokenAccount))
	w.must(payer.Step(t.Context()))
	if b.Live() == nil {
		t.Fatal("a refusal ends nothing: the bytes may land yet")
	}
	w.chain.Tick(50)
	w.must(payer.Step(t.Context()))
	if po := w.payouts.Payouts["po-1"]; po.State != payout.Blocked || po.Code != payout.ChainFrozen {
		t.Errorf("%+v", po)
	}
}

func TestPayerDoesNotSendWhatDoesSomethingElse(t *testing.T) {
	w, p, b := reserved(t)
	w.chain.Tick(50)
	w.must(w.payer(p, p, nil).Step(t.Context()))
	does := w.purses[money.USDC].BatchOf(*b)
	does.Transfers[0].Amount++
	w.sign(b, does)
	if err := w.payer(p, p, nil).Step(t.Context()); err == nil || !strings.Contains(err.Error(), "something else") || w.chain.Balance(does.Transfers[0].Account) != 0 {
		t.Errorf("sent: %v", err)
	}
}

// sold is a reader in whose world token accounts have another owner.
type sold struct{ *fake.Chain }

func (s sold) Account(ctx context.Context, a chain.Address) (chain.TokenAccount, error) {
	found, err := s.Chain.Account(ctx, a)
	found.Owner = addressOf("somebody")
	return found, err
}

func TestChecker(t *testing.T) {
	w, p := quiet(t)
	wallet := addressOf("sup-0")
	checker := &settle.Checker{Books: p, Reader: w.chain, Builder: w.chain, Purses: w.purses, Log: w.log}
	d := payout.Destination{Wallet: string(wallet), Asset: money.USDC}
	look := func(want string) {
		t.Helper()
		seen, err := checker.Look(t.Context(), d)
		if got := fmt.Sprint(seen.Exists, seen.Frozen); err != nil || got != want {
			t.Errorf("%s, %v; wanted %s", got, err, want)
		}
	}
	look("false false")
	account := w.chain.Open(wallet, fake.USDC())
	look("true false")
	w.chain.Freeze(account)
	look("true true")
	w.chain.Thaw(account)
	checker.Reader = sold{w.chain}
	look("false false")
	checker.Reader = w.chain
	w.must(w.payouts.Set("sup-0", payout.Setting{Wallet: string(wallet)}, true))
	w.must(checker.Step(t.Context()))
	if len(w.payouts.Unchecked(w.now, 10)) != 0 {
		t.Error("it remains unchecked")
	}
	w.chain.Break(1)
	if _, err := checker.Look(t.Context(), d); err == nil {
		t.Error("a broken line is no missing account")
	}
}

// slow is a node whose answer about a status takes so long that meanwhile the transaction is sent by another payer, and grows old.
type slow struct{ port }

func (s slow) Status(ctx context.Context, signature chain.Signature) (chain.Status, error) {
	status, err := s.port.Status(ctx, signature)
	s.world.must(s.world.payer(s.port, s.port, nil).Step(ctx))
	s.world.chain.Tick(50)
	return status, err
}

func TestPayerAsksForTheHeightFirst(t *testing.T) {
	w, p, b := reserved(t)
	_ = w.payer(p, slow{p}, nil).Step(t.Context()) // it sends what is too old or has landed by now
	if a := b.Attempts[0]; a.Stage == payout.Expired {
		t.Fatalf("said to be dead, and it has paid %d", w.chain.Balance(chain.Address(b.Transfers[0].TokenAccount)))
	}
	w.must(w.payer(p, p, nil).Step(t.Context()))
	if b.State != payout.Done {
		t.Errorf("%+v", b)
	}
}

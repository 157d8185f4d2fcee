package signer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
)

func keyFile(t *testing.T, name string, mode os.FileMode, change func([]int) []int) string {
	t.Helper()
	var numbers []int
	for _, b := range fake.Key(name) {
		numbers = append(numbers, int(b))
	}
	if change != nil {
		numbers = change(numbers)
	}
	text, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func goodKey(t *testing.T) Key {
	t.Helper()
	key, err := ReadKey(keyFile(t, "treasury", 0o600, nil))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeyFiles(t *testing.T) {
	if key := goodKey(t); key.Address() != chain.AddressOf(ed25519.PublicKey(fake.Key("treasury")[32:])) {
		t.Errorf("address %s", key.Address())
	}
	for name, path := range map[string]string{
		"readable by the group": keyFile(t, "treasury", 0o640, nil),
		"readable by others":    keyFile(t, "treasury", 0o604, nil),
		"writable by others":    keyFile(t, "treasury", 0o602, nil),
		"too short":             keyFile(t, "treasury", 0o600, func(n []int) []int { return n[:63] }),
		"not bytes":             keyFile(t, "treasury", 0o600, func(n []int) []int { n[3] = 256; return n }),
		"halves of two keys":    keyFile(t, "treasury", 0o600, func(n []int) []int { n[40] ^= 1; return n }),
		"a directory":           t.TempDir(),
		"missing":               filepath.Join(t.TempDir(), "none"),
	} {
		if _, err := ReadKey(path); err == nil {
			t.Errorf("%s: read", name)
		} else if strings.Contains(err.Error(), fmt.Sprint(fake.Key("treasury")[0])+",") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	key, log, whole := goodKey(t), &bytes.Buffer{}, newBench(t).signer
	slog.New(slog.NewJSONHandler(log, nil)).Info("x", "key", key, "inside", struct{ K Key }{key})
	text, _ := json.Marshal(map[string]any{"key": key, "config": struct{ Key Key }{key}})
	all := fmt.Sprintf("%v %+v %#v %x %s %d %v %+v", key, key, key, key, key, key, struct{ K Key }{key}, &key) + fmt.Sprintf("%+v %#v", *whole, *whole) + log.String() + string(text)
	private := fake.Key("treasury")
	for _, form := range []string{fmt.Sprintf("%x", private[:32]), chain.EncodeBase58(private[:32]), chain.EncodeBase58(private), fmt.Sprint([]byte(private[:4])),
		strings.Trim(fmt.Sprint([]byte(private[:4])), "[]"), base64.StdEncoding.EncodeToString(private[:30]), fmt.Sprintf("%#v", []byte(private[:3]))[7:20]} {
		if strings.Contains(all, form) {
			t.Errorf("printed: %s in %s", form, all)
		}
	}
}

// books is a coordinator that wants what a test says.
type books struct {
	work  []payout.Work
	taken []payout.Attempted
	err   error
}

func (b *books) Work(context.Context) ([]payout.Work, error) { return b.work, nil }

func (b *books) Attempt(_ context.Context, a payout.Attempted) error {
	b.taken = append(b.taken, a)
	return b.err
}

type bench struct {
	t       *testing.T
	chain   *fake.Chain
	books   *books
	config  Config
	signer  *Signer
	account chain.Address // the receiver's
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, chain: fake.New(fake.Config{Window: 20}), books: &books{}}
	key := goodKey(t)
	from := b.chain.Open(key.Address(), fake.USDC())
	b.chain.Fund(from, 1_000_000_000)
	b.account = b.chain.Open(chain.AddressOf(ed25519.PublicKey(fake.Key("receiver")[32:])), fake.USDC())
	b.config = Config{Key: key, Journal: filepath.Join(t.TempDir(), "journal"), Books: b.books, Node: b.chain, Builder: b.chain, Log: slog.New(slog.DiscardHandler),
		Policy: Policy{Rules: []Rule{{Purse: settle.Purse{Mint: fake.USDC(), Account: from, Wallet: key.Address()}, PerTransfer: 100, PerHour: 250}}}}
	b.open()
	t.Cleanup(func() { b.signer.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	if b.signer != nil {
		b.signer.Close()
	}
	var err error
	if b.signer, err = Open(b.config); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(batch string, n int, payouts map[string]int64) {
	w := payout.Work{N: n, Batch: payout.Batch{ID: batch, Asset: money.USDC, State: payout.Open}}
	for id, amount := range payouts {
		w.Batch.Transfers = append(w.Batch.Transfers, payout.Transfer{Payout: id, Wallet: "w", TokenAccount: string(b.account), Amount: amount})
	}
	b.books.work = []payout.Work{w}
}

func (b *bench) signs() payout.Attempted {
	b.t.Helper()
	before := len(b.books.taken)
	err := b.signer.Step(b.t.Context())
	if len(b.books.taken) != before+1 {
		b.t.Fatalf("nothing was signed: %v", err)
	}
	return b.books.taken[before]
}

func (b *bench) refuses(why string) {
	b.t.Helper()
	before := len(b.books.taken)
	if err := b.signer.Step(b.t.Context()); err == nil || !strings.Contains(err.Error(), why) || len(b.books.taken) != before {
		b.t.Errorf("not refused with %q: %v", why, err)
	}
}

func (b *bench) send(a payout.Attempted) {
	b.t.Helper()
	raw, err := base64.StdEncoding.DecodeString(a.Raw)
	if err == nil {
		err = b.chain.Send(b.t.Context(), raw)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestSignsWhatTheBatchSays(t *testing.T) {
	b := newBench(t)
	b.want("pb-1", 1, map[string]int64{"po-1": 60})
	a := b.signs()
	raw, _ := base64.StdEncoding.DecodeString(a.Raw)
	does, _, err := b.chain.Read(raw)
	if err != nil || does.Memo != "rl:po:pb-1" || does.Transfers[0].Amount != 60 || a.LastValidHeight == 0 {
		t.Errorf("%+v %v", does, err)
	}
	b.send(a)
	if b.chain.Balance(b.account) != 60 {
		t.Error("not paid")
	}
}

func TestProposesTheSameBytesAgainAfterACrash(t *testing.T) {
	b := newBench(t)
	b.books.err = errors.New("the line broke")
	b.want("pb-1", 1, map[string]int64{"po-1": 60})
	first := b.signs()
	b.chain.Tick(3)
	b.open()
	if again := b.signs(); again != first {
		t.Errorf("signed anew while the first may live")
	}
	b.chain.Tick(50)
	if later := b.signs(); later.Signature == first.Signature || later.N != 1 {
		t.Error("not signed anew after the first died")
	}
}

// hasty is a node whose blockhashes end earlier, or later, than they do.
type hasty struct {
	*fake.Chain
	by int
}

func (h hasty) Blockhash(ctx context.Context) (chain.Blockhash, error) {
	b, err := h.Chain.Blockhash(ctx)
	b.LastValidHeight = uint64(int(b.LastValidHeight) + h.by)
	return b, err
}

// TestBelievesTheMorePatientNode: whichever of the two says that a transaction dies early, another is not signed while it can be taken.
func TestBelievesTheMorePatientNode(t *testing.T) {
	for name, nodes := range map[string]func(*fake.Chain) (first, second chain.Sender){
		"the first is hasty":  func(c *fake.Chain) (chain.Sender, chain.Sender) { return hasty{c, -15}, c },
		"the second is hasty": func(c *fake.Chain) (chain.Sender, chain.Sender) { return c, hasty{c, -15} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Node, b.config.Second = nodes(b.chain)
			b.open()
			b.want("pb-1", 1, map[string]int64{"po-1": 60})
			first := b.signs()
			b.chain.Tick(10)
			b.want("pb-1", 2, map[string]int64{"po-1": 60})
			b.refuses("may still be paid")
			b.send(first)
		})
	}
}

func TestDoesNotBelieveTheCoordinator(t *testing.T) {
	b := newBench(t)
	b.want("pb-1", 1, map[string]int64{"po-1": 60})
	first := b.signs()
	b.want("pb-1", 2, map[string]int64{"po-1": 60}) // "attempt 1 is dead"
	b.refuses("may still be paid")
	b.want("pb-2", 1, map[string]int64{"po-1": 60}) // the same payout in another batch
	b.refuses("may still be paid")
	b.send(first)
	b.chain.Tick(50)
	b.refuses("was paid already")
	b.open()
	b.refuses("was paid already")
}

func TestPolicy(t *testing.T) {
	b := newBench(t)
	b.want("pb-1", 1, map[string]int64{"po-1": 101})
	b.refuses("is not within")
	b.want("pb-1", 1, map[string]int64{"po-1": 0})
	b.refuses("is not within")
	b.want("pb-1", 1, nil)
	b.refuses("not allowed")
	b.want("pb-1", 1, map[string]int64{"po-1": 50})
	b.books.work[0].Batch.Burn = true
	b.refuses("not allowed")
	b.books.work[0].Batch.Burn, b.books.work[0].Batch.Asset = false, money.IO
	b.refuses("no rule")
	b.books.work[0].Batch.Asset = money.USDC
	b.books.work[0].Batch.Transfers[0].TokenAccount = string(b.config.Policy.Rules[0].Account)
	b.refuses("to ourselves")
	b.config.Policy.Rules[0].Destinations = []string{"elsewhere"}
	b.open()
	b.want("pb-1", 1, map[string]int64{"po-1": 50})
	b.refuses("not on the list")
}

func TestHourlyCapHoldsThroughRestarts(t *testing.T) {
	b := newBench(t)
	b.want("pb-1", 1, map[string]int64{"po-1": 100, "po-2": 50})
	b.signs()
	b.open()
	b.want("pb-2", 1, map[string]int64{"po-3": 100, "po-4": 1})
	b.refuses("the hour has let out 150 of 250")
	b.chain.Tick(50)
	b.want("pb-1", 2, map[string]int64{"po-1": 100, "po-2": 50}) // the same money again does not count
	b.signs()
	b.chain.Tick(50)
	b.want("pb-3", 1, map[string]int64{"po-2": 100}) // more for the same payout does
	b.signs()
	b.want("pb-4", 1, map[string]int64{"po-5": 51})
	b.refuses("the hour has let out 200 of 250")
}

func TestJournalWithATornLine(t *testing.T) {
	b := newBench(t)
	b.want("pb-1", 1, map[string]int64{"po-1": 60})
	first := b.signs()
	file, err := os.OpenFile(b.config.Journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"batch":"pb-2","pay`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	b.open()
	if again := b.signs(); again != first {
		t.Error("the whole line before the torn one was lost")
	}
	b.want("pb-3", 1, map[string]int64{"po-3": 1})
	b.signs()
	b.open() // and what was written after it can be read
	if len(b.signer.journal.records) != 2 {
		t.Errorf("%d records", len(b.signer.journal.records))
	}
	if err := os.WriteFile(b.config.Journal, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.config); err == nil {
		t.Error("a journal of garbage was opened")
	}
}

func TestPolicyFile(t *testing.T) {
	b := newBench(t)
	good, _ := json.Marshal(b.config.Policy)
	path := filepath.Join(t.TempDir(), "policy.json")
	read := func(text string) error {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := ReadPolicy(path)
		if err == nil && p.Rules[0].Account != b.config.Policy.Rules[0].Account {
			t.Errorf("read %+v", p)
		}
		return err
	}
	if err := read(string(good)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "{}", `{"rules":[]}`, strings.Replace(string(good), `"per_hour":250`, `"per_hour":0`, 1),
		strings.Replace(string(good), `"per_hour"`, `"per_day"`, 1), strings.Replace(string(good), `"decimals":6`, `"decimals":8`, 1)} {
		if read(text) == nil {
			t.Errorf("read: %s", text)
		}
	}
	other := b.config
	other.Policy.Rules = []Rule{other.Policy.Rules[0]}
	other.Policy.Rules[0].Wallet = "somebody else"
	if _, err := Open(other); err == nil {
		t.Error("a policy of another wallet was taken")
	}
}

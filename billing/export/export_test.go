package export

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

var update = flag.Bool("update", false, "write the golden files")

type move struct {
	kind, ref string
	postings  []ledger.Posting
	note      any
}

func usd(account string, minor int64) ledger.Posting {
	return ledger.Posting{Account: account, Amount: money.Amount{Minor: minor, Asset: money.USD}}
}

func usdc(account string, minor int64) ledger.Posting {
	return ledger.Posting{Account: account, Amount: money.Amount{Minor: minor, Asset: money.USDC}}
}

func token(account string, minor int64) ledger.Posting {
	return ledger.Posting{Account: account, Amount: money.Amount{Minor: minor, Asset: money.IO}}
}

// story has an entry of every kind, in the forms that billing/DESIGN.md gives: 100 of use in each mix of assets at 0.25 USD/IO.
func story(t testing.TB) *ledger.Ledger {
	moves := []move{
		{"grant", "g-1", []ledger.Posting{usd("treasury:grants", -500e6), usd("tenant:ann", 500e6)}, map[string]string{"reason": "to \"try\", it; (a|b) * ! = date:2020-99-99 [2020/13/40] x:"}},
		{"deposit", "sig1/ata", []ledger.Posting{usdc("treasury:chain", -1000e6), usdc("tenant:ann", 1000e6)}, map[string]string{"signature": "5j7s", "memo": "rl:tu:1"}},
		{"deposit", "sig2/ata", []ledger.Posting{token("treasury:chain", -5000e8), token("tenant:bob", 5000e8)}, nil},
		{"deposit", "sig3/ata", []ledger.Posting{usdc("treasury:chain", -1), usdc("suspense", 1)}, map[string]string{"why": "dust"}},
		{"card", "cs_test_1", []ledger.Posting{usd("treasury:card", -300e6), usd("tenant-card:cy", 300e6)}, nil},
		{"lot", "grants/1", []ledger.Posting{usdc("treasury:chain", -200e6), usdc("lot:grants", 200e6)}, nil},
		{"hold", "c-grant", []ledger.Posting{usd("tenant:ann", -102e6), usd("hold:c-grant", 102e6)}, nil},
		{"hold", "c-usdc", []ledger.Posting{usdc("tenant:ann", -204e6), usdc("hold:c-usdc", 204e6)}, nil},
		{"hold", "c-io", []ledger.Posting{token("tenant:bob", -1200e8), token("hold:c-io", 1200e8)}, nil},
		{"hold", "c-card", []ledger.Posting{usd("tenant-card:cy", -102e6), usd("hold:c-card", 102e6)}, nil},
		{"minute.charged", "l-1/0", []ledger.Posting{usd("hold:c-grant", -102e6), usd("fees", 2e6), usd("fx:in", 100e6), token("fx:in", -400e8), token("fx:out", 400e8),
			usdc("fx:out", -100e6), usdc("supplier-grant:sue", 98e6), usdc("fees", 2e6)}, map[string]any{"ordinal": 0, "purse": "grant"}},
		{"minute.charged", "l-2/0", []ledger.Posting{usdc("hold:c-usdc", -102e6), usdc("fees", 2e6), usdc("fx:in", 100e6), token("fx:in", -400e8), token("fx:out", 400e8),
			usdc("fx:out", -100e6), usdc("supplier:sue", 98e6), usdc("fees", 2e6)}, nil},
		{"minute.charged", "l-2/1", []ledger.Posting{usdc("hold:c-usdc", -102e6), usdc("fees", 2e6), usdc("fx:in", 100e6), token("fx:in", -400e8), token("supplier:tom", 400e8)}, nil},
		{"minute.charged", "l-3/0", []ledger.Posting{token("hold:c-io", -400e8), token("fx:out", 400e8), usdc("fx:out", -100e6), usdc("supplier:sue", 98e6), usdc("fees", 2e6)}, nil},
		{"minute.charged", "l-3/1", []ledger.Posting{token("hold:c-io", -400e8), token("supplier:tom", 400e8)}, nil},
		{"minute.charged", "l-3/2", []ledger.Posting{token("hold:c-io", -400e8), token("supplier-paused:io:sue", 400e8)}, map[string]string{"price_halt": "price-stale"}},
		{"minute.charged", "l-4/0", []ledger.Posting{usd("hold:c-card", -102e6), usd("fees", 2e6), usd("supplier-paused:card:sue", 100e6)}, nil},
		{"minute.waived", "l-4/1", nil, map[string]string{"reason": "no evidence"}},
		{"resume", "io/sue/1", []ledger.Posting{token("supplier-paused:io:sue", -400e8), token("fx:out", 400e8), usdc("fx:out", -100e6), usdc("supplier:sue", 98e6), usdc("fees", 2e6)}, nil},
		{"lot.pay", "sue/1", []ledger.Posting{usdc("lot:grants", -98e6), usdc("fx:out", 98e6), usdc("supplier-grant:sue", -98e6), usdc("supplier:sue", 98e6),
			usdc("fx:out", -98e6), usdc("treasury:chain", 98e6)}, nil},
		{"payout.reserve", "p-1", []ledger.Posting{usdc("supplier:sue", -200e6), usdc("payout:p-1", 200e6)}, nil},
		{"payout.posted", "p-1", []ledger.Posting{usdc("payout:p-1", -200e6), usdc("treasury:chain", 200e6)}, nil},
		{"buyback", "b-1", []ledger.Posting{usdc("fees", -4e6), usdc("treasury:chain", 4e6), token("treasury:chain", -16e8), token("fees", 16e8)}, nil},
		{"burn", "b-1", []ledger.Posting{token("fees", -16e8), token("treasury:chain", 16e8)}, nil},
		{"release", "c-usdc", nil, nil},
	}
	book := ledger.New()
	at := time.Date(2026, 11, 23, 23, 58, 30, 5e8, time.UTC)
	for i, m := range moves {
		if _, err := book.Post(at.Add(time.Duration(i)*7*time.Second), m.kind, m.ref, m.postings, m.note); err != nil {
			t.Fatalf("%s %s: %v", m.kind, m.ref, err)
		}
	}
	return book
}

func golden(t *testing.T, file string, write func(w *bytes.Buffer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := write(&got); err != nil {
		t.Fatal(err)
	}
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s reads otherwise (-update rewrites it):\n%s", file, got.String())
	}
}

func TestGolden(t *testing.T) {
	book := story(t)
	golden(t, "story.csv", func(w *bytes.Buffer) error { return CSV(w, All(book)) })
	golden(t, "story.journal", func(w *bytes.Buffer) error { return HLedger(w, All(book)) })
}

// Whoever sums the CSV's columns gets the ledger's balances.
func TestCSVSums(t *testing.T) {
	book := story(t)
	var file bytes.Buffer
	if err := CSV(&file, All(book)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]money.Amount{}
	for _, row := range rows[1:] {
		if row[4] == "" {
			continue
		}
		amount, err := money.Parse(row[5] + " " + row[6])
		if err != nil {
			t.Fatal(err)
		}
		name := row[4] + " " + row[6]
		if amount.Minor += sums[name].Minor; amount.Minor == 0 {
			delete(sums, name)
		} else {
			sums[name] = amount
		}
	}
	compare(t, sums, book)
}

func compare(t *testing.T, sums map[string]money.Amount, book *ledger.Ledger) {
	t.Helper()
	accounts := book.Accounts()
	for _, account := range accounts {
		if got := sums[account.Name+" "+string(account.Balance.Asset)]; got != account.Balance {
			t.Errorf("%s: %v, the ledger has %v", account.Name, got, account.Balance)
		}
	}
	if len(sums) != len(accounts) {
		t.Errorf("%d balances, the ledger has %d: %v", len(sums), len(accounts), sums)
	}
}

func TestAllTurnsPages(t *testing.T) {
	book := ledger.New()
	for i := range 2*page + 1 {
		if _, err := book.Post(time.Unix(int64(i), 0), "minute.waived", strconv.Itoa(i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var last uint64
	for entry := range All(book) {
		if entry.Seq != last+1 {
			t.Fatalf("entry %d behind %d", entry.Seq, last)
		}
		last = entry.Seq
	}
	if last != 2*page+1 {
		t.Errorf("the last entry was %d", last)
	}
	for entry := range All(book) {
		if entry.Seq == 3 {
			break
		}
	}
}

func TestQuoted(t *testing.T) {
	for name, want := range map[string]string{
		"tenant:ann": "tenant:ann", "supplier-paused:io:sue": "supplier-paused:io:sue", "sig/ata": "sig/ata",
		"(virtual)": "%28virtual%29", "a;b": "a%3Bb", "*x": "%2Ax", ":a::b:": "%3Aa:%3Ab%3A", "100%": "100%25", "": "",
	} {
		if got := quoted(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	// Two names never become one.
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.StringOf(rapid.RuneFrom([]rune("ab:%;(23A"))).Filter(func(s string) bool { return len(s) < 12 })
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		if (quoted(a) == quoted(b)) != (a == b) {
			t.Fatalf("%q and %q are both %q", a, b, quoted(a))
		}
	})
}

func TestRefused(t *testing.T) {
	strange := func(yield func(ledger.Entry) bool) {
		yield(ledger.Entry{Seq: 1, Kind: "k", Ref: "r", Postings: []ledger.Posting{{Account: "a", Amount: money.Amount{Minor: 1, Asset: "EUR"}}}})
	}
	var b bytes.Buffer
	if err := CSV(&b, strange); !errors.Is(err, money.ErrAsset) {
		t.Errorf("CSV: %v", err)
	}
	if err := HLedger(&b, strange); !errors.Is(err, money.ErrAsset) {
		t.Errorf("hledger: %v", err)
	}
	book := story(t)
	if err := CSV(full{}, All(book)); !errors.Is(err, errFull) {
		t.Errorf("CSV to a full disk: %v", err)
	}
	if err := HLedger(full{}, All(book)); !errors.Is(err, errFull) {
		t.Errorf("hledger to a full disk: %v", err)
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// Entries at the edges keep their lines.
func TestEdges(t *testing.T) {
	entry := ledger.Entry{Seq: math.MaxUint64, Kind: "k", Ref: "=1+1", Note: []byte("{\n\"a\": \"x,\\\"\u2028\"}"),
		Postings: []ledger.Posting{token("a", math.MinInt64), token("a", math.MaxInt64)}}
	only := func(yield func(ledger.Entry) bool) { yield(entry) }
	var b bytes.Buffer
	if err := CSV(&b, only); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][5] != "-92233720368.54775808" || rows[1][7] != string(entry.Note) {
		t.Errorf("%q, %v", rows, err)
	}
	b.Reset()
	if err := HLedger(&b, only); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(b.String(), "\n\n")
	if lines := strings.Count(after, "\n"); lines != 5 {
		t.Errorf("%d lines: %s", lines, after)
	}
}

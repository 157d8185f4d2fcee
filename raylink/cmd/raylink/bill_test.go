package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/csv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/verify"
)

// oneOfTwo is the bill of a cluster that paid 1,000 odd minutes from its purse of USDC to a supplier who takes IO, was filled up meanwhile and has ended.
// Another one of the same payer runs beside it.
func oneOfTwo(t *testing.T) (bill []byte, paid money.Amount) {
	t.Helper()
	usdc := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: money.USDC} }
	book, at, paid := ledger.New(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), usdc(0)
	post := func(kind, ref string, note any, postings ...ledger.Posting) {
		t.Helper()
		at = at.Add(time.Second)
		if _, err := book.Post(at, kind, ref, postings, note); err != nil {
			t.Fatalf("%s %s: %v", kind, ref, err)
		}
	}
	move := func(kind, ref, from, to string, a money.Amount) {
		t.Helper()
		post(kind, ref, nil, ledger.Posting{Account: from, Amount: money.Amount{Minor: -a.Minor, Asset: a.Asset}}, ledger.Posting{Account: to, Amount: a})
	}
	move("deposit", "sig", "treasury:chain", "tenant:ann", usdc(9_000_000_000))
	for _, cluster := range []string{"c-mine", "c-beside"} {
		move("hold", cluster, "tenant:ann", ledger.Hold(cluster), usdc(2_000_000_000))
	}
	for i := range int64(1000) {
		for _, cluster := range []string{"c-mine", "c-beside"} {
			use, fee := 1_000_003+i*7, 20_000+i%3
			ref := meter.Ref("l"+cluster[1:], i)
			if cluster == "c-mine" && i%100 == 99 {
				post(meter.KindWaived, ref, map[string]string{"cluster": cluster, "reason": "no evidence, \"of any\""})
				continue
			}
			post(meter.KindCharged, ref, map[string]any{"cluster": cluster, "ordinal": i}, ledger.Posting{Account: ledger.Hold(cluster), Amount: usdc(-use - fee)},
				ledger.Posting{Account: "fees", Amount: usdc(fee)}, ledger.Posting{Account: "fx:in", Amount: usdc(use)},
				ledger.Posting{Account: "fx:in", Amount: money.Amount{Minor: -use * 401, Asset: money.IO}}, ledger.Posting{Account: "supplier:tom", Amount: money.Amount{Minor: use * 401, Asset: money.IO}})
			if cluster == "c-mine" {
				paid.Minor += use + fee
			}
		}
		if i == 500 {
			move("hold.refill", "c-mine/1", "tenant:ann", ledger.Hold("c-mine"), usdc(123_456_789))
		}
	}
	move("release", "c-mine", ledger.Hold("c-mine"), "tenant:ann", usdc(book.Balance(ledger.Hold("c-mine"), money.USDC)))
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	var out bytes.Buffer
	if err := verify.WriteBill(&out, verify.Header{Cluster: "c-mine", ExportedAt: at, GroupKey: public}, book, 0, public, func(m []byte) []byte { return ed25519.Sign(key, m) }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), paid
}

// added adds up rows of account, amount and asset.
func added(t *testing.T, rows [][3]string) map[string]money.Amount {
	t.Helper()
	all := map[string]money.Amount{}
	for _, row := range rows {
		a, err := money.Parse(row[1] + " " + row[2])
		if err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		name := row[0] + " " + row[2]
		if before, ok := all[name]; ok {
			if a, err = a.Add(before); err != nil {
				t.Fatal(err)
			}
		}
		all[name] = a
	}
	return all
}

// written is the bill in another form.
func written(t *testing.T, bill []byte, form string) string {
	t.Helper()
	write, err := writer(nil, form)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := write(t.Context(), func(_ context.Context, w io.Writer) error { _, err := w.Write(bill); return err }, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestBillCanBeSummed: whoever pays can add up his bill with a spreadsheet, and gets to the last unit what left his purse and did not come back.
func TestBillCanBeSummed(t *testing.T) {
	bill, paid := oneOfTwo(t)
	table, err := csv.NewReader(strings.NewReader(written(t, bill, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][3]string
	waived := 0
	for _, row := range table[1:] {
		if row[4] == "" {
			waived++
			continue
		}
		rows = append(rows, [3]string{row[4], row[5], row[6]})
	}
	all := added(t, rows)
	holds(t, "CSV", all, paid)
	if _, beside := all["hold:c-beside USDC"]; beside || waived != 10 || len(rows) != 990*5+3*2 {
		t.Errorf("%d rows, %d minutes waived, another cluster's hold among them: %v", len(rows), waived, beside)
	}
}

// holds compares a bill's sums with what was paid.
func holds(t *testing.T, form string, all map[string]money.Amount, paid money.Amount) {
	t.Helper()
	if left := all["hold:c-mine USDC"]; left.Minor != 0 || all["tenant:ann USDC"].Minor != -paid.Minor {
		t.Errorf("%s: %v are left in the hold, the payer's account changed by %v, and %v was paid", form, left, all["tenant:ann USDC"], paid)
	}
	total := map[money.Asset]int64{}
	for _, a := range all {
		total[a.Asset] += a.Minor
	}
	if total[money.USDC] != 0 || total[money.IO] != 0 || all["supplier:tom IO"].Minor <= 0 {
		t.Errorf("%s: the postings come to %v", form, total)
	}
}

// TestBillInHLedger has the bill judged and added up by a program that is not ours, where it is installed.
func TestBillInHLedger(t *testing.T) {
	program, err := exec.LookPath("hledger")
	if err != nil {
		t.Skip("hledger is not installed (Debian's package hledger)")
	}
	bill, paid := oneOfTwo(t)
	text := written(t, bill, "hledger")
	ask := func(text string, args ...string) ([]byte, error) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "bill.journal")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), program, append([]string{"-f", file}, args...)...)
		c.Env = append(os.Environ(), "LANG=C.UTF-8")
		return c.Output()
	}
	for _, rule := range []string{"balancednoautoconversion", "ordereddates", "commodities"} { // of several at once hledger 1.25 minds the last
		if out, err := ask(text, "check", rule); err != nil {
			t.Errorf("%s: %v %s", rule, err, out)
		}
	}
	out, err := ask(text, "balance", "--flat", "--no-total", "--empty", "--layout=bare", "-O", "csv")
	if err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][3]string
	for _, row := range table[1:] {
		rows = append(rows, [3]string{row[0], row[2], row[1]})
	}
	holds(t, "hledger", added(t, rows), paid)
	if out, err := ask(spoiled(text), "check", "balancednoautoconversion"); err == nil {
		t.Errorf("a micro-USDC too many passes: %s", out)
	}
}

// spoiled is the text with another last digit of its last amount.
func spoiled(text string) string {
	at := strings.LastIndex(text, " USDC\n")
	digit := text[at-1]
	return text[:at-1] + string('0'+(digit-'0'+1)%10) + text[at:]
}

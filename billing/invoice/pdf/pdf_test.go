package pdf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/invoice"
	"raylink/billing/money"
)

func amount(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sample is an invoice of so many leases.
func sample(t testing.TB, leases int) invoice.Invoice {
	in := invoice.Invoice{
		Number: "2026-000117", IssuedAt: time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC), Account: "a-4kq2m7x9bt",
		Issuer:   invoice.Party{Name: "Ring of Zürich", Lines: []string{"Bahnhofstrasse 1", "8001 Zürich, Switzerland", "CHE-123.456.789 MWST"}},
		Customer: invoice.Party{Name: "Zażółć Gęślą Jaźń Sp. z o.o.", Lines: []string{"ul. Łąkowa 7 – Łódź", "Иван Щукин, Αθήνα, 東京"}},
		From:     time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		Totals: []invoice.Total{
			{Use: amount(t, "3.316665 USD"), Fee: amount(t, "0.066334 USDC"), Paid: amount(t, "3.382999 USDC")},
			{Use: amount(t, "9 USD"), Fee: amount(t, "0 IO"), Paid: amount(t, "35.99359316 IO")},
		},
		Balances: []invoice.Balance{
			{Before: amount(t, "0 USDC"), Movements: []invoice.Movement{{Kind: "deposit", Entries: 1, Amount: amount(t, "100 USDC")}, {Kind: "minute.charged", Entries: 171, Amount: amount(t, "-3.382999 USDC")},
				{Kind: "withdraw", Entries: 1, Amount: amount(t, "-30 USDC")}}, After: amount(t, "66.617001 USDC")},
			{Before: amount(t, "1000 IO"), Movements: []invoice.Movement{{Kind: "minute.charged", Entries: 90, Amount: amount(t, "-35.99359316 IO")}}, After: amount(t, "964.00640684 IO")},
		},
		Journal: invoice.Range{First: 1812, Last: 96400, Hash: fmt.Sprintf("%x", sha256.Sum256([]byte("head")))},
	}
	for i := range leases {
		l := invoice.Line{Cluster: fmt.Sprintf("c-%04d", i/9), ClusterName: fmt.Sprintf("train-llama-%d", i/9), Lease: fmt.Sprintf("l-%d", i), Node: fmt.Sprintf("gpu-workers-%d", i%9), Machine: "m-7h2k9q4wxz",
			Purse: exchange.USDC, Rate: 2_345_678, FeeBasisPoints: 200, Charged: 81, Waived: 9, Use: amount(t, "3.166665 USD"), Fee: amount(t, "0.063334 USDC"), Paid: amount(t, "3.229999 USDC"),
			Prices: &invoice.Prices{Low: 250_000_000_000, High: 250_089_000_000, FirstID: 1, LastID: 90}}
		if i/9%2 == 1 {
			l.Purse, l.FeeBasisPoints, l.Fee, l.Paid = exchange.IO, 0, amount(t, "0 IO"), amount(t, "35.99359316 IO")
		}
		in.Lines = append(in.Lines, l)
	}
	return in
}

func printed(t testing.TB, in invoice.Invoice) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts are all strings that the document shows, decoded from Windows-1252 as far as the tests need it.
func texts(document []byte) string {
	var b strings.Builder
	for _, shown := range regexp.MustCompile(`\(((?:[^()\\]|\\.)*)\)\s*Tj`).FindAllSubmatch(document, -1) {
		for _, char := range bytes.ReplaceAll(shown[1], []byte(`\`), nil) {
			b.WriteRune(rune(char))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestShowsWhatCounts(t *testing.T) {
	in := sample(t, 12)
	shown := texts(printed(t, in))
	for _, want := range []string{"INVOICE", in.Number, "1 December 2026", "Ring of Zürich", "Zazólc Gesla Jazn Sp. z o.o.", "Ivan Shchukin, Athina, ??", "a-4kq2m7x9bt",
		"3.382999 USDC", "35.99359316 IO", "use 3.316665 USD, fee 0.066334 USDC", "2.345678 USD/h", "81 min", "9 min", "66.617001 USDC", "964.00640684 IO", "-30.000000 USDC",
		"2 %: USDC; none: IO.", "0.250000000000 USD/IO to 0.250089000000 USD/IO", "entries 1812 to 96400", in.Journal.Hash, "raylink verify journal.jsonl", "Page 2 of 2", "Nothing is due"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not on the invoice:\n%s", want, shown)
		}
	}
}

func TestSameBytes(t *testing.T) {
	in := sample(t, 40)
	first := printed(t, in)
	if !bytes.Equal(first, printed(t, in)) {
		t.Error("the same invoice gave other bytes")
	}
	in.IssuedAt = in.IssuedAt.In(time.FixedZone("elsewhere", 3*3600))
	if !bytes.Equal(first, printed(t, in)) {
		t.Error("the zone of a time changed the bytes")
	}
	in.Totals[0].Paid.Minor++
	if bytes.Equal(first, printed(t, in)) {
		t.Error("another invoice gave the same bytes")
	}
	if now := time.Now().UTC().Format("D:2006"); bytes.Contains(bytes.ReplaceAll(first, []byte("D:20261201"), nil), []byte(now)) {
		t.Error("today's date is in the document")
	}
}

func TestManyPages(t *testing.T) {
	in := sample(t, 400)
	document := printed(t, in)
	shown := texts(document)
	pages := len(regexp.MustCompile(`/Type /Page\b[^s]`).FindAll(document, -1))
	if pages < 9 || pages > 15 || !strings.Contains(shown, fmt.Sprintf("Page %d of %d", pages, pages)) {
		t.Errorf("%d pages: %q", pages, regexp.MustCompile(`Page \d+ of .*`).FindAllString(shown, -1))
	}
	if got := strings.Count(shown, "m-7h2k9q4wxz"); got != len(in.Lines) {
		t.Errorf("%d lines of %d", got, len(in.Lines))
	}
	if got := strings.Count(shown, "Price per hour"); got < pages-1 || got > pages {
		t.Errorf("the titles stand %d times on %d pages", got, pages)
	}
}

func TestEdges(t *testing.T) {
	long := strings.Repeat("Wü", 500)
	in := invoice.Invoice{Number: long, Issuer: invoice.Party{Name: long, Lines: strings.Split(strings.Repeat(long+"\n", 50), "\n")}, Customer: invoice.Party{Name: "(\\) {n} \x00\n\t", Lines: []string{long, ""}}, Account: long, Cluster: long}
	if shown := texts(printed(t, in)); !strings.Contains(shown, "Nothing was charged") || !strings.Contains(shown, "() (n)") {
		t.Error(shown)
	}
	most := money.Amount{Minor: math.MaxInt64, Asset: money.USDC}
	in = sample(t, 1)
	in.Lines[0].Node, in.Lines[0].Machine, in.Lines[0].Rate, in.Lines[0].Use, in.Lines[0].Paid = long, long, math.MaxInt64, most, most
	in.Totals[0].Paid = most
	if shown := texts(printed(t, in)); strings.Count(shown, most.String()) != 3 {
		t.Errorf("the largest amount is cut:\n%s", shown)
	}
	if err := Write(full{}, in); !errors.Is(err, errFull) {
		t.Errorf("to a full disk: %v", err)
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestLatin(t *testing.T) {
	for text, want := range map[string]string{
		"plain ~": "plain ~", "Zürich": "Z\xfcrich", "€ “x” … Š": "\x80 \x93x\x94 \x85 \x8a", "Łódź Ŧŧſ Ĳ": "L\xf3dz Tts J", "Щука ёж Київ": "Shchuka yozh Kiiv",
		"Ωμέγα ς": "Omega s", "東京": "??", "e\u0301": "e", "a\u00a0b\tc": "a\xa0b c", "\x81\u0081": "\x3f ", "😀": "?",
	} {
		if got := latin(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for points, want := range map[int64]string{200: "2", 25: "0.25", 150: "1.5", 10_000: "100", 1000: "10", 0: "0"} {
		if got := percent(points); got != want {
			t.Errorf("%d is %s, want %s", points, got, want)
		}
	}
}

// Another program must read the document as we mean it.
func TestPopplerReads(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs the program pdftotext; runs with RAYLINK_REAL=1")
	}
	program, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Fatal("pdftotext is not installed (Debian's package poppler-utils)")
	}
	file := filepath.Join(t.TempDir(), "invoice.pdf")
	if err := os.WriteFile(file, printed(t, sample(t, 60)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-layout", file, "-")
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	for _, want := range []string{"3.382999 USDC", "35.99359316 IO", "Ring of Zürich", "Page 2 of 3", "raylink verify journal.jsonl"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("pdftotext does not see %q:\n%s", want, out)
		}
	}
}

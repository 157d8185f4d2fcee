package verify

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// sealedAtOnce is how many minutes coordinators settle in one command.
const sealedAtOnce = 20

// minutesOf is a journal of so many charged minutes of one lease from USDC to USDC, with what is paid in.
func minutesOf(count int) []ledger.Entry {
	entries := []ledger.Entry{
		moved("deposit", "sig1/ours-usdc", ledger.TreasuryChain, ledger.Tenant("ann"), "1000000 USDC"),
		moved("hold", "c-usdc", ledger.Tenant("ann"), ledger.Hold("c-usdc"), "1000000 USDC"),
	}
	lease := meter.Lease{Rate: 120_001, FeeBasisPoints: 200}
	notes := make([]*meter.MinuteNote, count)
	for ordinal := range notes {
		n := mixNote(exchange.USDC, money.USDC, int64(ordinal), false)
		notes[ordinal] = &n
	}
	for part := range slices.Chunk(notes, sealedAtOnce) {
		seal('G', part...)
	}
	for ordinal := range int64(count) {
		n := *notes[ordinal]
		m := minuteIn(n)
		m.Use, m.Fee, _ = lease.Charge(ordinal)
		m.SupplierFee, _ = lease.SupplierFee(m.Use, n.SupplierFeeBasisPoints)
		entries = append(entries, mixedAs(n, m))
	}
	return entries
}

// BenchmarkVerify is the speed of verification, of charged minutes with two signatures each, and a coordinator's under twenty.
func BenchmarkVerify(b *testing.B) {
	const count = 2000
	file := export(b, header(), minutesOf(count))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		report, err := VerifyWith(bytes.NewReader(file), shared)
		if err != nil || !report.OK() || report.Entries != count+2 {
			b.Fatal(err, report.Problems)
		}
	}
	b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkMillion verifies a journal of a million entries, nearly all of them charged minutes with two signatures each and a coordinator's under twenty, from a file as `raylink verify` does. To
// make the file takes about a minute before it begins.
func BenchmarkMillion(b *testing.B) { benchLong(b, 1_000_000) }

// TestLongJournal: the benchmark's journal, short.
func TestLongJournal(t *testing.T) { verifyLong(t, writeLong(t, 300), 300) }

func benchLong(b *testing.B, count int) {
	file := writeLong(b, count)
	var after runtime.MemStats
	for b.Loop() {
		verifyLong(b, file, count)
		runtime.ReadMemStats(&after)
	}
	b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(after.HeapSys)/(1<<20), "MiB")
}

// long is a journal of so many entries that makes them as they are read, so that it need not be in memory: two to begin with, and minutes of leases of a
// day each.
type long struct {
	count uint64
	prev  string
	lease meter.Lease
	notes []*meter.MinuteNote // signed together, that come next
}

const minutesADay = 24 * 60

func (l *long) Entries(after uint64, limit int) (page []ledger.Entry) {
	for seq := after + 1; seq <= min(l.count, after+uint64(limit)); seq++ {
		e := l.entry(seq)
		e.Seq, e.At, e.Prev = seq, noon.Add(time.Duration(seq)*time.Second), l.prev
		e.Hash = ledger.HashOf(e)
		l.prev = e.Hash
		page = append(page, e)
	}
	return page
}

func (l *long) entry(seq uint64) ledger.Entry {
	switch seq {
	case 1:
		return moved("deposit", "sig1/ours-usdc", ledger.TreasuryChain, ledger.Tenant("ann"), "1000000 USDC")
	case 2:
		return moved("hold", "c-usdc", ledger.Tenant("ann"), ledger.Hold("c-usdc"), "1000000 USDC")
	}
	at := int64(seq - 3)
	if at%minutesADay == 0 {
		l.lease = meter.Lease{Rate: 120_001, FeeBasisPoints: 200}
	}
	if len(l.notes) == 0 {
		for i := range int64(sealedAtOnce) {
			n := mixNote(exchange.USDC, money.USDC, (at+i)%minutesADay, false)
			n.Lease = fmt.Sprintf("l-%d", (at+i)/minutesADay)
			sign(&n)
			l.notes = append(l.notes, &n)
		}
		seal('G', l.notes...)
	}
	n := *l.notes[0]
	l.notes = l.notes[1:]
	m := minuteIn(n)
	m.Use, m.Fee, _ = l.lease.Charge(n.Ordinal)
	m.SupplierFee, _ = l.lease.SupplierFee(m.Use, n.SupplierFeeBasisPoints)
	return mixedAs(n, m)
}

func writeLong(t testing.TB, count int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.jsonl")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	err = Write(w, header(), &long{count: uint64(count)}, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) })
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func verifyLong(t testing.TB, path string, count int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	report, err := VerifyWith(file, shared)
	if err != nil || !report.OK() || report.Entries != count {
		t.Fatal(err, report.Entries, report.Problems)
	}
}

// shared gives each processor its part.
func shared(n int, do func(i int)) {
	var all sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := worker; i < n; i += runtime.GOMAXPROCS(0) {
				do(i)
			}
		})
	}
	all.Wait()
}

// TestSharedWork: with the signatures checked by several at once, the same is found.
func TestSharedWork(t *testing.T) {
	entries := minutesOf(60)
	entries[7].Note = bytes.Replace(entries[7].Note, []byte(`"seconds":60`), []byte(`"seconds":59`), 1)
	entries[40].Note = bytes.Replace(entries[40].Note, []byte(`"seconds":60`), []byte(`"seconds":59`), 1)
	file := export(t, header(), entries)
	one, err := Verify(bytes.NewReader(file))
	many, errMany := VerifyWith(bytes.NewReader(file), shared)
	if err != nil || errMany != nil || len(one.Problems) == 0 || fmt.Sprint(one) != fmt.Sprint(many) {
		t.Errorf("%v %v\n%v\n%v", err, errMany, one.Problems, many.Problems)
	}
}

// BenchmarkSignature is the part of it that the two signatures are.
func BenchmarkSignature(b *testing.B) {
	message := minuteBytes("l-1", 7, 60, "ray")
	signature := ed25519.Sign(key('1'), message)
	for b.Loop() {
		if !fits(public('1'), message, signature) {
			b.Fatal("does not fit")
		}
	}
}

// A long lease keeps its totals: each minute differs from the next by its rounding.
func TestLongLease(t *testing.T) {
	report, err := Verify(bytes.NewReader(export(t, header(), minutesOf(130))))
	if err != nil || !report.OK() {
		t.Fatal(err, report.Problems)
	}
	l := report.Leases[0]
	if got := fmt.Sprint(l.Charged, l.Use, l.Fee, l.SupplierFee, l.Paid); got != "130 0.260002 USD 0.005201 USD 0.005201 USD 0.265203 USDC" {
		t.Error(got)
	}
	if report.ExportedAt.Sub(noon) != time.Hour {
		t.Error(report.ExportedAt)
	}
}

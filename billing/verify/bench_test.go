package verify

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// minutesOf is a journal of so many charged minutes of one lease from USDC to USDC, with what is paid in.
func minutesOf(count int) []ledger.Entry {
	entries := []ledger.Entry{
		moved("deposit", "sig1/ours-usdc", ledger.TreasuryChain, ledger.Tenant("ann"), "1000000 USDC"),
		moved("hold", "c-usdc", ledger.Tenant("ann"), ledger.Hold("c-usdc"), "1000000 USDC"),
	}
	lease := meter.Lease{Rate: 120_001, FeeBasisPoints: 200}
	for ordinal := range int64(count) {
		n := mixNote(exchange.USDC, money.USDC, ordinal, false)
		m := minuteIn(n)
		m.Use, m.Fee, _ = lease.Charge(ordinal)
		m.SupplierFee, _ = lease.SupplierFee(m.Use, n.SupplierFeeBasisPoints)
		entries = append(entries, mixedAs(n, m))
	}
	return entries
}

// BenchmarkVerify is the speed of verification, of charged minutes with two signatures each.
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

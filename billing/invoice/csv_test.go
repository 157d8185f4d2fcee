package invoice

import (
	"bytes"
	"encoding/csv"
	"testing"
	"time"

	"raylink/billing/money"
)

// TestCSVComesToTheBalance: whoever sums the column of amounts for one asset gets the balance after the period, whatever the invoice is about; the leases
// alone come to what was paid.
func TestCSVComesToTheBalance(t *testing.T) {
	w := november(t)
	account, cluster, period := order(), order(), order()
	cluster.Cluster = "c-usdc"
	period.From, period.To = w.book.Entries(0, 100)[99].At, w.at.Add(-time.Minute)
	early := order()
	early.To = w.book.Entries(0, 1)[0].At
	for what, o := range map[string]Order{"account": account, "cluster": cluster, "period": period, "before anything": early} {
		x := build(t, o, w.book)
		var text bytes.Buffer
		if err := CSV(&text, x); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&text).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		after, paid, leases := map[money.Asset]int64{}, map[money.Asset]int64{}, 0
		for _, row := range rows[1:] {
			a, err := money.Parse(row[11] + " " + row[12])
			if err != nil {
				t.Fatalf("%s: %q: %v", what, row, err)
			}
			if after[a.Asset] += a.Minor; row[3] != "" {
				paid[a.Asset] -= a.Minor
				leases++
			}
		}
		for _, b := range x.Balances {
			if after[b.After.Asset] != b.After.Minor {
				t.Errorf("%s: the rows come to %d, and the balance after is %s", what, after[b.After.Asset], b.After)
			}
		}
		for _, total := range x.Totals {
			if paid[total.Paid.Asset] != total.Paid.Minor {
				t.Errorf("%s: the leases come to %d, and %s was paid", what, paid[total.Paid.Asset], total.Paid)
			}
		}
		if leases != len(x.Lines) || len(after) != len(x.Balances) {
			t.Errorf("%s: %d leases of %d, %d assets of %d", what, leases, len(x.Lines), len(after), len(x.Balances))
		}
	}
}

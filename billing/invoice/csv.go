package invoice

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"raylink/billing/meter"
	"raylink/billing/money"
)

// columns of the CSV, in their order.
func columns() []string {
	return []string{"what", "cluster", "name", "lease", "node", "machine", "rate", "charged", "waived", "use_usd", "fee", "amount", "asset", "from", "to"}
}

// CSV writes the invoice for a spreadsheet, RFC 4180 with a header line: for each asset the balance before the period and what came in and went out, by
// the journal's kinds of entries; then each lease (what is minute.charged), whose amount is below zero. So the column amount, summed for one asset, is
// the balance after the period. Fee and amount are in the asset; rate is in USD an hour; charged and waived are minutes, or the number of entries in a row
// that is no lease. Times are RFC 3339 in UTC, from is empty for the beginning. It proves nothing by itself.
func CSV(w io.Writer, x Invoice) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	period := []string{"", x.To.UTC().Format(time.RFC3339Nano)}
	if !x.From.IsZero() {
		period[0] = x.From.UTC().Format(time.RFC3339Nano)
	}
	rows := [][]string{columns()}
	for _, b := range x.Balances {
		rows = append(rows, append(sum("balance before", 0, b.Before), period...))
		for _, m := range b.Movements {
			if m.Kind != meter.KindCharged { // that is the leases
				rows = append(rows, append(sum(m.Kind, m.Entries, m.Amount), period...))
			}
		}
	}
	for _, l := range x.Lines {
		row, err := leased(l)
		if err != nil {
			return fmt.Errorf("writing the invoice as CSV: %w", err)
		}
		rows = append(rows, append(row, period...))
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing the invoice as CSV: %w", err)
	}
	return nil
}

// sum is a row of one amount, all of so many entries.
func sum(what string, entries int64, a money.Amount) []string {
	count := ""
	if entries > 0 {
		count = strconv.FormatInt(entries, 10)
	}
	return []string{what, "", "", "", "", "", "", count, "", "", "", number(a), string(a.Asset)}
}

// leased is a lease's row.
func leased(l Line) ([]string, error) {
	gone, err := l.Paid.Neg()
	if err != nil {
		return nil, err
	}
	hour, _, _ := strings.Cut(l.Rate.String(), " ")
	return []string{meter.KindCharged, l.Cluster, l.ClusterName, l.Lease, l.Node, l.Machine, hour, strconv.FormatInt(l.Charged, 10), strconv.FormatInt(l.Waived, 10),
		number(l.Use), number(l.Fee), number(gone), string(l.Paid.Asset)}, nil
}

// number is an amount without its asset, with all decimals.
func number(a money.Amount) string {
	text, _, _ := strings.Cut(a.String(), " ")
	return text
}

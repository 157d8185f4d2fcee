package exchange

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"raylink/billing/money"
)

// TestDesignTable: the design page shows the worked example of each mix as Postings has it.
func TestDesignTable(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	const hundred, quarter = 100_000_000, 250_000_000_000
	for _, halted := range []bool{false, true} {
		for _, p := range Purses() {
			for _, takes := range []money.Asset{money.USDC, money.IO} {
				m := Minute{Cluster: "c", Supplier: "s", Purse: p, Takes: takes, Use: hundred, Price: quarter, Halted: halted}
				m.Fee, _ = money.Fee(m.Use, p.FeeBasisPoints())
				m.SupplierFee, _ = money.Fee(m.Use, m.SupplierFeeBasisPoints())
				list, err := Postings(m)
				if err != nil {
					t.Fatal(err)
				}
				var cells []string
				for _, posting := range list {
					cells = append(cells, posting.Account+" "+short(posting.Amount))
				}
				row := fmt.Sprintf("\n| %s | %s | %s |\n", p, takes, strings.Join(cells, "; "))
				if !strings.Contains(string(design), row) {
					t.Errorf("DESIGN.md lacks, halted %v:%s", halted, row)
				}
			}
		}
	}
}

// short is an amount without the zeros behind its point, and with a plus where it is one.
func short(a money.Amount) string {
	number, asset, _ := strings.Cut(a.String(), " ")
	number = strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
	if a.Sign() > 0 {
		number = "+" + number
	}
	return number + " " + asset
}

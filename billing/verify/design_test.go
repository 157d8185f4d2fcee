package verify

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
)

// The export of the design page is one that verifies, and all of it stands there.
func TestDesignVector(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	h := header()
	delete(h.Machines, "m-2")
	file := export(t, h, vector())
	if report, err := Verify(bytes.NewReader(file)); err != nil || !report.OK() {
		t.Fatal(err, report.Problems)
	}
	if !bytes.Contains(design, append([]byte("```\n"), append(file, "```"...)...)) {
		t.Errorf("DESIGN.md lacks the export\n%s", file)
	}
}

// vector is the journal of the design page.
func vector() []ledger.Entry {
	return []ledger.Entry{
		moved("deposit", "sig1/ours-usdc", ledger.TreasuryChain, ledger.Tenant("ann"), "1 USDC"),
		moved("hold", "c-usdc", ledger.Tenant("ann"), ledger.Hold("c-usdc"), "0.5 USDC"),
		mixed(mixNote(exchange.USDC, money.USDC, 0, false)),
	}
}

// The design page names every kind that moves money, with what it may touch.
func TestDesignKinds(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range kinds() {
		row := "\n| `" + name + "` | " + strings.Join(kind.debits, ", ") + " | " + strings.Join(kind.credits, ", ") + " |"
		if !strings.Contains(string(design), row) {
			t.Errorf("DESIGN.md lacks%s", row)
		}
	}
}

package api

import (
	"bytes"
	"testing"
	"time"

	"raylink/billing/invoice"
	"raylink/billing/money"
	"raylink/billing/settle/audit"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// An invoice says what the bill says, and how the balances came to be what they are.
func TestInvoice(t *testing.T) {
	r := newRig(t)
	var bill wire.Bill
	r.call("ada", "GET", "/v1/clusters/ready/bill", nil).into(t, &bill)
	for _, path := range []string{"/v1/invoice", "/v1/invoice?cluster=ready"} {
		var made invoice.Invoice
		r.call("ada", "GET", path, nil).into(t, &made)
		if made.Customer.Name != "ada" || len(made.Lines) != 1 || made.Lines[0].ClusterName != "ready" || made.Lines[0].Charged != minutes || made.Totals[0].Paid != bill.Paid {
			t.Errorf("%s: %+v", path, made)
		}
	}
	var all invoice.Invoice
	r.call("admin", "GET", "/v1/invoice?account="+string(id[raylink.AccountID]("acc", "ada")), nil).into(t, &all)
	var held money.Amount
	for _, b := range all.Balances {
		if b.After.Asset == money.USDC {
			held = b.After
		}
	}
	if held != (money.Amount{Minor: 2_000_000, Asset: money.USDC}) {
		t.Errorf("of a deposit of 2 USDC the invoice shows %v", held)
	}
	var before invoice.Invoice
	r.call("ada", "GET", "/v1/invoice?to="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), nil).into(t, &before)
	if len(before.Lines) != 0 || before.Journal.Last != 0 {
		t.Errorf("before anything was: %+v", before)
	}
}

// The export says where the tokens are, for those who ask the chain.
func TestExportNamesTheTreasury(t *testing.T) {
	r := newRig(t)
	books := audit.NewBooks()
	if _, err := books.Write(r.call("admin", "GET", "/v1/journal", nil).body); err != nil || books.Err() != nil {
		t.Fatal(err, books.Err())
	}
	mints := books.Mints()
	if books.Chain() != "local" || len(mints) != 1 || string(mints[0].Address) != address("usdc") || books.ExportedAt().IsZero() {
		t.Errorf("%s %+v", books.Chain(), mints)
	}
	if !bytes.Contains(r.call("admin", "GET", "/v1/journal", nil).body, []byte(address("ours"))) {
		t.Error("the token account is missing")
	}
}

package dashboard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// constants are the values of a file's constants of a type, or without one where the type is empty.
func constants(t *testing.T, file, kind string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		name, _ := spec.Type.(*ast.Ident)
		text, literal := spec.Values[0].(*ast.BasicLit)
		if literal && text.Kind == token.STRING && (name != nil && name.Name == kind || name == nil && kind == "") {
			values[spec.Names[0].Name], _ = strconv.Unquote(text.Value)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s has no constants of type %q", file, kind)
	}
	return values
}

// TestEveryReasonHasWords reads the codes where they are made.
func TestEveryReasonHasWords(t *testing.T) {
	for _, c := range []struct {
		file, kind string
		words      func(string) string
	}{
		{"../../billing/payout/payout.go", "Code", func(code string) string { return why(payout.Code(code)) }},
		{"../../billing/settle/chain/chain.go", "FailureCode", func(code string) string { return why(payout.Code(code)) }},
		{"../../billing/deposit/deposit.go", "Reason", func(code string) string { return came(deposit.Reason(code)) }},
		{"../../billing/price/book.go", "", doubt},
	} {
		for name, code := range constants(t, c.file, c.kind) {
			if c.words(code) == code || len(c.words(code)) < 10 {
				t.Errorf("%s of %s has no words, but %q", name, c.file, c.words(code))
			}
		}
	}
	if why("new-code") != "new-code" || came("new") != "new" || doubt("new") != "new" || purse("new") != "new" {
		t.Error("an unknown code is not shown as it is")
	}
}

func TestParts(t *testing.T) {
	for want, l := range map[string]payout.Line{
		"earned": {Code: payout.BelowMinimum}, "held": {Code: payout.HeldGrant}, "paused": {Code: payout.PricePaused}, "in flight": {Code: payout.CapHour, Payout: "po-1", State: payout.Waiting},
		"blocked": {Code: payout.ChainFrozen, Payout: "po-1", State: payout.Blocked},
	} {
		if got := partOf(l).String(); got != want {
			t.Errorf("%+v is %s, not %s", l, got, want)
		}
	}
}

// TestPurses: what purses pay for, and that they last as long as the group says, which alone knows.
func TestPurses(t *testing.T) {
	const quarter = money.Price(250_000_000_000)
	now, tomorrow := wire.Price{Price: quarter}, time.Now().Add(24*time.Hour+20*time.Second)
	source := Source{
		Clusters: func(raylink.AccountID, raylink.Role) []wire.Cluster {
			return []wire.Cluster{
				{ID: "c-usdc", Phase: raylink.PhaseReady, PerHour: money.MicroUSD(1_000_000)}, {ID: "c-io", Phase: raylink.PhaseReady, PerHour: money.MicroUSD(1_000_000)},
				{ID: "c-io2", Phase: raylink.PhaseEnded, PerHour: money.MicroUSD(9_000_000)},
			}
		},
		Price: func() wire.Price { return now },
		Till: Till{Purses: func(raylink.AccountID) map[raylink.ClusterID]string {
			return map[raylink.ClusterID]string{"c-usdc": "usdc", "c-io": "io", "c-io2": "io"}
		}},
	}
	d := &Dashboard{source: source}
	fill := func() *balancePage {
		p := &balancePage{Balance: wire.Balance{Purses: []wire.Purse{
			{Purse: "grant", Free: money.MicroUSD(5_000_000), Held: money.MicroUSD(0)},
			{Purse: "usdc", Free: money.Amount{Minor: 9_180_000, Asset: money.USDC}, Held: money.Amount{Minor: 1_020_000, Asset: money.USDC}, RunsOutAt: &tomorrow},
			{Purse: "io", Free: money.Amount{Minor: 10_000_000_000, Asset: money.IO}, Held: money.Amount{Minor: 400_000_000, Asset: money.IO}},
		}}}
		if err := d.fillPurses(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := fill()
	grant, usdc, io := p.Purses[0], p.Purses[1], p.Purses[2]
	if grant.Running != 0 || grant.LastsFor != 0 {
		t.Errorf("a purse that pays for nothing: %+v", grant)
	}
	if amount(usdc.PerHour) != "1.02 USDC" || usdc.LastsFor != 24*time.Hour {
		t.Errorf("1 USD an hour and its fee, until tomorrow: %+v", usdc)
	}
	if io.Running != 1 || amount(io.PerHour) != "4.00 IO" || io.LastsFor != 0 {
		t.Errorf("4 IO an hour without a fee, and nobody says until when: %+v", io)
	}
	now = wire.Price{Halt: "price-stale"}
	if io = fill().Purses[2]; !io.Unknown {
		t.Errorf("no price at all: %+v", io)
	}
	now.Last = &price.Snapshot{Price: quarter}
	if io = fill().Purses[2]; io.Unknown || io.Halt != "price-stale" {
		t.Errorf("a halt, at the last price: %+v", io)
	}
}

func TestPositionRows(t *testing.T) {
	rows := positionRows([]wire.Position{{Asset: money.USDC, Chain: money.Amount{Minor: 7, Asset: money.USDC}, Free: money.Amount{Minor: 3, Asset: money.USDC}}, {Asset: money.IO}})
	if len(rows) != 13 || rows[0].Amounts[0].Minor != 7 || rows[12].Amounts[0].Minor != 3 || len(rows[5].Amounts) != 2 {
		t.Errorf("rows %+v", rows)
	}
}

func TestBatchRows(t *testing.T) {
	attempt := payout.Attempt{N: 1, Signature: "s"}
	dead := attempt
	dead.Stage = payout.Expired
	rows := batchRows([]payout.Batch{{Asset: money.IO, Transfers: []payout.Transfer{{Amount: 2}, {Amount: 3}}}, {Attempts: []payout.Attempt{attempt}}, {Attempts: []payout.Attempt{attempt, dead}}})
	if rows[0].Sum.Minor != 5 || rows[0].Last != nil || rows[1].Stage == rows[0].Stage || rows[2].Stage == rows[1].Stage {
		t.Errorf("rows %+v", rows)
	}
}

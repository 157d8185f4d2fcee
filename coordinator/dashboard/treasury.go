package dashboard

import (
	"cmp"
	"slices"

	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
	"raylink/raylink/wire"
)

type earningsPage struct {
	wire.Earnings
	Name     string
	Own      bool
	Earned   wire.Sums // could go out with the next run, but for what its line says
	Held     wire.Sums // waits for its lot
	Paused   wire.Sums // waits for a price
	InFlight wire.Sums
	Blocked  wire.Sums
}

func (d *Dashboard) earnings(c *gin.Context, who *visitor) (view, error) {
	account := raylink.AccountID(cmp.Or(c.Query("account"), string(who.Account)))
	if account != who.Account && !who.admin() {
		return view{}, raylink.Errorf(raylink.CodeForbidden, "only an admin may see another account's earnings")
	}
	b, err := d.source.Balance(account)
	if err != nil {
		return view{}, err
	}
	p := earningsPage{Earnings: d.source.Earnings(account), Name: b.Name, Own: account == who.Account}
	parts := map[part]map[money.Asset]int64{}
	for _, l := range p.Lines {
		kind := partOf(l)
		if parts[kind] == nil {
			parts[kind] = map[money.Asset]int64{}
		}
		parts[kind][l.Amount.Asset] += l.Amount.Minor
	}
	sum := func(kind part) wire.Sums {
		return wire.SumsOf(func(asset money.Asset) int64 { return parts[kind][asset] })
	}
	p.Earned, p.Held, p.Paused, p.InFlight, p.Blocked = sum(partEarned), sum(partHeld), sum(partPaused), sum(partInFlight), sum(partBlocked)
	v := view{name: "earnings", title: "Earnings", section: "/ui/earnings", refresh: refreshCalm, data: &p}
	if !p.Own {
		v.section = "/ui/accounts"
	}
	return v, nil
}

type treasuryPage struct {
	wire.Treasury
	Price  wire.Price
	Owners owners
	Rows   []positionRow
	Flying []batchRow
}

// batchRow is a batch that is on its way.
type batchRow struct {
	payout.Batch
	Sum   money.Amount
	Last  *payout.Attempt // nil before the first
	Stage string          // how far it is, in words
}

// batchRows show each batch with its last attempt.
func batchRows(batches []payout.Batch) []batchRow {
	rows := make([]batchRow, len(batches))
	for i, b := range batches {
		r := batchRow{Batch: b, Sum: money.Amount{Minor: b.Total(), Asset: b.Asset}, Stage: "waits for a signer"}
		if n := len(b.Attempts); n > 0 {
			r.Last, r.Stage = &b.Attempts[n-1], "signed, and sent until it is final"
			if r.Last.Stage != "" {
				r.Stage = string(r.Last.Stage) + "; waits for a signer to sign it anew"
			}
		}
		rows[i] = r
	}
	return rows
}

// positionRow is one part of what the treasury holds, in each asset.
type positionRow struct {
	Name, About string
	Amounts     []money.Amount
	Sum         bool // of the books' own, not somebody's part
}

func (d *Dashboard) treasury(_ *gin.Context, who *visitor) (view, error) {
	p := treasuryPage{Treasury: d.source.Treasury(), Price: d.source.Price(), Owners: d.owners(who)}
	p.Rows, p.Flying = positionRows(p.Positions), batchRows(p.InFlight)
	p.Buybacks = slices.Clone(p.Buybacks)
	slices.Reverse(p.Buybacks)
	return view{name: "treasury", title: "Treasury", section: "/ui/treasury", refresh: refreshCalm, data: &p}, nil
}

func positionRows(positions []wire.Position) []positionRow {
	var rows []positionRow
	for _, r := range []struct {
		name, about string
		of          func(wire.Position) money.Amount
		sum         bool
	}{
		{"On chain, by the books", "what came into our token accounts, less what left them", func(p wire.Position) money.Amount { return p.Chain }, true},
		{"Customers' balances", "free to spend or withdraw", func(p wire.Position) money.Amount { return p.Tenants }, false},
		{"Holds", "set aside for clusters that run", func(p wire.Position) money.Amount { return p.Holds }, false},
		{"Suppliers' earnings", "earned and not reserved yet, held and paused ones too", func(p wire.Position) money.Amount { return p.Earned }, false},
		{"In flight", "reserved for payouts that are not final", func(p wire.Position) money.Amount { return p.InFlight }, false},
		{"Kept aside", "of what is in flight: what withdrawals, refunds and burns wait for, and what is on its way", func(p wire.Position) money.Amount { return p.Aside }, false},
		{"Suspense", "deposits that name nobody", func(p wire.Position) money.Amount { return p.Suspense }, false},
		{"Lots", "paid in for what grants and cards have earned", func(p wire.Position) money.Amount { return p.Lots }, false},
		{"Capital", "the house's own, paid in to settle with", func(p wire.Position) money.Amount { return p.Capital }, false},
		{"Fees", "the house's revenue", func(p wire.Position) money.Amount { return p.Fees }, false},
		{"Exchange", "what conversions have left the house with; below zero it owes", func(p wire.Position) money.Amount { return p.Exchange }, false},
		{"Other", "below zero: credit that was granted, and what the card company keeps for us", func(p wire.Position) money.Amount { return p.Other }, false},
		{"Free for suppliers", "what customers have, and what is kept aside, is never used to pay others", func(p wire.Position) money.Amount { return p.Free }, true},
	} {
		row := positionRow{Name: r.name, About: r.about, Sum: r.sum}
		for _, p := range positions {
			row.Amounts = append(row.Amounts, r.of(p))
		}
		rows = append(rows, row)
	}
	return rows
}

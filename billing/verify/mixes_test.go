package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

const quarter money.Price = 250_000_000_000 // 0.25 USD/IO

// cluster is the one of mixes that pays from the purse, and mixLease its lease whose supplier takes the asset.
func cluster(p exchange.Purse) string { return "c-" + string(p) }
func mixLease(p exchange.Purse, takes money.Asset) string {
	return "l-" + string(p) + "-" + string(takes)
}

// mixNote is the note of a minute in one mix; a halted one has no believed price.
func mixNote(p exchange.Purse, takes money.Asset, ordinal int64, halted bool) meter.MinuteNote {
	n := note(mixLease(p, takes), ordinal, 60, 60)
	n.Cluster, n.FeeBasisPoints, n.Purse, n.Takes = cluster(p), p.FeeBasisPoints(), string(p), takes
	if halted {
		n.PriceHalt = "price-stale"
	}
	if !halted || p == exchange.IO {
		n.Price, n.PriceID = quarter, 1
	}
	n.SupplierFeeBasisPoints = exchange.Minute{Purse: p, Takes: takes, Price: n.Price, Halted: halted}.SupplierFeeBasisPoints()
	return n
}

// mixed is the note as an entry, with 2000 of use and its fees: each minute's, at the rate of all.
func mixed(n meter.MinuteNote) ledger.Entry { return mixedAs(n, minuteIn(n)) }

func minuteIn(n meter.MinuteNote) exchange.Minute {
	m := exchange.Minute{Cluster: n.Cluster, Supplier: "bob", Purse: exchange.Purse(n.Purse), Takes: n.Takes, Use: 2000,
		Price: n.Price, Halted: n.PriceHalt != ""}
	m.Fee, _ = money.Fee(2000, n.FeeBasisPoints)
	m.SupplierFee, _ = money.Fee(2000, n.SupplierFeeBasisPoints)
	return m
}

// mixedAs is the note as an entry with the postings of some minute.
func mixedAs(n meter.MinuteNote, m exchange.Minute) ledger.Entry {
	postings, err := exchange.Postings(m)
	if err != nil {
		panic(err)
	}
	text, _ := json.Marshal(n)
	return ledger.Entry{Kind: meter.KindCharged, Ref: meter.Ref(n.Lease, n.Ordinal), Postings: postings, Note: text}
}

func resumed(p exchange.Paused) ledger.Entry {
	postings, err := exchange.Resume(p)
	if err != nil {
		panic(err)
	}
	text, _ := json.Marshal(p)
	return ledger.Entry{Kind: exchange.KindResume, Ref: "bob/" + string(p.Purse), Postings: postings, Note: text}
}

// moved is an entry of one amount from one account to another.
func moved(kind, ref, from, to, amount string) ledger.Entry {
	parsed, err := money.Parse(amount)
	if err != nil {
		panic(err)
	}
	postings, err := ledger.Move(from, ledger.Posting{Account: to, Amount: parsed})
	if err != nil {
		panic(err)
	}
	return ledger.Entry{Kind: kind, Ref: ref, Postings: postings}
}

// released is an entry that lets a lot cover what a supplier has earned.
func released(ref, lot, held, supplier, amount string) ledger.Entry {
	return ledger.Entry{Kind: "release", Ref: ref, Postings: slices.Concat(
		moved("", "", lot, ledger.FxIn, amount).Postings, moved("", "", held, supplier, amount).Postings)}
}

// mixes is a journal of its own: money comes in, a minute in each mix with a price and another
// without one, and money goes out.
func mixes() []ledger.Entry {
	entries := []ledger.Entry{
		moved("deposit", "sig1/ours-usdc", ledger.TreasuryChain, ledger.Tenant("ann"), "1 USDC"),
		moved("deposit", "sig2/ours-io", ledger.TreasuryChain, ledger.Tenant("ann"), "1 IO"),
		moved("deposit", "sig3/ours-usdc", ledger.TreasuryChain, ledger.Lot("grants"), "1 USDC"),
		moved("deposit", "sig4/ours-io", ledger.TreasuryChain, ledger.Lot("card"), "1 IO"),
		moved("deposit", "sig5/ours-io", ledger.TreasuryChain, ledger.Suspense, "1 IO"),
		moved("suspense.assign", "sig5/ours-io", ledger.Suspense, ledger.Tenant("ann"), "0.5 IO"),
		moved("card.topup", "pi-1", ledger.TreasuryCard, ledger.TenantCard("ann"), "1 USD"),
		moved("grant", "g-2", ledger.Grants, ledger.Tenant("ann"), "1 USD"),
	}
	for _, p := range exchange.Purses() {
		hold := money.Amount{Minor: 8160, Asset: p.Asset()} // four minutes in USD or USDC
		if p == exchange.IO {
			hold.Minor = 4*800_000 + 1
		}
		entries = append(entries, moved("hold", cluster(p), p.Account("ann"), ledger.Hold(cluster(p)), hold.String()))
	}
	for ordinal, halted := range []bool{false, true} {
		for _, p := range exchange.Purses() {
			for _, takes := range []money.Asset{money.USDC, money.IO} {
				entries = append(entries, mixed(mixNote(p, takes, int64(ordinal), halted)))
			}
		}
	}
	poor := mixNote(exchange.IO, money.USDC, 2, true)
	poor.Reason = meter.ReasonUnfunded
	text, _ := json.Marshal(poor)
	entries = append(entries, ledger.Entry{Kind: meter.KindWaived, Ref: meter.Ref(poor.Lease, 2), Postings: []ledger.Posting{}, Note: text})
	paused := exchange.Paused{Supplier: "bob", Takes: money.IO, Price: 2 * quarter, PriceID: 2}
	for _, p := range exchange.Purses() {
		paused.Purse, paused.Amount = p, money.Amount{Minor: 2000, Asset: p.Asset()}
		if p == exchange.IO {
			paused.Amount.Minor, paused.Takes, paused.SupplierFeeBasisPoints = 2*800_000, money.USDC, 200
		}
		entries = append(entries, resumed(paused))
	}
	return append(entries,
		released("grant/1", ledger.Lot("grants"), ledger.SupplierGrant("bob"), ledger.Supplier("bob"), "0.003920 USDC"),
		released("card/1", ledger.Lot("card"), ledger.SupplierCard("bob"), ledger.Supplier("bob"), "0.008 IO"),
		moved("payout.reserve", "po-1", ledger.Supplier("bob"), ledger.Payout("po-1"), "0.007 USDC"),
		moved("payout.reserve", "po-2", ledger.Tenant("ann"), ledger.Payout("po-2"), "0.5 USDC"),
		moved("payout.paid", "po-1", ledger.Payout("po-1"), ledger.TreasuryChain, "0.007 USDC"),
		moved("payout.release", "po-2", ledger.Payout("po-2"), ledger.Tenant("ann"), "0.5 USDC"),
		ledger.Entry{Kind: "swap", Ref: "sig6", Postings: slices.Concat(
			moved("", "", ledger.Fees, ledger.TreasuryChain, "0.0001 USDC").Postings, moved("", "", ledger.Suspense, ledger.Lot("burn"), "0.0004 IO").Postings)},
		moved("burn", "sig7", ledger.Lot("burn"), ledger.TreasuryChain, "0.0004 IO"),
		moved("release", cluster(exchange.IO), ledger.Hold(cluster(exchange.IO)), ledger.Tenant("ann"), "0.00000001 IO"),
		moved("card.refund", "re-1", ledger.TenantCard("ann"), "refund:re-1", "0.5 USD"),
		moved("card.refunded", "re-1", "refund:re-1", ledger.TreasuryCard, "0.5 USD"),
	)
}

func wholeStory() []ledger.Entry { return append(story(), mixes()...) }

// The mixes are in order, and each account has what the worked example says, a fifty-thousandth of it.
func TestMixes(t *testing.T) {
	report, err := Verify(bytes.NewReader(export(t, header(), mixes())))
	if err != nil || !report.OK() {
		t.Fatal(err, report.Problems)
	}
	if fmt.Sprint(report.Sums) != "[0.00000000 IO 0.000000 USD 0.000000 USDC]" {
		t.Errorf("sums %v", report.Sums)
	}
	got := map[string]string{}
	for _, account := range report.Accounts {
		got[account.Name+" "+string(account.Balance.Asset)] = account.Balance.String()
	}
	for place, want := range map[string]string{
		"hold:c-usdc USDC": "", "hold:c-io IO": "", "hold:c-grant USD": "", "supplier-paused:io:bob IO": "",
		"supplier-grant:bob IO": "0.01200000 IO", // 2000 at 0.25, and 2000 resumed at 0.50
		"supplier-card:bob IO":  "0.00400000 IO", // 0.008 and 0.004, less 0.008 released
		"fees USD":              "0.000320 USD",  // 40 of each of the 8 minutes paid in USD
		// Payers 4*40; suppliers 2*40 of usdc, grant and card each and 40 of io; 160 of what was resumed; less 100 swapped.
		"fees USDC":         "0.000500 USDC",
		"treasury:card USD": "-0.500000 USD",
	} {
		if got[place] != want {
			t.Errorf("%s: %q, want %q", place, got[place], want)
		}
	}
	for _, l := range report.Leases {
		want := money.Amount{Minor: 4080, Asset: exchange.Purse(l.Purse).Asset()}
		if l.Purse == string(exchange.IO) {
			want.Minor = 1_600_000
		}
		if l.Paid != want || l.Use != money.MicroUSD(4000) || l.Charged != 2 {
			t.Errorf("%+v", l)
		}
	}
}

// change finds an entry by kind and ref.
func change(kind, ref string, change func(*ledger.Entry)) func([]ledger.Entry) []ledger.Entry {
	return func(entries []ledger.Entry) []ledger.Entry {
		i := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.Kind == kind && e.Ref == ref })
		if i < 0 {
			panic("no " + kind + " " + ref)
		}
		change(&entries[i])
		return entries
	}
}

// minuteForged forges the note of a minute of the mix, or the minute that its postings are made of.
func minuteForged(p exchange.Purse, takes money.Asset, ordinal int64, note func(*meter.MinuteNote), minute func(*exchange.Minute)) func([]ledger.Entry) []ledger.Entry {
	return change(meter.KindCharged, meter.Ref(mixLease(p, takes), ordinal), func(e *ledger.Entry) {
		n := mixNote(p, takes, ordinal, ordinal == 1)
		if note != nil {
			note(&n)
		}
		m := minuteIn(n)
		if minute != nil {
			minute(&m)
		}
		*e = mixedAs(n, m)
	})
}

// Forged notes and postings of minutes with purses and prices.
func forgedPrices() map[string]forgery {
	const usdc, io, grant = exchange.USDC, exchange.IO, exchange.Grant
	type (
		note   = func(*meter.MinuteNote)
		minute = func(*exchange.Minute)
	)
	forge := minuteForged
	rule := note(func(n *meter.MinuteNote) { n.SupplierFeeBasisPoints = 0 })
	return map[string]forgery{
		"price in the postings":   {forge(usdc, money.IO, 0, nil, minute(func(m *exchange.Minute) { m.Price -= 1_000_000 })), "postings are not those"},
		"price for an IO payer":   {forge(io, money.IO, 0, nil, minute(func(m *exchange.Minute) { m.Price -= 1_000_000 })), "postings are not those"},
		"price in both":           {forge(usdc, money.USDC, 0, func(n *meter.MinuteNote) { n.Price-- }, nil), "price number 1 is"},
		"price of no number":      {forge(usdc, money.USDC, 0, func(n *meter.MinuteNote) { n.PriceID = 0 }, nil), "has the number 0"},
		"price number back":       {forge(usdc, money.USDC, 0, func(n *meter.MinuteNote) { n.PriceID = 2 }, nil), "price number 1 comes after number 2"},
		"paid in another asset":   {forge(usdc, money.IO, 0, nil, minute(func(m *exchange.Minute) { m.Takes = money.USDC })), "postings are not those"},
		"taken from another":      {forge(usdc, money.IO, 0, nil, minute(func(m *exchange.Minute) { m.Purse = grant })), "postings are not those"},
		"other purse":             {forge(usdc, money.IO, 1, func(n *meter.MinuteNote) { n.Purse = "grant" }, nil), "is paid from grant, but was from usdc"},
		"no such purse":           {forge(usdc, money.IO, 1, func(n *meter.MinuteNote) { n.Purse = "gold" }, minute(func(m *exchange.Minute) { m.Purse = usdc })), "not one of the purses"},
		"purse lost":              {forge(usdc, money.IO, 1, func(n *meter.MinuteNote) { n.Purse = "" }, minute(func(m *exchange.Minute) { m.Purse = usdc })), "has no purse"},
		"fee left out":            {forge(usdc, money.USDC, 0, nil, minute(func(m *exchange.Minute) { m.Fee = 0 })), "postings are not those"},
		"fee left out of both":    {forge(usdc, money.USDC, 0, func(n *meter.MinuteNote) { n.FeeBasisPoints = 0 }, nil), "payer's fee of 0/10000, where the rule for usdc is 200"},
		"a fee on IO":             {forge(io, money.USDC, 0, func(n *meter.MinuteNote) { n.FeeBasisPoints = 1 }, minute(func(m *exchange.Minute) { m.Fee = 0 })), "payer's fee of 1/10000"},
		"supplier's fee left out": {forge(io, money.USDC, 0, nil, minute(func(m *exchange.Minute) { m.SupplierFee = 0 })), "postings are not those"},
		"and out of the note":     {forge(io, money.USDC, 0, rule, nil), "supplier's fee of 0/10000, where the rule for USDC is 200"},
		"supplier's fee too high": {forge(grant, money.USDC, 0, nil, minute(func(m *exchange.Minute) { m.SupplierFee++ })), "postings are not those"},
		"to another supplier":     {forge(grant, money.IO, 1, nil, minute(func(m *exchange.Minute) { m.Supplier = "eve" })), "postings are not those"},
		"straight to him":         {change(meter.KindCharged, "l-grant-IO/0", func(e *ledger.Entry) { e.Postings[len(e.Postings)-1].Account = "supplier:bob" }), "postings are not those"},
		"converted in a halt":     {forge(usdc, money.IO, 1, nil, minute(func(m *exchange.Minute) { m.Halted, m.Price = false, quarter })), "postings are not those"},
		"IO converted in a halt":  {forge(io, money.USDC, 1, nil, minute(func(m *exchange.Minute) { m.Halted = false })), "postings are not those"},
		"halted without a reason": {forge(usdc, money.USDC, 1, func(n *meter.MinuteNote) { n.PriceHalt = "" }, nil), "neither a price nor a reason"},
		"halted for a reason":     {forge(usdc, money.IO, 0, func(n *meter.MinuteNote) { n.PriceHalt = "why-not" }, minute(func(m *exchange.Minute) { m.Halted = false })), "postings are not those"},
		"unfunded but funded": {func(e []ledger.Entry) []ledger.Entry {
			i := slices.IndexFunc(e, func(e ledger.Entry) bool { return e.Kind == meter.KindWaived && e.Ref == "l-io-USDC/2" })
			return slices.Insert(e, i, moved("hold.refill", "c-io/1", "tenant:ann", "hold:c-io", "0.008 IO"))
		}, "though proven and paid for"},
		"unfunded in another purse": {change(meter.KindWaived, "l-io-USDC/2", func(e *ledger.Entry) {
			e.Note = bytes.Replace(e.Note, []byte(`,"purse":"io"`), nil, 1)
		}), "has no purse"},
	}
}

// Forged movements of all other kinds.
func forgedMoves() map[string]forgery {
	to := func(kind, ref string, posting int, account string) func([]ledger.Entry) []ledger.Entry {
		return change(kind, ref, func(e *ledger.Entry) {
			e.Postings = slices.Clone(e.Postings)
			e.Postings[posting].Account = account
		})
	}
	add := func(entry ledger.Entry) func([]ledger.Entry) []ledger.Entry {
		return func(entries []ledger.Entry) []ledger.Entry { return append(entries, entry) }
	}
	renamed := func(kind, ref, other string) func([]ledger.Entry) []ledger.Entry {
		return change(kind, ref, func(e *ledger.Entry) { e.Ref = other })
	}
	return map[string]forgery{
		"unknown kind":               {add(moved("gift", "x", "tenant:ann", "tenant:eve", "0.1 USDC")), "gift is not a kind that moves money"},
		"earnings taken":             {add(moved("hold", "x", "supplier:bob", "hold:c-io", "0.0001 IO")), "hold takes from supplier:bob"},
		"paid to a tenant":           {to("payout.paid", "po-1", 1, "tenant:eve"), "payout.paid gives to tenant:eve"},
		"released to another":        {to("payout.release", "po-2", 1, "tenant:eve"), "reserved from tenant:ann and is released to tenant:eve"},
		"reserved for another":       {to("payout.reserve", "po-2", 1, "payout:po-9"), "payout po-2 is reserved on payout:po-9"},
		"out of another's flight":    {renamed("payout.paid", "po-1", "po-3"), "payout po-3 takes from payout:po-1"},
		"paid twice":                 {add(moved("payout.paid", "po-1", "payout:po-1", ledger.TreasuryChain, "0.007 USDC")), "payout:po-1 falls to"},
		"deposit to a supplier":      {to("deposit", "sig1/ours-usdc", 1, "supplier:eve"), "deposit gives to supplier:eve"},
		"deposit out of the fees":    {to("deposit", "sig1/ours-usdc", 0, "fees"), "deposit takes from fees"},
		"deposit of no account":      {renamed("deposit", "sig1/ours-usdc", "sig1"), "not named"},
		"deposit of another's":       {renamed("deposit", "sig1/ours-usdc", "sig1/ours/usdc"), "not named"},
		"deposit twice":              {add(moved("deposit", "sig1/ours-usdc", ledger.TreasuryChain, "tenant:ann", "1 USDC")), "is entry 10 already"},
		"suspense to the house":      {to("suspense.assign", "sig5/ours-io", 1, "fees"), "suspense.assign gives to fees"},
		"card money as USDC":         {add(moved("payout.reserve", "po-4", "tenant-card:ann", "payout:po-4", "0.1 USD")), "payout.reserve takes from tenant-card:ann"},
		"card money to the chain":    {to("card.refunded", "re-1", 1, ledger.TreasuryChain), "card.refunded gives to treasury:chain"},
		"released to another's":      {to("release", "grant/1", 3, "supplier:eve"), "release is neither"},
		"released without the lot":   {change("release", "grant/1", func(e *ledger.Entry) { e.Postings = e.Postings[2:] }), "release is neither"},
		"released out of the other":  {to("release", "card/1", 0, ledger.Lot("grants")), "release is neither"},
		"resumed to another":         {to("resume", "bob/usdc", 3, "supplier:eve"), "postings are not those of resuming"},
		"resumed at another price":   {change("resume", "bob/usdc", repriced(3*quarter, 2)), "price number 2 is"},
		"resumed at an older price":  {change("resume", "bob/usdc", repriced(2*quarter, 0)), "has the number 0"},
		"resumed without a fee":      {change("resume", "bob/io", func(e *ledger.Entry) { *e = refeed(*e, 0) }), "supplier's fee of 0/10000"},
		"resumed without a note":     {change("resume", "bob/io", func(e *ledger.Entry) { e.Note = nil }), "note of a resumption"},
		"burnt out of the suspense":  {to("burn", "sig7", 0, ledger.Suspense), "burn takes from suspense"},
		"swapped into a pocket":      {to("swap", "sig6", 3, "tenant:eve"), "swap gives to tenant:eve"},
		"hold of another's earnings": {add(moved("release", "x", "hold:c-io", "supplier:eve", "0.1 IO")), "only a charged minute may"},
	}
}

// repriced is a resumption at another price, with the postings that belong to it.
func repriced(price money.Price, id uint64) func(*ledger.Entry) {
	return func(e *ledger.Entry) {
		var p exchange.Paused
		_ = json.Unmarshal(e.Note, &p)
		p.Price, p.PriceID = price, id
		if e.Ref == "bob/usdc" {
			*e = resumed(p)
		}
	}
}

// refeed is a resumption at another fee, with the postings that belong to it.
func refeed(e ledger.Entry, points int64) ledger.Entry {
	var p exchange.Paused
	_ = json.Unmarshal(e.Note, &p)
	p.SupplierFeeBasisPoints = points
	return resumed(p)
}

// Every kind of the table is one word of visible ASCII, and its accounts are accounts.
func TestKindsAreKinds(t *testing.T) {
	for name, kind := range kinds() {
		if name == "" || strings.Contains(name, " ") || len(kind.debits) == 0 || len(kind.credits) == 0 {
			t.Errorf("%q: %+v", name, kind)
		}
	}
}

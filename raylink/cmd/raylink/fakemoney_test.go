package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/invoice"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/billing/solanapay"
	"raylink/billing/wallet"
	"raylink/raylink"
	"raylink/raylink/wire"
)

const (
	fakeWallet = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
	fakeMint   = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
	fakeGroup  = "cafe"
)

// fakeMoney is the part of a fake network that has to do with money in and out.
type fakeMoney struct {
	topups     []wire.Topup
	wallets    []wire.Wallet
	settlement wire.Settlement
	payouts    []payout.Payout
	policy     price.Policy
	said       []price.Sample
	halt       string
	cap        *wire.Cap
	treasury   wire.Treasury
}

func fakeTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func newFakeMoney() fakeMoney {
	usdc := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: money.USDC} }
	io := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: money.IO} }
	seen, fewer := usdc(20_000_000), io(700_000_000)
	m := fakeMoney{policy: price.Policy{}, settlement: wire.Settlement{Takes: money.USDC, Minimum: usdc(1_000_000)}, payouts: []payout.Payout{
		{ID: "po-big", Kind: payout.Settlement, Account: "acc-aaaaaaaaaa", Asset: money.USDC, Amount: 2_000_000_000, Wallet: fakeWallet, State: payout.WaitingApproval,
			Code: payout.NeedsApproval, RequestedAt: fakeTime()}}}
	m.treasury = wire.Treasury{Alarms: []string{"transaction sig9 took 6.00 USDC out of acct1, and no payout or recorded swap explains it"}, Every: "1h0m0s", NextRun: fakeTime(), Policy: payout.DefaultPolicy(), Rules: deposit.DefaultRules(), Awaiting: m.payouts,
		Positions: []wire.Position{{Asset: money.USDC, Chain: usdc(20_000_000), OnChain: &seen, Tenants: usdc(15_000_000), Holds: usdc(0), Earned: usdc(0), InFlight: usdc(0), Aside: usdc(0),
			Suspense: usdc(0), Lots: usdc(0), Capital: usdc(0), Fees: usdc(5_000_000), Exchange: usdc(0), Other: usdc(0), Free: usdc(5_000_000)},
			{Asset: money.IO, Chain: io(800_000_000), OnChain: &fewer, Tenants: io(800_000_000), Holds: io(0), Earned: io(0), InFlight: io(0), Aside: io(0),
				Suspense: io(0), Lots: io(0), Capital: io(0), Fees: io(0), Exchange: io(0), Other: io(0), Free: io(0)}},
		Suspended: 3, Suspense: []deposit.Deposit{{Key: "sig1/acct1", Asset: money.USDC, Amount: 3_000_000, Reasons: []deposit.Reason{deposit.UnknownSender}, Memo: "for \x1b[31mme", At: fakeTime()}}}
	return m
}

func (f *fake) moneyRoutes() map[string]handler {
	return map[string]handler{
		"POST /v1/topups": f.postTopup, "GET /v1/topups": func(*http.Request) (any, *raylink.Error) { return f.money.topups, nil }, "GET /v1/topups/{id}": f.getTopup,
		"POST /v1/wallets/challenge": f.postChallenge, "POST /v1/wallets": f.postWallet, "DELETE /v1/wallets/{address}": f.deleteWallet,
		"GET /v1/wallets":    func(*http.Request) (any, *raylink.Error) { return f.money.wallets, nil },
		"GET /v1/settlement": func(*http.Request) (any, *raylink.Error) { return f.money.settlement, nil }, "PUT /v1/settlement": f.putSettlement,
		"GET /v1/earnings": f.getEarnings, "GET /v1/earnings/export": nil, "POST /v1/withdrawals": f.postWithdrawal,
		"GET /v1/payouts": func(*http.Request) (any, *raylink.Error) { return f.money.payouts, nil }, "POST /v1/payouts/{id}/{action}": f.postPayout,
		"GET /v1/price": func(*http.Request) (any, *raylink.Error) { return f.price(), nil }, "POST /v1/price": f.postPrice, "PUT /v1/price/policy": f.putPolicy,
		"POST /v1/price/halt": func(r *http.Request) (any, *raylink.Error) {
			f.money.halt = read[wire.HaltRequest](r).Reason
			return f.price(), nil
		},
		"PUT /v1/cap": f.putCap, "PUT /v1/clusters/{id}/budget": f.putBudget, "GET /v1/invoice": f.getInvoice,
		"GET /v1/treasury": func(*http.Request) (any, *raylink.Error) { return f.money.treasury, nil }, "PUT /v1/treasury": f.putTreasury,
		"PUT /v1/treasury/payouts": f.putCaps, "PUT /v1/treasury/buyback": f.treasuryWrite, "POST /v1/treasury/run": f.treasuryWrite,
		"POST /v1/treasury/halt": f.postHalt, "POST /v1/treasury/swaps": f.treasuryWrite, "POST /v1/treasury/rewind": f.postRewind, "POST /v1/suspense/assign": f.postAssign,
		"POST /v1/accounts/{id}/pardon": func(*http.Request) (any, *raylink.Error) { return f.account(), nil },
	}
}

func (f *fake) keep(journal []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal = journal
}

func (f *fake) postTopup(r *http.Request) (any, *raylink.Error) {
	q := read[wire.TopupRequest](r)
	t := wire.Topup{ID: fmt.Sprintf("top-%d", len(f.money.topups)+1), Account: "acc-aaaaaaaaaa", Amount: q.Amount, State: "open", Lot: q.Lot, OpenedAt: time.Now(),
		Received: money.Amount{Asset: q.Amount.Asset}, ExpiresAt: time.Now().Add(time.Hour), URL: "https://checkout.example.org/pay/1"}
	if !q.Card {
		link, err := solanapay.New(solanapay.Request{Recipient: fakeWallet, Mint: fakeMint, Amount: q.Amount, References: []string{fakeWallet}, Label: "Raylink", Memo: t.ID})
		if err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err)
		}
		t.URL = link
	}
	f.money.topups = append(f.money.topups, t)
	return t, nil
}

// getTopup finds a top-up paid at the second look; one into a lot expires.
func (f *fake) getTopup(r *http.Request) (any, *raylink.Error) {
	for i := range f.money.topups {
		t := &f.money.topups[i]
		if t.ID != r.PathValue("id") {
			continue
		}
		now := *t
		if t.State = "paid"; t.Lot != "" {
			t.State = "expired"
			return now, nil
		}
		t.Received = t.Amount
		t.Deposits = []deposit.Deposit{{Key: "sig1/acct1", Asset: t.Amount.Asset, Amount: t.Amount.Minor, At: fakeTime(), Via: deposit.ViaReference, Reasons: []deposit.Reason{deposit.Late}}}
		return now, nil
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no top-up %q", r.PathValue("id")).WithHint("see `raylink topup list`")
}

func (f *fake) postChallenge(r *http.Request) (any, *raylink.Error) {
	address := read[wire.WalletRequest](r).Address
	if err := wallet.CheckAddress("the wallet", address); err != nil {
		return nil, raylink.AsError(err)
	}
	return wire.WalletChallenge{Address: address, Nonce: "nonce-aaaaaaaaaa", Text: wallet.Text(fakeGroup, "acc-aaaaaaaaaa", address, "nonce-aaaaaaaaaa")}, nil
}

func (f *fake) postWallet(r *http.Request) (any, *raylink.Error) {
	q := read[wire.WalletRequest](r)
	if err := wallet.Verify(fakeGroup, "acc-aaaaaaaaaa", q.Address, q.Nonce, q.Signature); err != nil {
		return nil, raylink.AsError(err)
	}
	f.money.wallets = append(f.money.wallets, wire.Wallet{Address: q.Address, At: time.Now()})
	return f.money.wallets, nil
}

func (f *fake) deleteWallet(r *http.Request) (any, *raylink.Error) {
	f.money.wallets = slices.DeleteFunc(f.money.wallets, func(w wire.Wallet) bool { return w.Address == r.PathValue("address") })
	return f.money.wallets, nil
}

func (f *fake) putSettlement(r *http.Request) (any, *raylink.Error) {
	q := read[wire.Settlement](r)
	if q.Minimum.Asset != q.Takes {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the minimum is %v, but what is taken is %s", q.Minimum, q.Takes)
	}
	f.money.settlement = q
	return q, nil
}

func (f *fake) getEarnings(*http.Request) (any, *raylink.Error) {
	io := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: money.IO} }
	return wire.Earnings{Account: "acc-aaaaaaaaaa", Settlement: f.money.settlement, Paid: wire.Sums{io(400_000_000)}, NextRun: fakeTime(), Payouts: []payout.Payout{
		{ID: "po-1", Kind: payout.Settlement, Account: "acc-aaaaaaaaaa", Asset: money.IO, Amount: 400_000_000, Wallet: fakeWallet, State: payout.Paid, Signature: "sig7", RequestedAt: fakeTime()}},
		Lines: []payout.Line{{Amount: io(50_000_000), Code: payout.BelowMinimum}, {Amount: io(100_000_000), Code: payout.HeldCard}, {Amount: io(0), Code: payout.NothingEarned}}}, nil
}

func (f *fake) postWithdrawal(r *http.Request) (any, *raylink.Error) {
	q := read[wire.WithdrawalRequest](r)
	if q.Amount.Minor > 100_000_000 {
		return nil, raylink.Errorf(raylink.CodeFunds, "%v are free", money.Amount{Minor: 100_000_000, Asset: q.Amount.Asset}).WithHint("withdraw less")
	}
	p := payout.Payout{ID: "wd-1", Kind: payout.Withdrawal, Account: "acc-aaaaaaaaaa", Asset: q.Amount.Asset, Amount: q.Amount.Minor, Wallet: q.Wallet, State: payout.Waiting, RequestedAt: time.Now()}
	f.money.payouts = append(f.money.payouts, p)
	return p, nil
}

func (f *fake) postPayout(r *http.Request) (any, *raylink.Error) {
	for i := range f.money.payouts {
		p := &f.money.payouts[i]
		if p.ID == r.PathValue("id") {
			p.State = map[string]payout.State{"approve": payout.Waiting, "retry": payout.Waiting, "cancel": payout.Cancelled}[r.PathValue("action")]
			p.Code = ""
			return p, nil
		}
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no payout %q", r.PathValue("id")).WithHint("see `raylink payout list`")
}

func (f *fake) price() wire.Price {
	v := wire.Price{Policy: f.money.policy, Samples: f.money.said}
	switch {
	case f.money.halt != "":
		v.Halt, v.Reason = price.CodeHalted, f.money.halt
	case len(f.money.said) == 0:
		v.Halt, v.Reason = price.CodeNoPrice, "nobody has said one yet"
	default:
		v.Price, v.ID, v.At, v.Sources = f.money.said[0].Price, 1, fakeTime(), []string{"administered"}
		v.Average = v.Price
	}
	return v
}

func (f *fake) postPrice(r *http.Request) (any, *raylink.Error) {
	s := read[wire.PriceRequest](r).Sample
	book := price.Book{Policy: f.money.policy}
	if err := book.Set(time.Now(), s); err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err)
	}
	f.money.said, f.money.halt = []price.Sample{s}, ""
	return f.price(), nil
}

func (f *fake) putPolicy(r *http.Request) (any, *raylink.Error) {
	f.money.policy = read[price.Policy](r)
	return f.price(), nil
}

func (f *fake) putCap(r *http.Request) (any, *raylink.Error) {
	q := read[wire.CapRequest](r)
	f.money.cap = nil
	if q.PerDay.Sign() > 0 {
		f.money.cap = &wire.Cap{PerDay: q.PerDay, Alarm: q.Alarm, Today: money.MicroUSD(1_500_000)}
	}
	return f.getBalance(r)
}

func (f *fake) putBudget(r *http.Request) (any, *raylink.Error) {
	c, e := f.find(r)
	if e != nil {
		return nil, e
	}
	q := read[wire.BudgetRequest](r)
	c.Alarm = cmp.Or(q.Alarm, c.Alarm)
	if c.Maximum = &q.Budget; q.Budget.Minor == 0 {
		c.Maximum, c.Alarm = nil, 0
	}
	return c, nil
}

func (f *fake) getInvoice(r *http.Request) (any, *raylink.Error) {
	usd, zero := money.MicroUSD, time.Time{}
	v := invoice.Invoice{Number: "acc-aaaaaaaaaa-9", IssuedAt: fakeTime(), Issuer: invoice.Party{Name: "Raylink network"}, Customer: invoice.Party{Name: "Ann"}, Account: "acc-aaaaaaaaaa",
		Cluster: r.URL.Query().Get("cluster"), From: zero, To: fakeTime(), Journal: invoice.Range{First: 1, Last: 9, Hash: "0123456789abcdef"},
		Lines: []invoice.Line{{Cluster: "c-aaaaaaaaaa", ClusterName: "first-job", Lease: "l-aaaaaaaaaa", Node: "head", Machine: "m-aaaaaaaaaa", Purse: "grant", Rate: 120_000,
			FeeBasisPoints: 200, Charged: 50, Use: usd(100_000), Fee: usd(2000), Paid: usd(102_000)}},
		Totals:   []invoice.Total{{Use: usd(100_000), Fee: usd(2000), Paid: usd(102_000)}},
		Balances: []invoice.Balance{{Before: usd(10_000_000), After: usd(9_898_000), Movements: []invoice.Movement{{Kind: "minute.charged", Entries: 50, Amount: usd(-102_000)}}}}}
	for name, into := range map[string]*time.Time{"from": &v.From, "to": &v.To} {
		if text := r.URL.Query().Get(name); text != "" {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, raylink.Errorf(raylink.CodeInvalid, "%s is no time", name)
			}
			*into = at
		}
	}
	return v, nil
}

func (f *fake) treasuryWrite(*http.Request) (any, *raylink.Error) { return f.money.treasury, nil }

func (f *fake) putTreasury(r *http.Request) (any, *raylink.Error) {
	q := read[wire.TreasuryRequest](r)
	if err := q.Treasury.Check(); err != nil {
		return nil, raylink.AsError(err)
	}
	f.money.treasury.Chain, f.money.treasury.Mints, f.money.treasury.Rules = q.Chain, q.Treasury, *q.Rules
	return f.money.treasury, nil
}

func (f *fake) putCaps(r *http.Request) (any, *raylink.Error) {
	q := read[wire.PayoutPolicyRequest](r)
	f.money.treasury.Policy, f.money.treasury.Every = q.Policy, q.Every
	return f.money.treasury, nil
}

func (f *fake) postHalt(r *http.Request) (any, *raylink.Error) {
	q := read[wire.HaltRequest](r)
	f.money.treasury.Halts = nil
	if q.Reason != "" {
		f.money.treasury.Halts = []wire.PayoutHalt{{Asset: q.Asset, Reason: q.Reason, By: "account:acc-aaaaaaaaaa", At: fakeTime()}}
	}
	return f.money.treasury, nil
}

func (f *fake) postRewind(r *http.Request) (any, *raylink.Error) {
	if q := read[wire.RewindRequest](r); q.Asset != money.USDC || q.Signature != "sig1" {
		return nil, raylink.Errorf(raylink.CodeNotFound, "transaction %q is no deposit", q.Signature)
	}
	return f.money.treasury, nil
}

func (f *fake) postAssign(r *http.Request) (any, *raylink.Error) {
	q := read[wire.AssignRequest](r)
	for i, d := range f.money.treasury.Suspense {
		if d.Key == q.Key {
			f.money.treasury.Suspense = slices.Delete(f.money.treasury.Suspense, i, i+1)
			f.money.treasury.Suspended = len(f.money.treasury.Suspense)
			return f.money.treasury, nil
		}
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no deposit %q waits in suspense", q.Key).WithHint("see `raylink admin suspense list`")
}

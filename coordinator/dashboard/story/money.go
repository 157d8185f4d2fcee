package story

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/coordinator/dashboard"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// affairs are what a world knows of what comes in and goes out.
type affairs struct {
	means    dashboard.Means
	pays     map[raylink.ClusterID]string
	topups   []wire.Topup
	earnings wire.Earnings
	treasury wire.Treasury
	price    wire.Price
}

func (w world) till() dashboard.Till {
	find := func(id string) (wire.Topup, error) {
		if i := slices.IndexFunc(w.topups, func(t wire.Topup) bool { return t.ID == id }); i >= 0 {
			return w.topups[i], nil
		}
		return wire.Topup{}, raylink.Errorf(raylink.CodeNotFound, "no top-up %.60q", id).WithHint("see `raylink topup list`")
	}
	return dashboard.Till{
		Means:  func() dashboard.Means { return w.means },
		Purses: func(raylink.AccountID) map[raylink.ClusterID]string { return w.pays },
		Topups: func(raylink.AccountID) []wire.Topup { return w.topups },
		Topup:  func(_ raylink.AccountID, _ raylink.Role, id string) (wire.Topup, error) { return find(id) },
		OpenTopup: func(_ context.Context, _ raylink.AccountID, _ string, r wire.TopupRequest) (wire.Topup, error) {
			if r.Amount.Minor < 100_000 {
				return wire.Topup{}, raylink.Errorf(raylink.CodeInvalid, "a top-up is at least 0.100000 %s", r.Amount.Asset).WithHint("top up 0.10 or more")
			}
			return find("top-openopenop")
		},
	}
}

func of(asset money.Asset, minor int64) money.Amount {
	return money.Amount{Asset: asset, Minor: minor}
}

func usdc(micro int64) money.Amount { return of(money.USDC, micro) }

func tokens(minor int64) money.Amount { return of(money.IO, minor) }

// address is a likely address, and signature a likely signature, neither anybody's.
func address(n int) string {
	return fmt.Sprintf("%s%02d", "7WmvA1rUDhiBcGZ4tPqE9sYxKfJnLb3T5VoCdX2eHk", n)
}

func signature(n int) string {
	return fmt.Sprintf("5xQe%s%02d", strings.Repeat("hT3kVw9LmZpRbYc", 5)+"nJdFs2", n)
}

const price25 = money.Price(250_000_000_000)

func riches(now time.Time) affairs {
	return affairs{means: dashboard.Means{Assets: []money.Asset{money.USDC, money.IO}, Cards: true}, pays: map[raylink.ClusterID]string{}, topups: topups(now),
		earnings: earnings(now), treasury: treasury(now), price: priced(now)}
}

func purses() wire.Sums {
	return wire.Sums{money.MicroUSD(48_731_250), usdc(126_500_000), tokens(31_050_000_000)}
}

func inPurses(now time.Time) []wire.Purse {
	in := func(d time.Duration) *time.Time {
		at := now.Add(d)
		return &at
	}
	return []wire.Purse{
		{Purse: "grant", Free: money.MicroUSD(28_731_250), Held: money.MicroUSD(1_224_000), RunsOutAt: in(26 * time.Hour)}, {Purse: "card", Free: money.MicroUSD(20_000_000), Held: money.MicroUSD(0)},
		{Purse: "usdc", Free: usdc(126_500_000), Held: usdc(2_448_000), RunsOutAt: in(57 * time.Hour)}, {Purse: "io", Free: tokens(31_050_000_000), Held: tokens(576_000_000), RunsOutAt: in(70 * time.Hour)},
	}
}

func priced(now time.Time) wire.Price {
	return wire.Price{Price: price25, ID: 812, At: now.Add(-3 * time.Minute), Sources: []string{"administered", "pyth"}, Average: 248_750_000_000,
		Samples: []price.Sample{{Source: "administered", Price: price25, ObservedAt: now.Add(-3 * time.Minute)},
			{Source: "pyth", Price: 250_310_000_000, Confidence: 410_000_000, ObservedAt: now.Add(-20 * time.Second)}},
		Last: &price.Snapshot{ID: 812, Price: price25, At: now.Add(-3 * time.Minute), Sources: []string{"administered", "pyth"}}}
}

// topups are one in each state, by each means.
func topups(now time.Time) []wire.Topup {
	paid := func(n int, asset money.Asset, minor int64, to, via string, why ...deposit.Reason) deposit.Deposit {
		return deposit.Deposit{Key: signature(n) + "/" + address(90), Asset: asset, Amount: minor, Slot: 312_455_000 + uint64(n), At: now.Add(-time.Duration(n) * time.Minute), To: to, Via: via, Reasons: why}
	}
	pay := "solana:" + address(91) + "?amount=50&spl-token=" + address(92) + "&reference=" + address(93) + "&label=Raylink&message=top-up%20top-openopenop&memo=top-openopenop"
	list := []wire.Topup{
		{ID: "top-openopenop", State: "open", Amount: usdc(50_000_000), URL: pay},
		{ID: "top-anyamount", State: "open", Amount: tokens(0), URL: strings.Replace(pay, "amount=50&", "", 1)},
		{ID: "top-paidpaidpa", State: "paid", Amount: usdc(50_000_000), Received: usdc(50_000_000), Deposits: []deposit.Deposit{paid(1, money.USDC, 50_000_000, "tenant:acc", "reference")}},
		{ID: "top-twicelate", State: "paid", Amount: usdc(20_000_000), Received: usdc(40_500_000), Deposits: []deposit.Deposit{
			paid(2, money.USDC, 20_500_000, "tenant:acc", "memo", deposit.Over), paid(3, money.USDC, 20_000_000, "tenant:acc", "reference", deposit.Late, deposit.Twice)}},
		{ID: "top-dustdustdu", State: "paid", Amount: tokens(10_000_000_000), Deposits: []deposit.Deposit{paid(4, money.IO, 42_000, "suspense", "memo", deposit.Dust)}},
		{ID: "top-expiredexp", State: "expired", Amount: tokens(10_000_000_000)},
		{ID: "top-lotlotlotl", State: "paid", Lot: "grants", Amount: usdc(500_000_000), Received: usdc(500_000_000), Deposits: []deposit.Deposit{paid(5, money.USDC, 500_000_000, "lot:grants", "reference")}},
	}
	for _, state := range []string{"open", "expired", "paid", "refunded", "disputed", "charged-back"} {
		t := wire.Topup{ID: "top-card-" + state, State: state, Amount: money.MicroUSD(25_000_000)}
		if state != "open" && state != "expired" {
			t.Received = money.MicroUSD(25_000_000)
		}
		list = append(list, t)
	}
	for i := range list {
		t := &list[i]
		t.Account, t.OpenedAt = "acc-ownerowner", now.Add(-time.Duration(i)*5*time.Hour)
		if t.ExpiresAt = t.OpenedAt.Add(24 * time.Hour); t.Received.Asset == "" {
			t.Received = of(t.Amount.Asset, 0)
		}
	}
	return list
}

// codes are all that may stand in the way of earnings.
func codes() []payout.Code {
	return []payout.Code{"", payout.BelowMinimum, payout.NoWallet, payout.NoTokenAccount, payout.Halted, payout.CapHour, payout.NeedsApproval, payout.TreasuryShort,
		payout.HeldCard, payout.HeldGrant, payout.PricePaused, payout.InFlight, payout.WaitsForSigner, payout.ChainFrozen, payout.NothingEarned}
}

func earnings(now time.Time) wire.Earnings {
	e := wire.Earnings{Account: "acc-millmillmi", Settlement: wire.Settlement{Takes: money.USDC, Wallet: address(1), Minimum: usdc(5_000_000)}, Paid: wire.Sums{usdc(812_440_120), tokens(12_000_000_000)},
		NextRun: now.Add(25 * time.Minute), Payouts: payouts(now)}
	for i, code := range codes() {
		l := payout.Line{Amount: usdc(int64(i+1) * 1_204_331), Code: code}
		switch code {
		case payout.InFlight, payout.WaitsForSigner:
			l.Payout, l.State = "po-00000042", payout.Batched
		case payout.ChainFrozen:
			l.Payout, l.State, l.Reason = "po-00000037", payout.Blocked, "custom program error: 0x11"
		case payout.NothingEarned:
			l.Amount = tokens(0)
		}
		e.Lines = append(e.Lines, l)
	}
	return e
}

// payouts are one of each kind and state.
func payouts(now time.Time) []payout.Payout {
	list := []payout.Payout{
		{Kind: payout.Settlement, State: payout.Batched, Code: payout.InFlight}, {Kind: payout.Settlement, State: payout.Paid, Signature: signature(11)},
		{Kind: payout.Withdrawal, State: payout.WaitingApproval, Code: payout.NeedsApproval}, {Kind: payout.Refund, State: payout.Blocked, Code: payout.ChainNoAccount, Reason: "invalid account data for instruction"},
		{Kind: payout.Burn, State: payout.Paid, Signature: signature(12)}, {Kind: payout.Withdrawal, State: payout.Cancelled}, {Kind: payout.Settlement, State: payout.Waiting, Code: payout.CapHour},
	}
	for i := range list {
		p := &list[i]
		p.ID, p.Account, p.Asset, p.Amount, p.Wallet = fmt.Sprintf("po-%08d", 42-i), "acc-millmillmi", money.USDC, int64(i+1)*17_333_210, address(i+1)
		if p.Kind == payout.Burn {
			p.Asset, p.Wallet = money.IO, ""
		}
		p.RequestedAt, p.ChangedAt = now.Add(-time.Duration(i)*time.Hour), now.Add(-time.Duration(i)*time.Hour+20*time.Second)
	}
	return list
}

func treasury(now time.Time) wire.Treasury {
	t := wire.Treasury{Chain: "devnet", Rules: deposit.DefaultRules(), Policy: payout.DefaultPolicy(), Every: "1h0m0s", NextRun: now.Add(25 * time.Minute)}
	for i, asset := range []money.Asset{money.USDC, money.IO} {
		t.Mints = append(t.Mints, deposit.Mint{Asset: asset, Mint: address(20 + i), Program: address(22), Decimals: asset.Decimals(), Account: address(23 + i), Wallet: address(25)})
	}
	for _, asset := range []money.Asset{money.USD, money.USDC, money.IO} {
		p := wire.Position{Asset: asset}
		for i, part := range []*money.Amount{&p.Chain, &p.Tenants, &p.Holds, &p.Earned, &p.InFlight, &p.Suspense, &p.Lots, &p.Capital, &p.Fees, &p.Exchange, &p.Other, &p.Aside, &p.Free} {
			if *part = of(asset, int64(13-i)*31_415_926_53); i == 9 {
				part.Minor = -part.Minor
			}
			if asset == money.USD && i%3 != 1 {
				part.Minor = 0
			}
		}
		if asset == money.USDC {
			there := p.Chain
			p.OnChain = &there
		}
		t.Positions = append(t.Positions, p)
	}
	all := payouts(now)
	t.Awaiting, t.Blocked = []payout.Payout{all[2], all[6]}, []payout.Payout{all[3]}
	transfers := make([]payout.Transfer, 15)
	for i := range transfers {
		transfers[i] = payout.Transfer{Payout: fmt.Sprintf("po-%08d", i), Wallet: address(i), Amount: 4_100_000}
	}
	t.InFlight = []payout.Batch{
		{ID: "pb-00000017", Asset: money.USDC, State: payout.Open, MadeAt: now.Add(-40 * time.Second), Transfers: transfers, Attempts: []payout.Attempt{{N: 1, Signature: signature(31), LastValidHeight: 289_113_044, At: now}}},
		{ID: "pb-00000018", Asset: money.IO, State: payout.Open, MadeAt: now.Add(-3 * time.Minute), Transfers: transfers[:1], Burn: true, Attempts: []payout.Attempt{
			{N: 1, Signature: signature(32), LastValidHeight: 289_112_410, At: now, Stage: payout.Expired, Code: payout.ChainExpired, Reason: "block height exceeded"}}},
		{ID: "pb-00000019", Asset: money.USDC, State: payout.Open, MadeAt: now, Transfers: transfers[:2]},
	}
	t.Suspended = 104
	for i, why := range [][]deposit.Reason{{deposit.UnknownSender}, {deposit.Ambiguous}, {deposit.Dust}, {deposit.OtherAsset}} {
		t.Suspense = append(t.Suspense, deposit.Deposit{Key: signature(40+i) + "/" + address(23), Asset: money.USDC, Amount: int64(i+1) * 12_500_000, At: now.Add(-time.Duration(i) * time.Hour), To: "suspense",
			Memo: []string{"", "for the lab", "top-unknown", ""}[i], Senders: []string{address(50), address(51)}[:1+i%2], Reasons: why})
	}
	for i, why := range []deposit.Reason{deposit.WrongMint, deposit.Program2022, deposit.FailedTx, deposit.Outgoing} {
		t.Ignored = append(t.Ignored, deposit.Deposit{Key: signature(60+i) + "/" + address(23), Asset: money.USDC, Amount: -int64(i) * 3_000_000, At: now.Add(-time.Duration(i) * time.Hour), Senders: []string{address(52)}, Reasons: []deposit.Reason{why}})
	}
	for i := range 4 {
		b := wire.Buyback{ID: fmt.Sprintf("buyback-%d", 4-i), Fees: usdc(120_000_000), Paid: usdc(0), Bought: tokens(0), ProposedAt: now.Add(-time.Duration(3-i) * 24 * time.Hour)}
		if i < 3 {
			b.Swap, b.Paid, b.Bought = signature(70+i), usdc(119_400_000), tokens(47_512_000_000)
		}
		if i < 2 {
			b.Burn, b.Burnt = "po-00000020", i == 0
		}
		t.Buybacks = append(t.Buybacks, b)
	}
	return t
}

// inIO turns a bill into one that is paid in IO, where 4 IO are a dollar: without a fee, with a budget, one minute at the last price that was believed.
func inIO(b wire.Bill) wire.Bill {
	most := money.MicroUSD(5_000_000)
	b.Pay, b.FeePercent, b.Fee, b.Total, b.Maximum, b.Paid = "io", "0", money.MicroUSD(0), b.Use, &most, tokens(b.Use.Minor*400)
	b.Held, b.BalanceBefore, b.BalanceNow = tokens(576_000_000), tokens(31_626_000_000), tokens(31_050_000_000)
	for i := range b.Lines {
		l := &b.Lines[i]
		l.Fee, l.Paid = money.MicroUSD(0), tokens(l.Use.Minor*400)
		for j := range l.Minutes {
			m := &l.Minutes[j]
			m.PriceIO, m.Fee, m.Paid = price25, money.MicroUSD(0), tokens(m.Amount.Minor*400)
			if j == 3 {
				m.Halt = price.CodeStale
			}
		}
	}
	return b
}

// halted is a world where nobody believes the price, payouts are halted, and no wallet is set.
func halted(w world, now time.Time) world {
	w.price.Halt, w.price.Reason, w.price.Price, w.price.At, w.price.Sources = price.CodeStep, "0.310000000000 USD/IO is 24.0 % from 0.250000000000 USD/IO", 0, time.Time{}, nil
	w.treasury.Alarms = []string{"transaction 5theftaaaa took 6.00 USDC out of 8sNbab6FpXMs, and no payout or recorded swap explains it"}
	w.treasury.Positions = slices.Clone(w.treasury.Positions)
	gone := w.treasury.Positions[1].Chain
	gone.Minor -= 6_000_000
	w.treasury.Positions[1].OnChain = &gone
	w.treasury.Halts = []wire.PayoutHalt{{Reason: "a transaction took effect after it was said to have expired", By: "coordinator", At: now.Add(-time.Hour)},
		{Asset: money.IO, Reason: "the exchange is down", By: "account:acc-ownerowner", At: now.Add(-time.Minute)}}
	w.earnings.Settlement.Wallet, w.earnings.Settlement.Takes, w.earnings.Settlement.Minimum = "", money.IO, tokens(100_000_000)
	return w
}

func cardsAlone(w world) world {
	w.means.Assets = nil
	return w
}

func tokensAlone(w world) world {
	w.means.Cards, w.balance.Cap = false, nil
	return w
}

// posting answers every path but assets with what a form of the balance page gets that asks for too little.
func posting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/ui/assets/") {
			h.ServeHTTP(w, r)
			return
		}
		page := httptest.NewRecorder()
		h.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/ui/balance", nil))
		text, _ := io.ReadAll(page.Body) // of memory: it cannot fail
		form := url.Values{"amount": {"0.01"}, "asset": {"usdc"}}
		if m := regexp.MustCompile(`name="form" value="([^"]+)"`).FindSubmatch(text); m != nil {
			form.Set("form", string(m[1]))
		}
		post := httptest.NewRequest(http.MethodPost, "/ui/topups", strings.NewReader(form.Encode()))
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		h.ServeHTTP(w, post)
	})
}

// spoil puts hostile names wherever others' words stand.
func (m *affairs) spoil(name func() string) {
	for i := range m.topups {
		t := &m.topups[i]
		t.Lot = name()
		for j := range t.Deposits {
			t.Deposits[j].Via, t.Deposits[j].Key, t.Deposits[j].Reasons = name(), name(), []deposit.Reason{deposit.Reason(name())}
		}
	}
	s := &m.earnings.Settlement
	s.Wallet = name()
	for i := range m.earnings.Lines {
		l := &m.earnings.Lines[i]
		l.Code, l.Payout, l.Reason = payout.Code(name()), name(), name()
	}
	t := &m.treasury
	for _, list := range [][]payout.Payout{m.earnings.Payouts, t.Awaiting, t.Blocked} {
		for i := range list {
			p := &list[i]
			p.ID, p.Kind, p.State, p.Code, p.Reason, p.Wallet, p.Signature = name(), payout.Kind(name()), payout.State(name()), payout.Code(name()), name(), name(), name()
		}
	}
	for _, list := range [][]deposit.Deposit{t.Suspense, t.Ignored} {
		for i := range list {
			d := &list[i]
			d.Key, d.Memo, d.Senders, d.Reasons = name(), name(), []string{name(), name()}, []deposit.Reason{deposit.Reason(name())}
		}
	}
	for i := range t.InFlight {
		b := &t.InFlight[i]
		b.ID = name()
		for j := range b.Attempts {
			b.Attempts[j].Stage, b.Attempts[j].Signature, b.Attempts[j].Reason = payout.Stage(name()), name(), name()
		}
	}
	for i := range t.Buybacks {
		t.Buybacks[i].ID, t.Buybacks[i].Swap, t.Buybacks[i].Burn = name(), name(), name()
	}
	for i := range t.Mints {
		t.Mints[i].Mint, t.Mints[i].Account, t.Mints[i].Wallet = name(), name(), name()
	}
	t.Alarms, t.Chain, t.Every, t.Halts = []string{name()}, name(), name(), []wire.PayoutHalt{{Reason: name(), By: name()}}
	m.price.Halt, m.price.Reason, m.price.Samples[0].Source = name(), name(), name()
}

package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// differPatience is how long chain and books may differ without an alarm: what a node calls final is taken in some seconds later.
const differPatience = time.Minute

// signerPatience is how long a batch may wait for a signature without an alarm: a signer asks every second.
const signerPatience = 5 * time.Minute

// admins reads an admin's write and proposes the command that make answers; then it shows the treasury.
func (s *Server) admins(c *gin.Context, into any, make func(by string) (state.Command, error)) (any, error) {
	who, _, err := s.asked(c, into, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cmd, err := make(who.by())
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.Treasury(c.Request.Context()), nil
}

func (s *Server) getTreasury(c *gin.Context) (any, error) {
	if _, err := s.user(c, raylink.RoleAdmin); err != nil {
		return nil, err
	}
	return s.Treasury(c.Request.Context()), nil
}

// Treasury is the admin's one page of money. What a node says of our token accounts is the leader's word, if it has one in time.
func (s *Server) Treasury(ctx context.Context) wire.Treasury {
	v := s.books()
	ctx, cancel := context.WithTimeout(ctx, seenLimit)
	defer cancel()
	var seen Holdings
	if err := s.leader(ctx, MethodChain, nil, &seen); err != nil {
		return v
	}
	for i, p := range v.Positions {
		// A reading from before the books moved on says nothing about them as they are now.
		if minor, ok := seen.Amounts[p.Asset]; ok && seen.Books[p.Asset] == p.Chain.Minor {
			v.Positions[i].OnChain = &money.Amount{Minor: minor, Asset: p.Asset}
		}
	}
	v.Alarms = append(v.Alarms, seen.alarms()...)
	return v
}

// alarms are of token accounts that differ from the books for longer than what is just being taken in or sent could explain.
func (h Holdings) alarms() []string {
	var list []string
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		began, differs := h.Differs[asset]
		amount, read := h.Amounts[asset]
		if !differs || !read || h.At.Sub(began) < differPatience {
			continue
		}
		list = append(list, fmt.Sprintf("our account of %s holds %v as a node says, and %v by the books: they differ since %s. "+
			"`raylink verify --chain` over an export of the journal names the transaction", asset,
			money.Amount{Minor: amount, Asset: asset}, money.Amount{Minor: h.Books[asset], Asset: asset}, began.UTC().Format(time.RFC3339)))
	}
	return list
}

// books are the books' part of the treasury's page.
func (s *Server) books() wire.Treasury {
	v := wire.Treasury{Awaiting: []payout.Payout{}, Blocked: []payout.Payout{}, InFlight: []payout.Batch{}, Suspense: []deposit.Deposit{}, Ignored: []deposit.Deposit{}}
	s.Group.Read(func(st *state.State) {
		v.Chain, v.Mints, v.Rules, v.Policy = st.Chain, slices.Clone(st.Deposits.Treasury), st.Deposits.Rules, st.Payouts.Policy
		v.Every, v.NextRun = st.PayEvery.String(), st.PaidRunAt.Add(st.PayEvery)
		for _, asset := range []money.Asset{money.USD, money.USDC, money.IO} {
			v.Positions = append(v.Positions, positionView(st.Treasury(asset)))
		}
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			v.Awaiting = append(v.Awaiting, st.Payouts.Awaiting(st.Now, asset, st.Treasury(asset).MayLeave())...)
		}
		for _, id := range st.Payouts.Blocked {
			v.Blocked = append(v.Blocked, *st.Payouts.Payouts[id])
		}
		for _, id := range st.Payouts.Open {
			v.InFlight = append(v.InFlight, withoutBytes(*st.Payouts.Batches[id]))
		}
		for asset, h := range st.Payouts.Halts {
			v.Halts = append(v.Halts, wire.PayoutHalt{Asset: money.Asset(asset), Reason: h.Reason, By: h.By, At: h.At})
		}
		v.Suspense, v.Suspended = append(v.Suspense, st.Deposits.Waiting(shownPayouts)...), len(st.Deposits.Suspense)
		ignored := st.Deposits.Ignored
		v.Ignored = append(v.Ignored, ignored[max(0, len(ignored)-shownPayouts):]...)
		slices.Reverse(v.Ignored)
		v.Alarms = append(alarms(st), late(st, time.Now())...)
		for _, b := range st.Buybacks {
			v.Buybacks = append(v.Buybacks, buybackView(st, b))
		}
	})
	slices.SortFunc(v.Halts, func(a, b wire.PayoutHalt) int { return a.At.Compare(b.At) })
	return v
}

// alarms are transfers out of our token accounts that neither a payout nor a recorded swap explains.
func alarms(st *state.State) []string {
	var list []string
	for _, d := range st.Unexplained {
		signature, account, _ := strings.Cut(d.Key, "/")
		list = append(list, fmt.Sprintf("transaction %s took %v out of %s, and no payout or recorded swap explains it: record the swap, or halt payouts and look after the key",
			signature, money.Amount{Minor: -d.Amount, Asset: d.Asset}, account))
	}
	return list
}

// late are batches that no signer signs. Its reasons are its own: they stand in its log and nowhere else.
func late(st *state.State, now time.Time) []string {
	var list []string
	for _, b := range st.Payouts.Late(now, signerPatience) {
		since, _ := b.Unsigned()
		list = append(list, fmt.Sprintf("batch %s of %d payment(s), %v in all, has waited for a signature since %s: no signer runs, or its own policy refuses the batch, as its log says. "+
			"Start it; or raise its caps (`raylink signer policy` prints a file, --%s-per-payment and --%[5]s-per-hour) and start it again; or take the payment out: `raylink admin payout cancel %s`",
			b.ID, len(b.Transfers), money.Amount{Minor: b.Total(), Asset: b.Asset}, since.UTC().Format(time.RFC3339), strings.ToLower(string(b.Asset)), largest(b).Payout))
	}
	return list
}

// largest is the payment of a batch that a cap most likely is in the way of.
func largest(b payout.Batch) payout.Transfer {
	return slices.MaxFunc(b.Transfers, func(x, y payout.Transfer) int { return cmp.Compare(x.Amount, y.Amount) })
}

func buybackView(st *state.State, b *state.Buyback) wire.Buyback {
	v := wire.Buyback{ID: b.ID, ProposedAt: b.ProposedAt, Swap: b.Swap, Burn: b.Burn, Fees: money.Amount{Minor: b.USDC, Asset: money.USDC},
		Paid: money.Amount{Minor: b.Paid, Asset: money.USDC}, Bought: money.Amount{Minor: b.Bought, Asset: money.IO}}
	if p, ok := st.Payouts.Payouts[b.Burn]; ok {
		v.Burnt = p.State == payout.Paid
	}
	return v
}

// withoutBytes is a batch without its signed transactions: whoever has them could send them, which is harmless, and nobody's business.
func withoutBytes(b payout.Batch) payout.Batch {
	b.Attempts = slices.Clone(b.Attempts)
	for i := range b.Attempts {
		b.Attempts[i].Raw = ""
	}
	return b
}

func positionView(p state.Position) wire.Position {
	of := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: p.Asset} }
	return wire.Position{Asset: p.Asset, Chain: of(p.Chain), Tenants: of(p.Tenants), Holds: of(p.Holds), Earned: of(p.Earned), InFlight: of(p.InFlight), Suspense: of(p.Suspense),
		Lots: of(p.Lots), Capital: of(p.Capital), Fees: of(p.Fees), Exchange: of(p.Exchange), Other: of(p.Other), Aside: of(p.Aside), Free: of(p.Free())}
}

func (s *Server) putTreasury(c *gin.Context) (any, error) {
	var r wire.TreasuryRequest
	return s.admins(c, &r, func(string) (state.Command, error) {
		rules := deposit.DefaultRules()
		if r.Rules != nil {
			rules = *r.Rules
		}
		return &state.SetTreasury{Treasury: r.Treasury, Rules: rules, Cluster: r.Chain, Keep: true}, nil
	})
}

func (s *Server) putPayoutPolicy(c *gin.Context) (any, error) {
	var r wire.PayoutPolicyRequest
	return s.admins(c, &r, func(string) (state.Command, error) {
		every, err := lifetime(r.Every, state.DefaultPayEvery)
		return &state.SetPayoutPolicy{Policy: r.Policy, Every: every}, err
	})
}

func (s *Server) putBuyback(c *gin.Context) (any, error) {
	var r wire.BuybackRequest
	return s.admins(c, &r, func(string) (state.Command, error) {
		interval, err := lifetime(r.Interval, 24*time.Hour)
		if err == nil && r.Threshold.Asset != money.USDC {
			err = raylink.Errorf(raylink.CodeInvalid, "the threshold is of fees in USDC, not %v", r.Threshold)
		}
		return &state.SetBuyback{Threshold: r.Threshold.Minor, Interval: interval}, err
	})
}

func (s *Server) postSwap(c *gin.Context) (any, error) {
	var r wire.SwapRequest
	return s.admins(c, &r, func(by string) (state.Command, error) {
		return &state.RecordSwap{Signature: r.Signature, Purpose: r.Purpose, By: by}, nil
	})
}

func (s *Server) postRewind(c *gin.Context) (any, error) {
	var r wire.RewindRequest
	return s.admins(c, &r, func(string) (state.Command, error) {
		account := ""
		s.Group.Read(func(st *state.State) {
			for _, m := range st.Deposits.Treasury {
				if m.Asset == r.Asset {
					account = m.Account
				}
			}
		})
		if account == "" {
			return nil, raylink.Errorf(raylink.CodeNotFound, "the treasury has no token account of %.10q", r.Asset).WithHint("see `raylink admin treasury`")
		}
		return &state.RewindDeposits{Account: account, Signature: r.Signature}, nil
	})
}

func (s *Server) postPayoutRun(c *gin.Context) (any, error) {
	var r struct{}
	return s.admins(c, &r, func(by string) (state.Command, error) { return &state.RunPayouts{By: by}, nil })
}

func (s *Server) postPayoutHalt(c *gin.Context) (any, error) {
	var r wire.HaltRequest
	return s.admins(c, &r, func(by string) (state.Command, error) {
		return &state.HaltPayouts{Asset: r.Asset, By: by, Reason: r.Reason}, nil
	})
}

func (s *Server) postSuspenseAssign(c *gin.Context) (any, error) {
	var r wire.AssignRequest
	return s.admins(c, &r, func(by string) (state.Command, error) {
		return &state.AssignSuspense{Key: r.Key, Account: r.Account, By: by}, nil
	})
}

func (s *Server) postSuspenseRefund(c *gin.Context) (any, error) {
	var r wire.RefundRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	id, err := raylink.NewID[string](entropy, "rf")
	if err != nil {
		return nil, err
	}
	var amount money.Amount
	s.Group.Read(func(st *state.State) {
		if d, ok := st.Deposits.Deposits[r.Key]; ok {
			amount = money.Amount{Minor: d.Amount, Asset: d.Asset}
		}
	})
	s.lookAt(c, r.Account, r.Wallet, amount.Asset)
	cmd := &state.RequestPayout{By: who.by(), Request: payout.Request{ID: id, Kind: payout.Refund, Account: string(r.Account), Asset: amount.Asset, Amount: amount.Minor,
		Wallet: r.Wallet, Item: r.Key}}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.payout(id), nil
}

func (s *Server) getPrice(c *gin.Context) (any, error) {
	if _, err := s.user(c); err != nil {
		return nil, err
	}
	return s.Price(), nil
}

// Price is what IO costs, and whether that is believed.
func (s *Server) Price() wire.Price {
	v := wire.Price{Samples: []price.Sample{}}
	s.Group.Read(func(st *state.State) {
		v.Policy = st.Prices.Policy
		for _, held := range st.Prices.Latest {
			v.Samples = append(v.Samples, held.Sample)
		}
		v.Average, _ = st.Prices.Average(time.Now())
		if last, ok := st.Prices.Last(); ok {
			v.Last = &last
		}
		now, err := st.Prices.Snapshot(time.Now())
		if halt, ok := price.AsHalt(err); ok {
			v.Halt, v.Reason = halt.Code, halt.Reason
			return
		}
		v.Price, v.ID, v.At, v.Sources = now.Price, now.ID, now.At, now.Sources
	})
	return v
}

// priceWrite reads an admin's write on the price.
func (s *Server) priceWrite(c *gin.Context, into any, make func() state.Command) (any, error) {
	who, _, err := s.asked(c, into, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, who.by(), idempotency(c), make(), nil); err != nil {
		return nil, err
	}
	return s.Price(), nil
}

func (s *Server) postPrice(c *gin.Context) (any, error) {
	var r wire.PriceRequest
	return s.priceWrite(c, &r, func() state.Command {
		r.Sample.Source = price.SourceAdministered // by the API an operator speaks, and signs; what a feed says comes from the leader
		return &state.SetPrice{Sample: r.Sample, Override: r.Override}
	})
}

func (s *Server) putPricePolicy(c *gin.Context) (any, error) {
	var r price.Policy
	return s.priceWrite(c, &r, func() state.Command { return &state.SetPricePolicy{Policy: r} })
}

func (s *Server) postPriceHalt(c *gin.Context) (any, error) {
	var r wire.HaltRequest
	return s.priceWrite(c, &r, func() state.Command { return &state.HaltPrice{Reason: r.Reason} })
}

func (s *Server) getSignerWork(c *gin.Context) (any, error) {
	if _, err := s.user(c, raylink.RoleSigner); err != nil {
		return nil, err
	}
	v := wire.SignerWork{Work: []payout.Work{}}
	s.Group.Read(func(st *state.State) {
		v.Work = append(v.Work, st.Payouts.Work()...)
		if point := st.Unanchored(); point != nil {
			v.Anchor = &wire.Anchor{Seq: point.Seq, Memo: ledger.RootMemo(point.Seq, point.Hash)}
		}
	})
	return v, nil
}

func (s *Server) postSignerAnchor(c *gin.Context) (any, error) {
	var r wire.AnchorRequest
	who, _, err := s.asked(c, &r, raylink.RoleSigner)
	if err != nil {
		return nil, err
	}
	return nil, s.propose(c, who.by(), "", &state.RecordAnchor{Seq: r.Seq, Signature: r.Signature}, nil)
}

func (s *Server) postSignerAttempt(c *gin.Context) (any, error) {
	var r payout.Attempted
	who, _, err := s.asked(c, &r, raylink.RoleSigner)
	if err != nil {
		return nil, err
	}
	return nil, s.propose(c, who.by(), "", &state.RecordAttempt{Attempt: r}, nil)
}

package plan

import (
	"time"

	"raylink/billing/lot"
	"raylink/billing/money"
	"raylink/coordinator/state"
)

// Money is what the books want done now: earnings released and converted, suppliers paid, fees bought back. Each step is refused or does nothing where
// another leader has done it already.
func Money(s *state.State, now time.Time) []state.Command {
	var steps []state.Command
	if _, err := s.Prices.Snapshot(now); err == nil {
		for _, p := range s.Paused() {
			steps = append(steps, &state.ResumeEarnings{Supplier: p.Supplier, Purse: p.Purse})
		}
	}
	tokens := []money.Asset{money.USDC, money.IO}
	for _, origin := range lot.Origins() {
		for _, asset := range tokens {
			if s.Lots.Ready(now, origin, asset, s.Ledger.Balance(origin.LotAccount(), asset)) {
				steps = append(steps, &state.ReleaseLot{Origin: origin, Asset: asset})
			}
		}
	}
	if len(s.Deposits.Treasury) == 0 {
		return steps
	}
	if now.Sub(s.PaidRunAt) >= s.PayEvery {
		steps = append(steps, &state.RunPayouts{})
	}
	for _, asset := range tokens {
		if len(s.Payouts.Queue[asset]) > 0 && s.Payouts.Ready(now, asset, s.Treasury(asset).MayLeave()) {
			steps = append(steps, &state.MakeBatch{Asset: asset, Aside: true})
		}
	}
	for _, b := range s.Buybacks {
		if b.Swap != "" && b.Burn == "" {
			steps = append(steps, &state.BurnBought{})
			break
		}
	}
	if s.BuybackDue(now) {
		steps = append(steps, &state.ProposeBuyback{})
	}
	return steps
}

package state

import (
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// stays refuses a treasury that would leave tokens, or somebody who is about to send some, behind: only the accounts it names are watched, and nothing books a
// move from one to the other. An asset's mint, account and wallet may change, or go, while nothing of it is held, on its way out, or asked for.
func (s *State) stays(next deposit.Treasury) error {
	for _, m := range s.Deposits.Treasury {
		if to, ok := next.Of(m.Asset); ok && to == m {
			continue
		}
		if held := -s.Ledger.Balance(ledger.TreasuryChain, m.Asset); held != 0 {
			return stuck(m, "by the books %s holds %v", m.Account, money.Amount{Minor: held, Asset: m.Asset}).
				WithHint("what is there leaves first: by withdrawals, payouts, refunds out of suspense and recorded swaps, until `raylink admin treasury` shows zero")
		}
		for _, id := range s.Payouts.Open {
			if s.Payouts.Batches[id].Asset == m.Asset {
				return stuck(m, "batch %s still pays from it", id).WithHint("wait until it is posted, or cancel what it pays: `raylink admin treasury`")
			}
		}
		if until := s.askedUntil(m.Asset); until.After(s.Now) {
			return stuck(m, "a top-up of it is open until %s, and whoever was asked for it pays there", until.Format(time.RFC3339)).
				WithHint("try again then; a top-up is open for at most %s", deposit.MaxLife)
		}
	}
	return nil
}

func stuck(m deposit.Mint, why string, args ...any) *raylink.Error {
	return raylink.Errorf(raylink.CodeConflict, "the treasury's mint, account and wallet of %s cannot be changed now: "+why, append([]any{m.Asset}, args...)...)
}

// askedUntil is when the last top-up of an asset ends, paid or not: a link may be paid twice.
func (s *State) askedUntil(asset money.Asset) time.Time {
	var last time.Time
	for _, t := range s.Deposits.Topups {
		if t.Asset == asset && t.ExpiresAt.After(last) {
			last = t.ExpiresAt
		}
	}
	return last
}

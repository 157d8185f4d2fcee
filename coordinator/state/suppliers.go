package state

import (
	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/lot"
	"raylink/billing/money"
	"raylink/raylink"
)

// Takes is the asset that a supplier has chosen to earn; USDC where he has not chosen.
func (s *State) Takes(id raylink.AccountID) money.Asset {
	return s.Payouts.Setting(string(id)).Takes
}

// Earned is all that an account has earned as a supplier in one asset and was not paid yet, whether it is payable or waits.
func (s *State) Earned(id raylink.AccountID, asset money.Asset) int64 {
	accounts := []string{ledger.Supplier(string(id)), ledger.SupplierGrant(string(id)), ledger.SupplierCard(string(id))}
	for _, p := range exchange.Purses() {
		accounts = append(accounts, ledger.SupplierPaused(string(p), string(id)))
	}
	var sum int64
	for _, account := range accounts {
		sum += s.Ledger.Balance(account, asset)
	}
	return sum
}

// awaitLot puts what a supplier earned from granted credit or cards into the queue of its lot, by the postings that it was earned with.
func (s *State) awaitLot(p exchange.Purse, supplier raylink.AccountID, moves []ledger.Posting) {
	origin := lot.Origin(p)
	for _, m := range moves {
		if (p == exchange.Grant || p == exchange.Card) && m.Account == origin.HeldAccount(string(supplier)) {
			// The posting is in the books and of a positive amount, so the queue cannot refuse it; were it to, the money would still be in its account.
			_ = s.Lots.Add(origin, string(supplier), m.Amount, s.Now)
		}
	}
}

// ReleaseLot pays what suppliers earned from granted credit or cards from the lot of that name, as far as it reaches.
type ReleaseLot struct {
	Origin lot.Origin  `json:"origin"`
	Asset  money.Asset `json:"asset"`
}

func (*ReleaseLot) kind() string { return "lot.release" }

func (c *ReleaseLot) apply(s *State) (any, error) {
	entries := s.Lots.Release(s.Now, c.Origin, c.Asset, s.Ledger.Balance(c.Origin.LotAccount(), c.Asset))
	return len(entries), s.post(entries)
}

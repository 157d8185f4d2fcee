package state

import (
	"errors"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/raylink"
)

// SetPricePolicy says which sources of the price of IO are listened to, whose signatures count, and what can be believed.
type SetPricePolicy struct {
	Policy price.Policy `json:"policy"`
}

func (*SetPricePolicy) kind() string { return "price.policy" }

func (c *SetPricePolicy) apply(s *State) (any, error) {
	if err := c.Policy.Check(); err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err)
	}
	s.Prices.Policy = c.Policy
	return nil, nil
}

// PriceTaken is what became of a sample: taken in, or the halt that it raised.
type PriceTaken struct {
	Halt   string `json:"halt,omitempty"` // code
	Reason string `json:"reason,omitempty"`
}

// SetPrice takes in what a source says IO costs. A sample that goes too far is not believed and halts the price: that is an outcome, no refusal.
type SetPrice struct {
	Sample   price.Sample `json:"sample"`
	Override bool         `json:"override,omitempty"` // an operator means it, however far it is from the price before
}

func (*SetPrice) kind() string { return "price.set" }

func (c *SetPrice) apply(s *State) (any, error) {
	var err error
	if c.Override {
		err = s.Prices.Override(s.Now, c.Sample)
	} else {
		err = s.Prices.Set(s.Now, c.Sample)
	}
	if halt, ok := price.AsHalt(err); ok {
		return PriceTaken{Halt: halt.Code, Reason: halt.Reason}, nil
	}
	if errors.Is(err, price.ErrSample) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("see `raylink price` for the sources and the keys that count")
	}
	return PriceTaken{}, err
}

// HaltPrice stops settlement in IO for a reason, or lets it go on.
type HaltPrice struct {
	Reason string `json:"reason,omitempty"` // empty: go on
}

func (*HaltPrice) kind() string { return "price.halt" }

func (c *HaltPrice) apply(s *State) (any, error) {
	if c.Reason == "" {
		s.Prices.Resume(s.Now)
		return nil, nil
	}
	if err := CheckName("the reason", c.Reason); err != nil {
		return nil, err
	}
	s.Prices.Halt(s.Now, c.Reason)
	return nil, nil
}

// ResumeEarnings converts what a supplier earned from one purse while no price could be believed.
type ResumeEarnings struct {
	Supplier raylink.AccountID `json:"supplier"`
	Purse    exchange.Purse    `json:"purse"`
}

func (*ResumeEarnings) kind() string { return "earnings.resume" }

func (c *ResumeEarnings) apply(s *State) (any, error) {
	asset := c.Purse.Asset()
	amount := money.Amount{Minor: s.Ledger.Balance(ledger.SupplierPaused(string(c.Purse), string(c.Supplier)), asset), Asset: asset}
	if asset == "" || amount.Minor <= 0 {
		return nil, nil // done by an earlier one
	}
	now, err := s.Prices.Snapshot(s.Now)
	if err != nil {
		return nil, refusal(err)
	}
	takes := s.Takes(c.Supplier)
	paused := exchange.Paused{Purse: c.Purse, Supplier: string(c.Supplier), Amount: amount, Takes: takes, Price: now.Price, PriceID: now.ID,
		SupplierFeeBasisPoints: exchange.SupplierFeeBasisPoints(takes)}
	moves, err := exchange.Resume(paused)
	if err != nil {
		return nil, refusal(err)
	}
	if _, err := s.Ledger.Post(s.Now, exchange.KindResume, s.reference(string(c.Supplier)), moves, paused); err != nil {
		return nil, refusal(err)
	}
	s.awaitLot(c.Purse, c.Supplier, moves)
	return nil, nil
}

// Paused are the suppliers, with the purses, whose earnings wait for a price.
func (s *State) Paused() []ResumeEarnings {
	var list []ResumeEarnings
	for _, p := range exchange.Purses() {
		for _, a := range s.Ledger.Under(ledger.SupplierPaused(string(p), "")) {
			supplier, _ := ledger.EarnedBy(a.Name)
			list = append(list, ResumeEarnings{Supplier: raylink.AccountID(supplier), Purse: p})
		}
	}
	return list
}

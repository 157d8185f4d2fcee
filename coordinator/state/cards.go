package state

import (
	"errors"

	"raylink/billing/cardbook"
	"raylink/billing/money"
	"raylink/raylink"
)

// RequestCardTopup announces a top-up by card.
type RequestCardTopup struct {
	ID      string            `json:"id"`
	Account raylink.AccountID `json:"account"`
	Amount  money.Amount      `json:"amount"` // whole cents of USD
	Live    bool              `json:"live"`   // real money, not the card company's test mode
}

func (*RequestCardTopup) kind() string { return "card.request" }

func (c *RequestCardTopup) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	t, err := s.Cards.Request(s.Now, c.ID, string(c.Account), c.Amount, c.Live)
	if err != nil {
		return nil, cardRefusal(err)
	}
	return t.ID, nil
}

// OpenCardTopup notes the card company's session of a top-up, before its payer gets the address; without one it gives the top-up up.
type OpenCardTopup struct {
	ID      string `json:"id"`
	Session string `json:"session,omitempty"`
}

func (*OpenCardTopup) kind() string { return "card.open" }

func (c *OpenCardTopup) apply(s *State) (any, error) {
	if c.Session == "" {
		return nil, cardRefusal(s.Cards.Abandon(s.Now, c.ID))
	}
	_, err := s.Cards.Opened(c.ID, c.Session)
	return nil, cardRefusal(err)
}

// TakeCardFact takes in what was fetched from the card company.
type TakeCardFact struct {
	Fact cardbook.Fact `json:"fact"`
}

func (*TakeCardFact) kind() string { return "card.fact" }

func (c *TakeCardFact) apply(s *State) (any, error) {
	moves, err := s.Cards.Apply(s.Now, c.Fact, s.Ledger)
	if err != nil {
		return nil, cardRefusal(err)
	}
	if err := s.move(moves); err != nil {
		return nil, err
	}
	account, _ := s.Cards.AccountOf(c.Fact)
	return nil, s.standing(raylink.AccountID(account))
}

// standing freezes what an account earned by cards while one of its own card payments is in dispute, and unfreezes it.
func (s *State) standing(id raylink.AccountID) error {
	if id == "" {
		return nil
	}
	if s.Cards.Standing(string(id)).Flagged() {
		return s.Lots.Freeze(s.Now, string(id), "a card payment of the account is, or was, disputed")
	}
	s.Lots.Unfreeze(string(id))
	return nil
}

// RefundCard gives unspent card money back to the card.
type RefundCard struct {
	ID      string            `json:"id"`
	Account raylink.AccountID `json:"account"`
	Amount  money.Amount      `json:"amount"`
}

func (*RefundCard) kind() string { return "card.refund" }

func (c *RefundCard) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	_, moves, err := s.Cards.RequestRefund(s.Now, c.ID, string(c.Account), c.Amount, s.Ledger)
	if err != nil {
		return nil, cardRefusal(err)
	}
	return c.ID, s.move(moves)
}

// RefuseCardRefund notes that the card company will not do a refund: the money is the account's again.
type RefuseCardRefund struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (*RefuseCardRefund) kind() string { return "card.refund.refused" }

func (c *RefuseCardRefund) apply(s *State) (any, error) {
	moves, err := s.Cards.RefuseRefund(s.Now, c.ID, c.Reason, s.Ledger)
	if err != nil {
		return nil, cardRefusal(err)
	}
	return nil, s.move(moves)
}

// PardonCard lets an account pay by card again after a dispute that it lost.
type PardonCard struct {
	Account raylink.AccountID `json:"account"`
}

func (*PardonCard) kind() string { return "card.pardon" }

func (c *PardonCard) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if err := s.Cards.Pardon(string(c.Account)); err != nil {
		return nil, cardRefusal(err)
	}
	return nil, s.standing(c.Account)
}

// move posts what the book of cards has recorded.
func (s *State) move(moves []cardbook.Movement) error {
	for _, m := range moves {
		if _, err := s.Ledger.Post(s.Now, m.Kind, m.Ref, m.Postings, m.Note); err != nil {
			return refusal(err)
		}
	}
	return nil
}

// cardRefusal turns an error of the book of cards into one for the caller.
func cardRefusal(err error) error {
	code, hint := raylink.CodeInvalid, "amounts are whole cents, from 1.00 to 10000.00 USD"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cardbook.ErrFlagged):
		code, hint = raylink.CodeForbidden, "ask an admin: `raylink admin card pardon` lifts it"
	case errors.Is(err, cardbook.ErrConflict):
		code, hint = raylink.CodeConflict, "make a new request with a key of its own"
	case errors.Is(err, cardbook.ErrUnspent):
		code, hint = raylink.CodeFunds, "`raylink balance` shows what is free in the purse card"
	case errors.Is(err, cardbook.ErrUnknown), errors.Is(err, cardbook.ErrForeign):
		code, hint = raylink.CodeNotFound, "see `raylink topup list`"
	}
	return raylink.Errorf(code, "%v", err).WithHint("%s", hint)
}

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/card"
	"raylink/billing/cardbook"
	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Cards is what the API needs of the card company. Secrets are those that its webhooks may be signed with: several while one is replaced.
type Cards interface {
	Create(ctx context.Context, t cardbook.Topup) (card.Checkout, error)
	Fetch(ctx context.Context, o card.Object) (cardbook.Fact, error)
	Live() bool
	Secrets() ([]string, error)
}

// noCards says that cards are off.
func noCards() error {
	return raylink.Errorf(raylink.CodeUnsupported, "no cards are taken here: this coordinator has no key of a card company").
		WithHint("top up in tokens: `raylink topup 50 --asset usdc`")
}

// cardTopup announces a top-up by card and opens its checkout page. Asked again with the same id, the card company gives the same page.
func (s *Server) cardTopup(ctx context.Context, who caller, id string, amount money.Amount) (wire.Topup, error) {
	if s.Cards == nil {
		return wire.Topup{}, noCards()
	}
	if _, err := s.commit(ctx, who.by(), "", &state.RequestCardTopup{ID: id, Account: who.account, Amount: amount, Live: s.Cards.Live()}, nil); err != nil {
		return wire.Topup{}, err
	}
	var t cardbook.Topup
	s.Group.Read(func(st *state.State) { t, _ = st.Cards.Topup(id) })
	if t.State != cardbook.Open {
		return cardView(t), nil
	}
	page, err := s.Cards.Create(ctx, t)
	if err != nil {
		return wire.Topup{}, cardTrouble(err)
	}
	if _, err := s.commit(ctx, who.by(), "", &state.OpenCardTopup{ID: id, Session: page.Session}, nil); err != nil {
		return wire.Topup{}, err
	}
	v := cardView(t)
	v.URL = page.URL
	return v, nil
}

// cardTrouble is the user's error for one of the card company.
func cardTrouble(err error) error {
	var refused *card.RefusedError
	if errors.As(err, &refused) {
		return raylink.Errorf(raylink.CodeConflict, "the card company refuses: %v", refused)
	}
	return raylink.Errorf(raylink.CodeUnavailable, "the card company does not answer as it should: %v", err).WithHint("try again in a minute; nothing was charged")
}

// cardTopups are the top-ups by card that an account, or an admin, may see.
func cardTopups(st *state.State, account raylink.AccountID, role raylink.Role) []wire.Topup {
	accounts := []string{string(account)}
	if role == raylink.RoleAdmin {
		accounts = nil
		for id := range st.Accounts {
			accounts = append(accounts, string(id))
		}
	}
	var list []wire.Topup
	for _, account := range accounts {
		for _, t := range st.Cards.Topups(account) {
			list = append(list, cardView(t))
		}
	}
	return list
}

func cardView(t cardbook.Topup) wire.Topup {
	return wire.Topup{ID: t.ID, Account: raylink.AccountID(t.Account), Amount: t.Amount, State: string(t.State), Received: t.Received, OpenedAt: t.Created, ExpiresAt: t.Expires}
}

// postCardWebhook hears from the card company that something has happened. Who it is says the signature over the raw body, and what it was is fetched:
// events come in any order, twice, or late.
func (s *Server) postCardWebhook(c *gin.Context) (any, error) {
	if s.Cards == nil {
		return nil, noCards()
	}
	raw, err := card.ReadBody(http.MaxBytesReader(c.Writer, c.Request.Body, card.MaxBody+1))
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeTooLarge, "%v", err)
	}
	secrets, err := s.Cards.Secrets()
	if err != nil {
		return nil, err
	}
	notice, err := card.Open(raw, c.GetHeader(card.SignatureHeader), secrets, time.Now())
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err)
	}
	if notice.Ignored {
		return nil, nil
	}
	fact, err := s.Cards.Fetch(c.Request.Context(), notice.Object)
	if errors.Is(err, cardbook.ErrForeign) {
		return nil, nil // another product's payment on the same account of the card company
	}
	if err != nil {
		return nil, cardTrouble(err)
	}
	err = s.propose(c, "cards", "", &state.TakeCardFact{Fact: fact}, nil)
	if err != nil && raylink.AsError(err).Code == raylink.CodeNotFound {
		return nil, nil // foreign as well
	}
	return nil, err
}

func (s *Server) postCardPardon(c *gin.Context) (any, error) {
	var r struct{}
	who, _, err := s.asked(c, &r, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	account := raylink.AccountID(c.Param("id"))
	if err := s.propose(c, who.by(), idempotency(c), &state.PardonCard{Account: account}, nil); err != nil {
		return nil, err
	}
	return s.account(account)
}

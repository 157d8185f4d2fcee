package api

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/export"
	"raylink/billing/invoice"
	"raylink/billing/ledger"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// getInvoice makes an invoice from the journal. It reads all of it, because meters and balances begin with the first entry.
func (s *Server) getInvoice(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	order, err := s.invoiceOrder(c, who)
	if err != nil {
		return nil, err
	}
	var journal pages
	s.Group.Read(func(st *state.State) { journal.upTo, _ = st.Ledger.Head() })
	journal.read = s.Group.Read
	made, err := invoice.Build(order, while(c.Request.Context(), export.All(journal)))
	if err := c.Request.Context().Err(); err != nil {
		return nil, err
	}
	if errors.Is(err, invoice.ErrJournal) {
		return nil, raylink.Errorf(raylink.CodeInternal, "%v", err).WithHint("`raylink journal export | raylink verify -` shows what is wrong with the journal")
	}
	return made, err
}

// invoiceOrder reads the query: whose invoice, of what, and from when to when.
func (s *Server) invoiceOrder(c *gin.Context, who caller) (invoice.Order, error) {
	id := raylink.AccountID(cmp.Or(c.Query(wire.InvoiceAccount), string(who.account)))
	order := invoice.Order{IssuedAt: time.Now().UTC(), Issuer: invoice.Party{Name: "Raylink network", Lines: []string{"CA " + s.Authority.CASHA256()}}, Names: map[string]string{}}
	if ref := c.Query(wire.InvoiceCluster); ref != "" {
		cl, err := s.Cluster(who.account, who.role, ref)
		if err != nil {
			return order, err
		}
		if c.Query(wire.InvoiceAccount) != "" && cl.Owner != id {
			return order, raylink.Errorf(raylink.CodeInvalid, "cluster %s is not of account %.60q", cl.ID, id).WithHint("leave the account away: the cluster says whose it is")
		}
		id, order.Cluster = cl.Owner, string(cl.ID)
	}
	if id != who.account && who.role != raylink.RoleAdmin {
		return order, raylink.Errorf(raylink.CodeForbidden, "only an admin may see another account's invoice").WithHint("leave the account away to get your own")
	}
	account, err := s.account(id)
	if err != nil {
		return order, err
	}
	order.Account, order.Customer = string(id), invoice.Party{Name: account.Name, Lines: []string{"account " + string(id)}}
	s.Group.Read(func(st *state.State) {
		for _, cl := range st.Clusters {
			if cl.Owner == id {
				order.Names[string(cl.ID)] = cl.Spec.Name
			}
		}
	})
	if order.From, err = moment(c, wire.InvoiceFrom); err == nil {
		order.To, err = moment(c, wire.InvoiceTo)
	}
	if err == nil && !order.To.IsZero() && !order.From.Before(order.To) {
		err = raylink.Errorf(raylink.CodeInvalid, "the period ends at %s, before it begins", order.To.Format(time.RFC3339)).WithHint("give --from a time before --to")
	}
	return order, err
}

// moment reads a time from the query; none is zero.
func moment(c *gin.Context, name string) (time.Time, error) {
	text := c.Query(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, raylink.Errorf(raylink.CodeInvalid, "%s is no time: %.60q", name, text).WithHint("write it as 2026-11-01T00:00:00Z")
	}
	return at.UTC(), nil
}

// while passes entries on until nobody waits for the answer any more.
func while(ctx context.Context, entries iter.Seq[ledger.Entry]) iter.Seq[ledger.Entry] {
	return func(yield func(ledger.Entry) bool) {
		for entry := range entries {
			if ctx.Err() != nil || !yield(entry) {
				return
			}
		}
	}
}

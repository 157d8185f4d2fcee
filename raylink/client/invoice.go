package client

import (
	"context"
	"net/url"
	"time"

	"raylink/billing/invoice"
	"raylink/raylink/wire"
)

// Invoice is what an account has used and paid in a period, made from the journal.
func (c *Client) Invoice(ctx context.Context, r wire.InvoiceRequest) (invoice.Invoice, error) {
	query := url.Values{}
	set := func(name, text string) {
		if text != "" {
			query.Set(name, text)
		}
	}
	set(wire.InvoiceAccount, string(r.Account))
	set(wire.InvoiceCluster, r.Cluster)
	for name, at := range map[string]time.Time{wire.InvoiceFrom: r.From, wire.InvoiceTo: r.To} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	return get[invoice.Invoice](ctx, c, at("invoice"), query)
}

package wire

import (
	"time"

	"raylink/raylink"
)

// InvoiceRequest says what an invoice is to be about, in the query of GET /v1/invoice. The answer is the JSON of billing/invoice.
type InvoiceRequest struct {
	Account raylink.AccountID // empty is the caller's own; only an admin names another
	Cluster string            // one alone, by id or name; empty is all
	From    time.Time         // zero is the beginning
	To      time.Time         // zero is now
}

// The names in the query; times are RFC 3339.
const (
	InvoiceAccount = "account"
	InvoiceCluster = "cluster"
	InvoiceFrom    = "from"
	InvoiceTo      = "to"
)

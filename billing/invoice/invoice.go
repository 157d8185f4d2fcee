// Package invoice makes invoices out of the journal, and of nothing else: whoever has the journal and the order gets the same invoice,
// to the last unit. Every amount is computed again by the meter and must be the one that was posted.
package invoice

import (
	"errors"
	"fmt"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/money"
)

// ErrJournal says that the entries are not a journal that an invoice can be made of: they do not begin with the first, they are
// out of order, or a minute was not charged what its note says.
var ErrJournal = errors.New("journal does not give an invoice")

// Order says what an invoice is to be about.
type Order struct {
	Number   string    // empty: <account>-<last entry of the range>
	Issuer   Party     // who runs the network
	Customer Party     // whose account it is
	Account  string    // the account's id
	Cluster  string    // one cluster alone; empty for all of the account's
	From     time.Time // the first moment of the period; zero for the beginning, or where Cluster is named, its first hold
	To       time.Time // the first moment after the period; zero for the journal's end
	IssuedAt time.Time
	Names    map[string]string // of clusters by their ids, as far as known
}

// Party is a name and what stands below it: address, tax number, and so on.
type Party struct {
	Name  string   `json:"name"`
	Lines []string `json:"lines,omitempty"`
}

// Invoice is what was used and paid in a period. It is a receipt as well: all of it was paid from prepaid balances, minute by minute.
type Invoice struct {
	Number   string    `json:"number"`
	IssuedAt time.Time `json:"issued_at"`
	Issuer   Party     `json:"issuer"`
	Customer Party     `json:"customer"`
	Account  string    `json:"account"`
	Cluster  string    `json:"cluster,omitempty"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Lines    []Line    `json:"lines"`    // in the order in which clusters, then leases, first appear
	Totals   []Total   `json:"totals"`   // one for each asset that was paid with
	Balances []Balance `json:"balances"` // one for each asset that the account held or moved
	Journal  Range     `json:"journal"`
}

// Line is one lease, as far as it was settled in the period.
type Line struct {
	Cluster        string         `json:"cluster"`
	ClusterName    string         `json:"cluster_name,omitempty"`
	Lease          string         `json:"lease"`
	Node           string         `json:"node"`
	Machine        string         `json:"machine"`
	Purse          exchange.Purse `json:"purse"`
	Rate           money.Rate     `json:"rate"`
	FeeBasisPoints int64          `json:"fee_basis_points"`
	Charged        int64          `json:"charged"` // minutes
	Waived         int64          `json:"waived"`  // minutes
	Use            money.Amount   `json:"use"`     // in USD, at Rate
	Fee            money.Amount   `json:"fee"`     // on top, in the purse's asset
	Paid           money.Amount   `json:"paid"`    // use and fee, in the purse's asset
	Prices         *Prices        `json:"prices,omitempty"`
}

// Prices are the snapshots of the price of IO at which minutes were settled.
type Prices struct {
	Low     money.Price `json:"low"`
	High    money.Price `json:"high"`
	FirstID uint64      `json:"first_id"`
	LastID  uint64      `json:"last_id"`
}

// Total is what was paid in one asset.
type Total struct {
	Use  money.Amount `json:"use"` // in USD
	Fee  money.Amount `json:"fee"`
	Paid money.Amount `json:"paid"`
}

// Balance is how the account's money in one asset changed, what clusters have on hold included: Before and all Movements make After.
type Balance struct {
	Before    money.Amount `json:"before"`
	Movements []Movement   `json:"movements"`
	After     money.Amount `json:"after"`
}

// Movement is all that entries of one kind moved.
type Movement struct {
	Kind    string       `json:"kind"` // the journal's, or OtherCharges
	Entries int64        `json:"entries"`
	Amount  money.Amount `json:"amount"`
}

// OtherCharges are the charged minutes of clusters that the invoice is not about.
const OtherCharges = "minute.charged (other clusters)"

// Range is the part of the journal that falls into the period, other accounts' entries included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	Hash  string `json:"hash"` // of the last entry, which stands for all before it
}

// numbered gives the invoice its number if the order did not.
func (i *Invoice) numbered() {
	if i.Number == "" {
		i.Number = fmt.Sprintf("%s-%d", i.Account, i.Journal.Last)
	}
}

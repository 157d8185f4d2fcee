package verify

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// MaxProblems is how many problems a report names; the rest is only counted.
const MaxProblems = 100

// Report is what Verify found.
type Report struct {
	ExportedAt   time.Time         `json:"exported_at"`
	Cluster      string            `json:"cluster,omitempty"`  // of a bill: then only its hold is an account
	Supplier     string            `json:"supplier,omitempty"` // of earnings: then only what he has earned, and payouts of it, are accounts
	PaidOut      []money.Amount    `json:"paid_out,omitempty"` // of earnings: what payouts were posted as paid, for each asset
	Head         *Head             `json:"head,omitempty"`     // of a part: the last entry of the journal that it was taken from
	Entries      int               `json:"entries"`
	Seq          uint64            `json:"seq"`                // of the last entry
	Hash         string            `json:"hash"`               // of the last entry, which stands for all
	Key          ed25519.PublicKey `json:"key"`                // that signed the checkpoint; none if its signature does not fit
	Unsigned     int               `json:"unsigned,omitempty"` // charged minutes of the time before coordinators signed, which none of them did
	Leases       []LeaseReport     `json:"leases"`
	Accounts     []ledger.Account  `json:"accounts"` // final balances, sorted
	Sums         []money.Amount    `json:"sums"`     // of all balances, for each asset: zero
	Problems     []Problem         `json:"problems"`
	MoreProblems int               `json:"more_problems,omitempty"`
}

// LeaseReport is what one lease used and cost, computed anew.
type LeaseReport struct {
	Lease   string       `json:"lease"`
	Cluster string       `json:"cluster"`
	Node    string       `json:"node"`
	Machine string       `json:"machine"`
	Rate    money.Rate   `json:"rate"`
	Charged int64        `json:"charged"` // minutes
	Waived  int64        `json:"waived"`  // minutes
	Use     money.Amount `json:"use"`     // in USD
	Fee     money.Amount `json:"fee"`     // on top, in USD

	// Of leases with a purse:
	Purse       string       `json:"purse,omitempty"`
	Paid        money.Amount `json:"paid,omitzero"`         // out of the hold, in the purse's asset
	SupplierFee money.Amount `json:"supplier_fee,omitzero"` // off what the supplier took in USDC, in USD
}

// Problem is one thing wrong.
type Problem struct {
	Seq  uint64 `json:"seq"`  // of the entry; of the last one for problems of the whole
	Line int    `json:"line"` // of the file, from 1
	What string `json:"what"`
}

func (p Problem) String() string { return fmt.Sprintf("entry %d (line %d): %s", p.Seq, p.Line, p.What) }

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) add(l *lease) {
	report := LeaseReport{
		Lease: l.first.Lease, Cluster: l.first.Cluster, Node: l.first.Node, Machine: l.first.Machine, Rate: l.first.Rate,
		Charged: l.meter.Charged, Waived: l.meter.Waived,
		Use: money.MicroUSD(l.meter.Accrued), Fee: money.MicroUSD(l.meter.Fees), Purse: l.purse, Paid: l.paid,
	}
	if l.purse != "" {
		report.SupplierFee = money.MicroUSD(l.meter.SupplierFees)
	}
	r.Leases = append(r.Leases, report)
}

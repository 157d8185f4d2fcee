package audit

import (
	"fmt"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
)

// maxProblems is how many problems a report names; the rest is only counted.
const maxProblems = 100

// Report is what a comparison found.
type Report struct {
	Chain        string    `json:"chain,omitempty"`
	Accounts     []Account `json:"accounts"`
	Deposits     int       `json:"deposits"` // entries that were compared
	Payouts      int       `json:"payouts"`  // burns too
	Swaps        int       `json:"swaps"`
	Anchors      int       `json:"anchors"` // checkpoints whose memo is on the chain
	Recipients   int       `json:"recipients"`
	Covered      uint64    `json:"covered,omitempty"` // of a part: the entry of the first checkpoint on the chain that covers the journal it was taken from; 0: none yet
	Remarks      []string  `json:"remarks,omitempty"` // what the chain cannot say, or not yet
	Later        []string  `json:"later,omitempty"`   // on the chain only, and rightly so: after the journal was exported
	Problems     []string  `json:"problems"`
	MoreProblems int       `json:"more_problems,omitempty"`
}

// Account is one token account of the treasury.
type Account struct {
	Asset   money.Asset   `json:"asset"`
	Account chain.Address `json:"account"`
	Journal money.Amount  `json:"journal"` // what its entries add up to
	Effects money.Amount  `json:"effects"` // what all its transactions add up to
	Balance money.Amount  `json:"balance"` // what stands in it now
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) remark(format string, args ...any) {
	r.Remarks = append(r.Remarks, fmt.Sprintf(format, args...))
}

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) >= maxProblems {
		r.MoreProblems++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Package meter turns minutes of use into charges: each minute of a lease exactly once, as charged
// or as waived, and only on evidence.
package meter

import (
	"errors"
	"fmt"

	"raylink/billing/money"
)

// What Charge and Waive refuse; tell them apart with errors.Is.
var (
	ErrSettled = errors.New("minute is settled already")
	ErrGap     = errors.New("an earlier minute is not settled yet")
)

// Lease counts what one lease has used. Amounts are micro-USD. The zero value with a Rate and a
// fee is a lease that has not begun.
type Lease struct {
	Rate           money.Rate `json:"rate"`
	FeeBasisPoints int64      `json:"fee_basis_points"` // on top of the use; 200 is 2 %
	Next           int64      `json:"next"`             // ordinal of the first minute not settled
	Charged        int64      `json:"charged"`          // minutes
	Waived         int64      `json:"waived"`           // minutes; Charged+Waived is Next
	Accrued        int64      `json:"accrued"`          // all use so far: Rate.Accrued(Charged)
	Fees           int64      `json:"fees"`             // all fees so far: money.Fee(Accrued, FeeBasisPoints)

	SupplierAccrued int64 `json:"supplier_accrued,omitempty"` // the use of which the supplier owes a fee
	SupplierFees    int64 `json:"supplier_fees,omitempty"`    // all his fees so far
}

// Charge settles the minute as used and returns what it costs, in micro-USD: the use and the fee
// on top. Both are differences of totals, so that however minutes are charged and waived, n charged
// minutes cost floor(rate*n/60) and a fee of ceil(that*basisPoints/10000). An error changes nothing.
func (l *Lease) Charge(ordinal int64) (amount, fee int64, err error) {
	if err := l.settles(ordinal); err != nil {
		return 0, 0, err
	}
	accrued, err := l.Rate.Accrued(l.Charged + 1)
	if err != nil {
		return 0, 0, fmt.Errorf("charging minute %d: %w", ordinal, err)
	}
	fees, err := money.Fee(accrued, l.FeeBasisPoints)
	if err != nil {
		return 0, 0, fmt.Errorf("charging minute %d: %w", ordinal, err)
	}
	amount, fee = accrued-l.Accrued, fees-l.Fees
	l.Next, l.Charged, l.Accrued, l.Fees = l.Next+1, l.Charged+1, accrued, fees
	return amount, fee, nil
}

// SupplierFee adds the use of a minute, in micro-USD, to that of which the supplier owes a fee, and
// returns what it makes him owe. Like the payer's, his fee is cumulative: ceil(all*basisPoints/10000)
// less what he owed before. A fee that was lowered meanwhile gives nothing back. An error changes nothing.
func (l *Lease) SupplierFee(use int64, basisPoints int64) (fee int64, err error) {
	if use < 0 {
		return 0, fmt.Errorf("supplier's fee on a use of %d: %w", use, money.ErrNegative)
	}
	accrued, err := money.AddMinor(l.SupplierAccrued, use)
	if err != nil {
		return 0, fmt.Errorf("supplier's fee: %w", err)
	}
	fees, err := money.Fee(accrued, basisPoints)
	if err != nil {
		return 0, fmt.Errorf("supplier's fee: %w", err)
	}
	fee = max(fees-l.SupplierFees, 0)
	l.SupplierAccrued, l.SupplierFees = accrued, l.SupplierFees+fee
	return fee, nil
}

// Waive settles the minute at no cost. An error changes nothing.
func (l *Lease) Waive(ordinal int64) error {
	if err := l.settles(ordinal); err != nil {
		return err
	}
	l.Next, l.Waived = l.Next+1, l.Waived+1
	return nil
}

// settles says whether the minute is the next to settle.
func (l *Lease) settles(ordinal int64) error {
	switch {
	case ordinal < l.Next:
		return fmt.Errorf("minute %d, next is %d: %w", ordinal, l.Next, ErrSettled)
	case ordinal > l.Next:
		return fmt.Errorf("minute %d, next is %d: %w", ordinal, l.Next, ErrGap)
	}
	return nil
}

// Cost is what a hold needs, in micro-USD, so that the next `minutes` minutes of leases of these
// rates can be charged with their fees, whatever was charged before: each lease's use and fee,
// rounded up. With fees up to 100 % it is at most 3 micro-USD a lease more than will be charged.
func Cost(rates []money.Rate, feeBasisPoints, minutes int64) (int64, error) {
	var total int64
	for _, rate := range rates {
		use, err := rate.AtMost(minutes)
		if err != nil {
			return 0, fmt.Errorf("computing a hold: %w", err)
		}
		fee, err := money.Fee(use, feeBasisPoints)
		if err != nil {
			return 0, fmt.Errorf("computing a hold: %w", err)
		}
		for _, part := range [...]int64{use, fee} {
			if total, err = money.AddMinor(total, part); err != nil {
				return 0, fmt.Errorf("computing a hold: %w", err)
			}
		}
	}
	return total, nil
}

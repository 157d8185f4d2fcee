package exchange

import (
	"fmt"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// KindResume is the kind of journal entry that converts paused earnings; its note is a Paused.
const KindResume = "resume"

// Paused is what a supplier earned from a purse while no price could be believed, and what it is to
// become now that there is one. It is the note of the entry that converts it.
type Paused struct {
	Purse                  Purse        `json:"purse"`
	Supplier               string       `json:"supplier"`                            // bare id
	Amount                 money.Amount `json:"amount"`                              // in the purse's asset: all that is paused, or a part
	Takes                  money.Asset  `json:"takes"`                               // USDC or IO
	SupplierFeeBasisPoints int64        `json:"supplier_fee_basis_points,omitempty"` // off what he takes; 0 for IO
	Price                  money.Price  `json:"price"`                               // of IO, believed
	PriceID                uint64       `json:"price_id,omitempty"`                  // of the snapshot that the price is from
}

// Resume are the postings that convert paused earnings at the price: out of SupplierPaused, on the
// same way through IO as those of a minute, to the supplier. His fee, rounded up, is that on the
// amount, valued in micro-USD and rounded down where the payer was in IO.
func Resume(p Paused) ([]ledger.Posting, error) {
	fail := func(err error) ([]ledger.Posting, error) {
		return nil, fmt.Errorf("resuming the earnings of %.100q: %w", p.Supplier, err)
	}
	switch {
	case p.Purse.Asset() == "":
		return fail(ErrPurse)
	case p.Takes != money.USDC && p.Takes != money.IO:
		return fail(ErrTakes)
	case p.Amount.Asset != p.Purse.Asset():
		return fail(fmt.Errorf("%v in purse %s: %w", p.Amount, p.Purse, money.ErrAsset))
	case p.Amount.Sign() < 0 || p.SupplierFeeBasisPoints < 0:
		return fail(money.ErrNegative)
	case p.Takes == money.IO && p.SupplierFeeBasisPoints != 0:
		return fail(fmt.Errorf("a supplier's fee where he takes IO: %w", ErrInvalid))
	case p.Price <= 0:
		return fail(ErrNoPrice)
	}
	way := conversion{purse: p.Purse, supplier: p.Supplier, takes: p.Takes, use: p.Amount.Minor, io: p.Amount.Minor}
	var err error
	if p.Purse == IO {
		way.use, err = money.FromIO(p.Amount.Minor, p.Price)
	} else {
		way.io, err = money.ToIO(p.Amount.Minor, p.Price)
	}
	if err != nil {
		return fail(err)
	}
	if p.Takes == money.USDC {
		if way.fee, err = money.Fee(way.use, p.SupplierFeeBasisPoints); err != nil {
			return fail(err)
		}
		if way.fee > way.use {
			return fail(fmt.Errorf("fee of %d/10000: %w", p.SupplierFeeBasisPoints, ErrInvalid))
		}
	}
	var list postings
	list.add(ledger.SupplierPaused(string(p.Purse), p.Supplier), -p.Amount.Minor, p.Amount.Asset)
	way.post(&list)
	return list, nil
}

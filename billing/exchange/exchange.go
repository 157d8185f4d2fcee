// Package exchange says how the value of a minute moves between payer, house and supplier when they
// have chosen different assets: as postings anyone can derive again from the minute's note.
package exchange

import (
	"errors"
	"fmt"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// Purse is which of a tenant's balances a cluster pays from.
type Purse string

// The purses.
const (
	Grant Purse = "grant" // USD that an admin granted
	Card  Purse = "card"  // USD from cards
	USDC  Purse = "usdc"
	IO    Purse = "io"
)

// The fees of the house, in 1/10,000 of the use.
const (
	payerBasisPoints    = 200 // on top, for payers in USD and USDC
	supplierBasisPoints = 200 // off, for suppliers who take USDC
)

// What is wrong with a minute or a purse; tell them apart with errors.Is.
var (
	ErrPurse   = errors.New("not one of the purses grant, card, usdc, io")
	ErrTakes   = errors.New("a supplier takes USDC or IO")
	ErrNoPrice = errors.New("no price of IO has been believed yet")
	ErrInvalid = errors.New("amounts of the minute do not make sense")
)

// ParsePurse reads the name of a purse.
func ParsePurse(text string) (Purse, error) {
	p := Purse(text)
	if p.Asset() == "" {
		return "", fmt.Errorf("reading purse %.60q: %w", text, ErrPurse)
	}
	return p, nil
}

// Purses are all of them, in the order in which they are shown.
func Purses() []Purse { return []Purse{Grant, Card, USDC, IO} }

// Asset is what is in the purse; empty for one that does not exist.
func (p Purse) Asset() money.Asset {
	switch p {
	case Grant, Card:
		return money.USD
	case USDC:
		return money.USDC
	case IO:
		return money.IO
	}
	return ""
}

// Account is the ledger account of a tenant's purse.
func (p Purse) Account(account string) string {
	if p == Card {
		return ledger.TenantCard(account)
	}
	return ledger.Tenant(account)
}

// FeeBasisPoints is the payer's fee on top of the use, in 1/10,000: 200 for USD and USDC, 0 for IO.
func (p Purse) FeeBasisPoints() int64 {
	if p == IO {
		return 0
	}
	return payerBasisPoints
}

// earned is the supplier's account for what is paid out of the purse.
func (p Purse) earned(supplier string) string {
	switch p {
	case Grant:
		return ledger.SupplierGrant(supplier)
	case Card:
		return ledger.SupplierCard(supplier)
	}
	return ledger.Supplier(supplier)
}

// Minute is one charged minute: who pays whom, how much, and at what price.
type Minute struct {
	Cluster, Supplier     string // bare ids
	Purse                 Purse
	Takes                 money.Asset // USDC or IO
	Use, Fee, SupplierFee int64       // micro-USD; SupplierFee falls only where he takes USDC now
	Price                 money.Price // of IO; 0: none
	Halted                bool        // Price is not believed now but was the last to be; used for a payer in IO only
}

// believed says whether the minute has a price to convert at.
func (m Minute) believed() bool { return m.Price > 0 && !m.Halted }

// Paused says that what the supplier earns has to wait for a price in SupplierPaused, in the payer's
// asset, and that his fee falls at conversion: no price is believed, and payer or supplier is in IO.
func (m Minute) Paused() bool {
	return !m.believed() && (m.Purse == IO || m.Takes == money.IO)
}

// SupplierFeeBasisPoints is the fee off what the supplier takes in this minute, in 1/10,000: 200 in
// USDC, none in IO, and none yet for a minute that is Paused.
func (m Minute) SupplierFeeBasisPoints() int64 {
	if m.Paused() {
		return 0
	}
	return SupplierFeeBasisPoints(m.Takes)
}

// SupplierFeeBasisPoints is the fee off what a supplier takes, in 1/10,000: 200 for USDC, 0 for IO.
func SupplierFeeBasisPoints(takes money.Asset) int64 {
	if takes == money.USDC {
		return supplierBasisPoints
	}
	return 0
}

func (m Minute) check() error {
	switch {
	case m.Purse.Asset() == "":
		return fmt.Errorf("purse %.60q: %w", string(m.Purse), ErrPurse)
	case m.Takes != money.USDC && m.Takes != money.IO:
		return fmt.Errorf("taking %.60q: %w", string(m.Takes), ErrTakes)
	case m.Use < 0 || m.Fee < 0 || m.SupplierFee < 0 || m.Price < 0:
		return fmt.Errorf("use %d, fee %d, supplier's fee %d, price %v: %w", m.Use, m.Fee, m.SupplierFee, m.Price, money.ErrNegative)
	case m.Purse == IO && m.Fee != 0:
		return fmt.Errorf("a payer's fee in IO: %w", ErrInvalid)
	case m.SupplierFee != 0 && (m.Takes == money.IO || m.Paused()):
		return fmt.Errorf("a supplier's fee where he takes nothing in USDC: %w", ErrInvalid)
	case m.SupplierFee > m.Use:
		return fmt.Errorf("supplier's fee %d of a use of %d: %w", m.SupplierFee, m.Use, ErrInvalid)
	case m.Purse == IO && m.Price == 0:
		return ErrNoPrice
	}
	return nil
}

// Cost is what the hold pays for the minute, in the purse's asset: use and fee, or the use in IO at
// the minute's price, rounded down. The error is an ErrNoPrice where a payer in IO has none.
func Cost(m Minute) (money.Amount, error) {
	if err := m.check(); err != nil {
		return money.Amount{}, fmt.Errorf("cost of a minute: %w", err)
	}
	minor, err := m.cost()
	if err != nil {
		return money.Amount{}, fmt.Errorf("cost of a minute: %w", err)
	}
	return money.Amount{Minor: minor, Asset: m.Purse.Asset()}, nil
}

func (m Minute) cost() (int64, error) {
	if m.Purse == IO {
		return money.ToIO(m.Use, m.Price)
	}
	return money.AddMinor(m.Use, m.Fee)
}

// Postings are the postings of the minute, in the order of billing/DESIGN.md, those of zero left
// out. They depend on the minute alone.
func Postings(m Minute) ([]ledger.Posting, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("postings of a minute: %w", err)
	}
	cost, err := m.cost()
	if err != nil {
		return nil, fmt.Errorf("postings of a minute: %w", err)
	}
	asset := m.Purse.Asset()
	var list postings
	list.add(ledger.Hold(m.Cluster), -cost, asset)
	list.add(ledger.Fees, m.Fee, asset)
	left := conversion{purse: m.Purse, supplier: m.Supplier, takes: m.Takes, use: m.Use, fee: m.SupplierFee}
	switch {
	case m.Paused():
		list.add(ledger.SupplierPaused(string(m.Purse), m.Supplier), cost-m.Fee, asset)
		return list, nil
	case !m.believed():
		left.direct(&list)
		return list, nil
	case m.Purse == IO:
		left.io = cost
	default:
		if left.io, err = money.ToIO(m.Use, m.Price); err != nil {
			return nil, fmt.Errorf("postings of a minute: %w", err)
		}
	}
	left.post(&list)
	return list, nil
}

// postings is a list that leaves out those of zero.
type postings []ledger.Posting

func (l *postings) add(account string, minor int64, asset money.Asset) {
	if minor != 0 {
		*l = append(*l, ledger.Posting{Account: account, Amount: money.Amount{Minor: minor, Asset: asset}})
	}
}

// conversion brings what has been taken from a payer to the supplier.
type conversion struct {
	purse    Purse
	supplier string
	takes    money.Asset
	use      int64 // micro-USD
	fee      int64 // micro-USD, off the use
	io       int64 // the use in IO
}

// post is the way through IO: into it, where the payer is not in IO, and out of it, where the
// supplier does not take IO.
func (c conversion) post(list *postings) {
	if c.purse != IO {
		list.add(ledger.FxIn, c.use, c.purse.Asset())
		list.add(ledger.FxIn, -c.io, money.IO)
	}
	if c.takes == money.IO {
		list.add(c.purse.earned(c.supplier), c.io, money.IO)
		return
	}
	list.add(ledger.FxOut, c.io, money.IO)
	list.add(ledger.FxOut, -c.use, money.USDC)
	c.credit(list)
}

// direct is the way of USD and USDC to USDC while IO has no price.
func (c conversion) direct(list *postings) {
	if asset := c.purse.Asset(); asset != money.USDC {
		list.add(ledger.FxIn, c.use, asset)
		list.add(ledger.FxIn, -c.use, money.USDC)
	}
	c.credit(list)
}

// credit gives the supplier his USDC less the fee.
func (c conversion) credit(list *postings) {
	list.add(c.purse.earned(c.supplier), c.use-c.fee, money.USDC)
	list.add(ledger.Fees, c.fee, money.USDC)
}

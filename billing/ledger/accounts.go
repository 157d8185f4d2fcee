package ledger

import (
	"strings"

	"raylink/billing/money"
)

// Accounts that stand alone. Only accounts under TreasuryPrefix may fall below zero: they are
// where money enters and leaves the books.
const (
	TreasuryPrefix = "treasury:"
	Grants         = TreasuryPrefix + "grants" // the source of credit that an admin grants
	Fees           = "fees"                    // what the house earns
)

// Tenant is the account that a tenant pays from.
func Tenant(account string) string { return "tenant:" + account }

// Supplier is the account that a supplier earns on.
func Supplier(account string) string { return supplierPrefix + account }

// Hold is the account of the money set aside for one cluster.
func Hold(cluster string) string { return "hold:" + cluster }

const supplierPrefix = "supplier:"

// IsSupplier says whether the account is one that Supplier names.
func IsSupplier(account string) bool {
	return strings.HasPrefix(account, supplierPrefix) && len(account) > len(supplierPrefix)
}

// Move takes from one account what the parts give to others: a posting of minus their sum, then
// the parts. Parts of zero are left out, and nothing moved is no postings. All parts must be of
// one asset and none below zero.
func Move(from string, parts ...Posting) ([]Posting, error) {
	var moved []Posting
	var sum money.Amount
	for _, part := range parts {
		if part.Amount.Sign() < 0 {
			return nil, invalid("moving %v to %q: negative", part.Amount, part.Account)
		}
		if part.Amount.Sign() == 0 {
			continue
		}
		if moved == nil {
			sum.Asset = part.Amount.Asset
			moved = append(moved, Posting{Account: from})
		}
		total, err := sum.Add(part.Amount)
		if err != nil {
			return nil, invalid("moving from %q: %v", from, err)
		}
		sum, moved = total, append(moved, part)
	}
	if moved == nil {
		return nil, nil
	}
	negated, err := sum.Neg()
	if err != nil {
		return nil, invalid("moving from %q: %v", from, err)
	}
	moved[0].Amount = negated
	return moved, nil
}

// MinutePostings are the postings of one charged minute, in micro-USD: the hold pays use and fee,
// the supplier gets the use, the house the fee. A minute that costs nothing has no postings.
func MinutePostings(hold, supplier string, use, fee int64) ([]Posting, error) {
	return Move(hold, Posting{supplier, money.MicroUSD(use)}, Posting{Fees, money.MicroUSD(fee)})
}

package ledger

import (
	"strings"

	"raylink/billing/money"
)

// Accounts that stand alone. Only those under TreasuryPrefix and the two of the exchange may fall
// below zero: money enters and leaves the books at the former, and changes its asset at the latter.
const (
	TreasuryPrefix = "treasury:"
	Grants         = TreasuryPrefix + "grants" // the source of credit that an admin grants
	TreasuryChain  = TreasuryPrefix + "chain"  // minus what our token accounts hold on chain
	TreasuryCard   = TreasuryPrefix + "card"   // minus what the card processor holds for us
	Fees           = "fees"                    // what the house earns
	FxIn           = "fx:in"                   // conversions into IO
	FxOut          = "fx:out"                  // conversions out of IO
	Suspense       = "suspense"                // deposits that nobody could be found for
)

// Tenant is the account that a tenant pays from: granted USD, USDC and IO.
func Tenant(account string) string { return "tenant:" + account }

// TenantCard is a tenant's account of USD that cards paid in.
func TenantCard(account string) string { return "tenant-card:" + account }

// Supplier is the account of what a supplier has earned and can be paid.
func Supplier(account string) string { return supplierPrefix + account }

// SupplierGrant is the account of what a supplier earned from granted credit; it waits for a lot.
func SupplierGrant(account string) string { return supplierGrantPrefix + account }

// SupplierCard is the account of what a supplier earned from card money; it waits for its day and for a lot.
func SupplierCard(account string) string { return supplierCardPrefix + account }

// SupplierPaused is the account of what a supplier earned from a purse while no price could be
// believed, in the payer's asset.
func SupplierPaused(purse, account string) string {
	return supplierPausedPrefix + purse + ":" + account
}

// Hold is the account of the money set aside for one cluster.
func Hold(cluster string) string { return "hold:" + cluster }

// Lot is the account of tokens that an admin paid in for one purpose, such as `grants`.
func Lot(name string) string { return "lot:" + name }

// Payout is the account of one payout in flight.
func Payout(id string) string { return "payout:" + id }

const (
	supplierPrefix       = "supplier:"
	supplierGrantPrefix  = "supplier-grant:"
	supplierCardPrefix   = "supplier-card:"
	supplierPausedPrefix = "supplier-paused:"
)

// MayBeNegative says whether the account may fall below zero: those under TreasuryPrefix, and the
// two accounts of the exchange, which are positions of the house.
func MayBeNegative(account string) bool {
	return strings.HasPrefix(account, TreasuryPrefix) || account == FxIn || account == FxOut
}

// IsSupplier says whether the account is one that Supplier names.
func IsSupplier(account string) bool {
	return strings.HasPrefix(account, supplierPrefix) && len(account) > len(supplierPrefix)
}

// EarnedBy is the supplier whose earnings the account keeps, payable, waiting or paused, and whether
// it is such an account.
func EarnedBy(account string) (supplier string, ok bool) {
	for _, prefix := range [...]string{supplierPrefix, supplierGrantPrefix, supplierCardPrefix} {
		if rest, found := strings.CutPrefix(account, prefix); found {
			return rest, rest != ""
		}
	}
	if rest, found := strings.CutPrefix(account, supplierPausedPrefix); found {
		_, rest, _ = strings.Cut(rest, ":")
		return rest, rest != ""
	}
	return "", false
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

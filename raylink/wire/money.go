package wire

import (
	"strings"
	"time"

	"raylink/billing/money"
)

// Sums are amounts of several assets, at most one of each, in the order USD, USDC, IO; none of zero, but for the one that stands where all are zero.
type Sums []money.Amount

// String is `1.250000 USD + 3.00000000 IO`.
func (s Sums) String() string {
	texts := make([]string, len(s))
	for i, a := range s {
		texts[i] = a.String()
	}
	return strings.Join(texts, " + ")
}

// Of is the sum in one asset.
func (s Sums) Of(asset money.Asset) money.Amount {
	for _, a := range s {
		if a.Asset == asset {
			return a
		}
	}
	return money.Amount{Asset: asset}
}

// SumsOf are the sums of which `of` gives the minor units.
func SumsOf(of func(money.Asset) int64) Sums {
	var list Sums
	for _, asset := range []money.Asset{money.USD, money.USDC, money.IO} {
		if minor := of(asset); minor != 0 {
			list = append(list, money.Amount{Minor: minor, Asset: asset})
		}
	}
	if list == nil {
		list = Sums{money.MicroUSD(0)}
	}
	return list
}

// Purse is one of the things that an account pays from: grant, card, usdc or io.
type Purse struct {
	Purse string       `json:"purse"`
	Free  money.Amount `json:"free"`
	Held  money.Amount `json:"held"`

	RunsOutAt *time.Time `json:"runs_out_at,omitempty"` // if nothing is added and all that runs goes on
}

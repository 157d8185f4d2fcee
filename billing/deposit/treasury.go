package deposit

import (
	"cmp"
	"slices"

	"raylink/billing/money"
	"raylink/billing/wallet"
	"raylink/raylink"
)

// Token2022 is the program whose mints may take a part of each transfer, or take it all back. We hold none of them.
const Token2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"

// Mint is one token that we take, and where. Who sends another mint, or the same by another program, is not credited.
type Mint struct {
	Asset    money.Asset `json:"asset"`
	Mint     string      `json:"mint"`
	Program  string      `json:"program"`
	Decimals int         `json:"decimals"`
	Account  string      `json:"account"` // our token account
	Wallet   string      `json:"wallet"`  // our wallet, which owns it
}

// Treasury is the allow-list of mints, sorted by asset.
type Treasury []Mint

// Check says what is wrong with a treasury: an asset, mint or account twice, not an address, other decimals than the asset's.
func (t Treasury) Check() error {
	for i, m := range t {
		if (m.Asset != money.USDC && m.Asset != money.IO) || m.Decimals != m.Asset.Decimals() {
			return raylink.Errorf(raylink.CodeInvalid, "the treasury cannot hold %q with %d decimals", m.Asset, m.Decimals).WithHint("USDC has 6 decimals, IO has 8")
		}
		for _, address := range []string{m.Mint, m.Program, m.Account, m.Wallet} {
			if err := wallet.CheckAddress("the treasury's "+string(m.Asset), address); err != nil {
				return err
			}
		}
		if m.Program == Token2022 {
			return raylink.Errorf(raylink.CodeInvalid, "the treasury takes no mint of Token-2022")
		}
		for _, other := range t[:i] {
			if other.Asset == m.Asset || other.Mint == m.Mint || other.Account == m.Account {
				return raylink.Errorf(raylink.CodeInvalid, "the treasury names %s twice", m.Asset)
			}
		}
	}
	return nil
}

func (t Treasury) sorted() Treasury {
	list := slices.Clone(t)
	slices.SortFunc(list, func(a, b Mint) int { return cmp.Compare(a.Asset, b.Asset) })
	return list
}

// Of is the mint of the asset.
func (t Treasury) Of(asset money.Asset) (Mint, bool) {
	return t.find(func(m Mint) bool { return m.Asset == asset })
}

// ByAccount is the mint whose token account of ours this is.
func (t Treasury) ByAccount(account string) (Mint, bool) {
	return t.find(func(m Mint) bool { return m.Account == account })
}

func (t Treasury) find(is func(Mint) bool) (Mint, bool) {
	if i := slices.IndexFunc(t, is); i >= 0 {
		return t[i], true
	}
	return Mint{}, false
}

// Rules are the bounds of single deposits, in minor units of their asset.
type Rules struct {
	Min map[money.Asset]int64 `json:"min"` // less is dust: it stays in suspense
	Big map[money.Asset]int64 `json:"big"` // more stays in suspense unless two nodes agree; 0 is never
}

// DefaultRules are 0.10 USDC and 0.1 IO at least, and two nodes above 1,000 USDC and 4,000 IO.
func DefaultRules() Rules {
	return Rules{
		Min: map[money.Asset]int64{money.USDC: 100_000, money.IO: 10_000_000},
		Big: map[money.Asset]int64{money.USDC: 1_000_000_000, money.IO: 400_000_000_000},
	}
}

// NeedsTwo says whether a deposit of this size must have been seen by two nodes to be credited.
func (r Rules) NeedsTwo(asset money.Asset, amount int64) bool {
	big := r.Big[asset]
	return big > 0 && amount > big
}

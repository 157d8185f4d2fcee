package solana

import (
	"slices"
	"testing"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
)

// TestPresets holds the addresses, to which real money goes, against a second copy of them: a slip of the hand in either is seen.
func TestPresets(t *testing.T) {
	const token = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
	want := []Preset{
		{"mainnet", "https://api.mainnet-beta.solana.com", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
			chain.Mint{Asset: money.USDC, Address: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", Program: token, Decimals: 6},
			chain.Mint{Asset: money.IO, Address: "BZLbGTNCSFfoth2GYDtwr7e4imWzpR5jqcUuGEwr646K", Program: token, Decimals: 8}},
		{"devnet", "https://api.devnet.solana.com", "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
			chain.Mint{Asset: money.USDC, Address: "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", Program: token, Decimals: 6},
			chain.Mint{Asset: money.IO, Program: token, Decimals: 8}}, // nobody has made a public one
	}
	if got := []Preset{Mainnet(), Devnet()}; !slices.Equal(got, want) {
		t.Errorf("%+v\nwanted\n%+v", got, want)
	}
	for _, preset := range want {
		for _, address := range []chain.Address{preset.USDC.Address, preset.IO.Address, chain.Address(preset.Genesis), token} {
			if raw, err := address.Bytes(); address != "" && (err != nil || len(raw) != 32) {
				t.Errorf("%s: %s is %d bytes, %v", preset.Name, address, len(raw), err)
			}
		}
	}
}

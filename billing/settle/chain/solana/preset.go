package solana

import (
	"strings"

	"github.com/gagliardetto/solana-go/rpc"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
)

// Preset is what the configuration starts from on one of Solana's clusters.
type Preset struct {
	Name    string
	URL     string // a public node: good for a try, too slow and too strict for a treasury
	Genesis string // hash that tells the cluster apart
	USDC    chain.Mint
	IO      chain.Mint
}

// Mainnet is where the tokens are worth something.
func Mainnet() Preset {
	return Preset{
		Name: "mainnet", URL: rpc.MainNetBeta_RPC, Genesis: "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
		USDC: NewMint(money.USDC, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
		IO:   NewMint(money.IO, "BZLbGTNCSFfoth2GYDtwr7e4imWzpR5jqcUuGEwr646K"),
	}
}

// Devnet has Circle's USDC for trying; there is no public mint of IO on it, so that IO's address must be given.
func Devnet() Preset {
	return Preset{
		Name: "devnet", URL: rpc.DevNet_RPC, Genesis: "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
		USDC: NewMint(money.USDC, "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"),
		IO:   NewMint(money.IO, ""),
	}
}

// Known is the preset of that name.
func Known(name string) (Preset, bool) {
	for _, p := range []Preset{Mainnet(), Devnet()} {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

// NodeURL is where the node is that somebody names: the name of a cluster stands for its public node, anything else is a URL already.
func NodeURL(name string) string {
	name = strings.TrimSpace(name)
	if p, known := Known(name); known {
		return p.URL
	}
	return name
}

// NewMint is the asset at this mint address, under the only token program whose tokens are taken.
func NewMint(asset money.Asset, address chain.Address) chain.Mint {
	return chain.Mint{Asset: asset, Address: address, Program: TokenProgram, Decimals: asset.Decimals()}
}

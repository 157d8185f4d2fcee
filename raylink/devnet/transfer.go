package devnet

import (
	"context"
	"crypto/ed25519"

	solanago "github.com/gagliardetto/solana-go"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
)

// submit sends one transaction to the local chain, signed by the wallets' keys, the first of which pays the fee.
func (n *Network) submit(ctx context.Context, list []solanago.Instruction, wallets ...string) (chain.Signature, error) {
	var keys []ed25519.PrivateKey
	for _, wallet := range wallets {
		key, err := solana.ReadKey(n.keyFile(wallet))
		if err != nil {
			return "", err
		}
		keys = append(keys, key)
	}
	line, err := n.node()
	if err != nil {
		return "", err
	}
	defer line.Close()
	block, err := line.Blockhash(ctx)
	if err != nil {
		return "", err
	}
	raw, name, err := localchain.Sign(list, block.Hash, keys...)
	if err != nil {
		return "", err
	}
	return name, line.Send(ctx, raw)
}

// transfer is a wallet's payment of tokens to another, in minor units, with a memo and references as Solana Pay has them.
func (n *Network) transfer(from, to string, asset money.Asset, minor int64, memo string, references ...chain.Address) ([]solanago.Instruction, error) {
	key, err := solana.ReadKey(n.keyFile(from))
	if err != nil {
		return nil, err
	}
	return localchain.Payment{From: key, To: n.chain.Wallets[to], Mint: n.chain.mint(asset), Amount: minor, Memo: memo, References: references}.Instructions()
}

// swap gives USDC (minor units) of the treasury to the desk for IO at the price of the network, in one transaction that both sign.
func (n *Network) swap(ctx context.Context, usdc int64) (chain.Signature, error) {
	io, err := money.ToIO(usdc, priceOfIO)
	if err != nil {
		return "", err
	}
	list, err := n.transfer(treasuryName, deskName, money.USDC, usdc, "")
	if err != nil {
		return "", err
	}
	back, err := n.transfer(deskName, treasuryName, money.IO, io, "")
	if err != nil {
		return "", err
	}
	return n.submit(ctx, append(list, back...), treasuryName, deskName)
}

package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/raylink/devnet"
)

func (a *app) localchain() *cobra.Command {
	var options devnet.ChainOptions
	c := &cobra.Command{
		Use:   "localchain",
		Short: "Run a Solana chain of this machine, with worthless USDC and IO, to try payments",
		Long: `Localchain serves Solana's JSON-RPC over the real token programs until it is ended. With --dir it makes a mint of USDC and one of
IO, and wallets with key files: the mints' authority, a treasury, a desk that changes one for the other, and those that --wallet names.
Everything is in memory and worth nothing. It needs a Python with solders, as raylink/devnet/setup/python.sh makes.`,
		Example: "  raylink localchain --dir /tmp/chain --wallet engineer:100:400 --wallet ada",
		Args:    wants(),
	}
	return a.runRole(c, "localchain", &options, func(ctx context.Context, _ []string, log *slog.Logger) error {
		return devnet.RunChain(ctx, options, log)
	})
}

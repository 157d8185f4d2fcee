package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/raylink/devnet"
)

func (a *app) dev() *cobra.Command {
	var options devnet.Options
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole network on this machine, to try it or to develop",
		Long: `Dev starts coordinators, gateways and suppliers' agents as processes of this machine, makes accounts, and prints addresses,
tokens' files and the next commands. ^C ends the network and cleans up after it.`,
		Example: "  raylink dev\n  raylink dev --coordinators 1 --suppliers 2 --keep",
		Args:    wants(),
	}
	return a.runRole(c, "dev", &options, func(ctx context.Context, _ []string, log *slog.Logger) error {
		return devnet.Run(ctx, options, a.out, log)
	})
}

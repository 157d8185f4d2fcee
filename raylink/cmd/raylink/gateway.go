package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/coordinator/gateway"
)

func (a *app) gateway() *cobra.Command {
	var config gateway.Config
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway: it serves the clusters' endpoints and witnesses their minutes",
		Long: `Gateway joins a network with a single-use join token of kind gateway, and serves https://HOST/c/CLUSTER/… for every cluster.
One runs beside each coordinator, as a process of its own: it goes on serving when no coordinator answers. It needs no
privileges.`,
		Example: "  raylink join-token create --kind gateway > join.token\n" +
			"  raylink gateway --join https://a.example.org:7443 --join-token-file join.token --public-url https://clusters.example.org:8443",
		Args: wants(),
	}
	return a.runRole(c, "gateway", &config, func(ctx context.Context, _ []string, log *slog.Logger) error { return gateway.Run(ctx, config, log) })
}

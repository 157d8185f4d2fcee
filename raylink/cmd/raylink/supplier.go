package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/supplier"
)

func (a *app) supplier() *cobra.Command {
	var config supplier.Config
	c := &cobra.Command{
		Use:   "supplier",
		Short: "Run the agent that rents out this machine",
		Long: `Supplier joins a network with a single-use join token, and from then on runs what the network places on this machine: each
lease in a container of its own, cut off from your network. It may be stopped, killed and upgraded at any time: leases run
on, and it takes them over again. It leaves alone what it did not make.

The join token is needed once. Prefer --join-token-file or RAYLINK_JOIN_TOKEN: everybody on this machine can see what
stands after --token in the list of processes, until the token is used.`,
		Example: `  raylink supplier --join https://raylink.example.org:7443 --join-token-file join.token --cpus 8 --memory 24Gi
  docker run -d --pid=host --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun \
    -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/raylink:/var/lib/raylink \
    -e RAYLINK_JOIN_TOKEN raylink/worker supplier --join https://raylink.example.org:7443`,
		Args: wants(),
	}
	c.AddCommand(a.supplierRemove())
	return a.runRole(c, "supplier", &config, func(ctx context.Context, _ []string, log *slog.Logger) error { return supplier.Run(ctx, config, log) })
}

func (a *app) supplierRemove() *cobra.Command {
	var config supplier.Config
	c := &cobra.Command{
		Use:     "remove",
		Short:   "Take away all that the agent made on this machine; the agent must not run",
		Long:    "Remove ends the leases that are left on this machine and removes their containers and files. What the agent did not make stays.",
		Example: "  raylink machine drain m-abcdefghij && systemctl stop raylink-supplier && raylink supplier remove",
		Args:    wants(),
	}
	return a.runRole(c, "supplier", &config, func(ctx context.Context, _ []string, log *slog.Logger) error {
		return supplier.Remove(ctx, config, log)
	})
}

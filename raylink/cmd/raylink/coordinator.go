package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/coordinator"
)

func (a *app) coordinator() *cobra.Command {
	return parent("coordinator", "Found a network, join its group, and run a coordinator", "", a.coordinatorInit(), a.coordinatorRun(), a.coordinatorJoin())
}

func (a *app) coordinatorInit() *cobra.Command {
	var config coordinator.Config
	c := &cobra.Command{
		Use:   "init --id ID",
		Short: "Found a network: its CA and its first admin",
		Long: `Init makes the group's CA and secrets in the data directory, and an access token for the first admin in a file there, readable
by its owner alone. ` + "`raylink coordinator run`" + ` with the same settings then starts the network.`,
		Example: "  raylink coordinator init --id a --url https://a.example.org:7443\n  raylink coordinator run --id a --url https://a.example.org:7443",
		Args:    wants(),
	}
	return a.runRole(c, "coordinator", &config, func(context.Context, []string, *slog.Logger) error {
		if err := coordinator.Init(config); err != nil {
			return err
		}
		url := config.URL
		if url == "" {
			url = "https://" + config.Listen
		}
		fmt.Fprintf(a.out, "A network is founded in %s. Next:\n", config.Data)
		fmt.Fprintf(a.out, "  raylink coordinator run --id %s --data %s   and the other settings as here\n", config.ID, quoted(config.Data))
		fmt.Fprintf(a.out, "  raylink login %s --token-file %s\n", url, quoted(config.AdminTokenFile()))
		fmt.Fprintf(a.out, "  raylink join-token create --kind coordinator   for each further coordinator\n")
		return nil
	})
}

func (a *app) coordinatorRun() *cobra.Command {
	var config coordinator.Config
	c := &cobra.Command{
		Use:   "run",
		Short: "Run a coordinator until a signal ends it",
		Example: "  raylink coordinator run --id a --url https://a.example.org:7443 --raft-advertise a.example.org:7444\n" +
			"  raylink coordinator run --config /etc/raylink/coordinator.yaml",
		Args: wants(),
	}
	return a.runRole(c, "coordinator", &config, func(ctx context.Context, _ []string, log *slog.Logger) error {
		config.Version = thisBuild().Version
		return coordinator.Run(ctx, config, log)
	})
}

func (a *app) coordinatorJoin() *cobra.Command {
	var config coordinator.Config
	c := &cobra.Command{
		Use:   "join URL",
		Short: "Join the group of a running coordinator, and run",
		Long: `Join shows a join token of kind coordinator to a coordinator of the group, gets the group's secrets, and runs. After that
it is the same as run: what was joined is remembered in the data directory.`,
		Example: "  raylink coordinator join https://a.example.org:7443 --join-token-file join.token --id b --url https://b.example.org:7443 \\\n" +
			"    --raft-advertise b.example.org:7444",
		Args: wants("URL"),
	}
	return a.runRole(c, "coordinator", &config, func(ctx context.Context, args []string, log *slog.Logger) error {
		config.Join, config.Version = args[0], thisBuild().Version
		return coordinator.Run(ctx, config, log)
	})
}

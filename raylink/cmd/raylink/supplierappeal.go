package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/raylink/wire"
	"raylink/supplier"
)

func (a *app) supplierAppeal() *cobra.Command {
	c := &cobra.Command{
		Use: "appeal", Short: "Have the challenge that this machine failed judged again, by another coordinator", Args: wants(),
		Long:    "Appeal asks the group to run the same challenge again under a second coordinator. The agent has to run; it is told by itself.",
		Example: "  raylink supplier appeal --reason 'a backup ran meanwhile'",
	}
	reason := c.Flags().String("reason", "", "what the group's admins should know")
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, _ *slog.Logger) error {
		if err := onGroup(ctx, config, "appeal", wire.MachineAction{Reason: *reason}); err != nil {
			return err
		}
		fmt.Fprintln(a.out, "The challenge is judged again by another coordinator. `raylink supplier status` shows what came of it.")
		return nil
	})
}

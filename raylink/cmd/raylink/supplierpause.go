package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"raylink/supplier"
)

func (a *app) supplierPause() *cobra.Command {
	c := &cobra.Command{
		Use: "pause", Short: "Take nothing new for a while; what runs goes on", Args: wants(),
		Long:    "Pause keeps new leases away until `raylink supplier resume`, or until --for is over.",
		Example: "  raylink supplier pause\n  raylink supplier pause --for 3h",
	}
	length := c.Flags().Duration("for", 0, "the pause ends by itself after this time")
	format := outputFlag(c)
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, log *slog.Logger) error {
		if c.Flags().Changed("for") && *length <= 0 {
			return usage(c, "--for takes a time, such as 3h")
		}
		o, err := supplier.ChangeOwner(config.Data, func(o *supplier.Owner) error { return o.Pause(time.Now(), *length) })
		if err != nil {
			return err
		}
		return a.changed(ctx, *format, config, o, nil, log)
	})
}

package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier"
)

func (a *app) supplierResume() *cobra.Command {
	c := &cobra.Command{
		Use: "resume", Short: "Withdraw a drain, its notice or a pause", Args: wants(),
		Long:    "Resume takes the machine back into the market. Hours and prices stay as they are.",
		Example: "  raylink supplier resume",
	}
	format := outputFlag(c)
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, log *slog.Logger) error {
		o, err := supplier.ChangeOwner(config.Data, func(o *supplier.Owner) error { o.Resume(); return nil })
		if err != nil {
			return err
		}
		// The group may hold a drain of its own: of an owner's token, or of this command while the agent was down.
		_, seen := askStanding(ctx, config)
		if s := seen.Standing; s != nil && (s.Reason == raylink.ReasonOwnerDrain || s.Reason == raylink.ReasonNotice) {
			if err := onGroup(ctx, config, "resume", wire.MachineAction{Reason: "resumed by its owner"}); err != nil {
				return err
			}
		}
		return a.changed(ctx, *format, config, o, nil, log)
	})
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier"
)

func (a *app) supplierDrain() *cobra.Command {
	c := &cobra.Command{
		Use:   "drain",
		Short: "Take nothing new; with --notice, take the machine back at its end, whatever runs",
		Long: `Drain keeps new leases away. What runs goes on until its tenants end it; with --notice the tenants are told when the machine leaves, and what
still runs then is ended in order. It is kept on this machine, and its agent tells the group; where the agent is down this command does.`,
		Example: "  raylink supplier drain\n  raylink supplier drain --notice 1h",
		Args:    wants(),
	}
	notice := c.Flags().Duration("notice", 0, "take the machine back after this time")
	format := outputFlag(c)
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, log *slog.Logger) error {
		if c.Flags().Changed("notice") && *notice <= 0 {
			return usage(c, "--notice takes a time, such as 1h")
		}
		o, err := supplier.ChangeOwner(config.Data, func(o *supplier.Owner) error { return o.TakeBack(time.Now(), *notice) })
		if err != nil {
			return err
		}
		action := wire.MachineAction{Reason: "drained by its owner"}
		if *notice > 0 {
			action.Notice = notice.String()
		}
		return a.changed(ctx, *format, config, o, func() error { return onGroup(ctx, config, "drain", action) }, log)
	})
}

// changed shows the owner's settings after a change, and how the group comes to know of them. tell is for where no agent runs; nil where nobody
// has to know before one does.
func (a *app) changed(ctx context.Context, format string, config supplier.Config, o supplier.Owner, tell func() error, log *slog.Logger) error {
	runs, err := supplier.Runs(config.Data)
	if err != nil {
		return err
	}
	will, err := o.Will(time.Now())
	if err != nil {
		return err
	}
	how := "The agent tells the group within seconds."
	switch {
	case runs:
	case tell == nil:
		how = "The agent does not run; it holds from its next start on."
	default:
		how = "The agent does not run; the group was told by this command."
		if err := tell(); err != nil {
			log.Debug("telling the group", "error", err)
			how = "The agent does not run, and the group was not told (" + raylink.AsError(err).Message + "); it holds from the agent's next start on."
		}
	}
	answer := ownerAnswer{Owner: o, Will: will, Runs: runs, Asks: asks(config.Data)}
	return a.show(format, answer, writeOwner(answer, how))
}

// asks is what the agent last asked; nil while that rests on a price of its owner's, or on no agent at all.
func asks(data string) *asked {
	view, found, _, err := supplier.ReadView(data)
	if err != nil || !found || view.Owner.CPUHour != nil || view.Owner.GPUHour != nil {
		return nil
	}
	out := asked{CPUHour: view.Offer.CPUHour}
	if view.Offer.Resources.GPU > 0 {
		out.GPUHour = view.Offer.GPUHour
	}
	return &out
}

// onGroup has the group do something with this machine, in the machine's own name.
func onGroup(ctx context.Context, config supplier.Config, action string, body wire.MachineAction) error {
	c, id, err := group(config)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, askGroup)
	defer cancel()
	if err := c.OnMachine(ctx, id, action, body); err != nil {
		return fmt.Errorf("asking the group to %s %s: %w", action, id, err)
	}
	return nil
}

package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/supplier"
)

func (a *app) supplierPrice() *cobra.Command {
	c := &cobra.Command{
		Use: "price", Short: "Show or change what this machine asks for an hour; running leases keep their price", Args: wants(),
		Long: `Price changes the asking price of a core or a GPU for an hour, in USD, for leases to come. It goes before the agent's settings; --reset returns
to those. The market has a new price within a minute.`,
		Example: "  raylink supplier price --cpu-hour 0.03\n  raylink supplier price --gpu-hour 1.20\n  raylink supplier price --reset",
	}
	cpu := c.Flags().String("cpu-hour", "", "price of one core for an hour, in USD")
	gpu := c.Flags().String("gpu-hour", "", "price of one GPU for an hour, in USD")
	reset := c.Flags().Bool("reset", false, "ask what the agent's settings say")
	format := outputFlag(c)
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, log *slog.Logger) error {
		set := func(text string, into **money.Rate) error {
			if text == "" {
				return nil
			}
			var p supplier.Price
			if err := p.UnmarshalText([]byte(text)); err != nil {
				return usage(c, "%v", err)
			}
			*into = (*money.Rate)(&p)
			return nil
		}
		if *reset && (*cpu != "" || *gpu != "") {
			return usage(c, "--reset and a price exclude each other")
		}
		if !*reset && *cpu == "" && *gpu == "" {
			o, err := supplier.ReadOwner(config.Data)
			if err != nil {
				return err
			}
			return a.changed(ctx, *format, config, o, nil, log)
		}
		o, err := supplier.ChangeOwner(config.Data, func(o *supplier.Owner) error {
			if *reset {
				o.CPUHour, o.GPUHour = nil, nil
			}
			if err := set(*cpu, &o.CPUHour); err != nil {
				return err
			}
			return set(*gpu, &o.GPUHour)
		})
		if err != nil {
			return err
		}
		return a.changed(ctx, *format, config, o, nil, log)
	})
}

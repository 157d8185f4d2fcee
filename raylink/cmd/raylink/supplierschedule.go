package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/supplier"
)

// ownerAnswer is what the owner's verbs show.
type ownerAnswer struct {
	Owner supplier.Owner `json:"owner"`
	Will  supplier.Will  `json:"will"` // what that comes to now
	Runs  bool           `json:"agent_runs"`
	Asks  *asked         `json:"asks,omitempty"` // where no price was set here, and an agent has told its offer
}

// asked is what an agent asks by its own settings. Without GPUs it asks nothing for them.
type asked struct {
	CPUHour money.Rate `json:"cpu_hour"`
	GPUHour money.Rate `json:"gpu_hour,omitempty"`
}

func (a *app) supplierSchedule() *cobra.Command {
	c := &cobra.Command{
		Use:   "schedule",
		Short: "Show or set the weekly hours in which this machine may be used",
		Long: `Schedule without flags shows the hours. --hours takes days, or rows of days, and spans of the day: a span that ends before it begins ends on
the next day, and days without a span are whole ones. The hours are wall-clock time of --zone, also when the clocks are changed.
Tenants see when the machine leaves; what still runs at the end of the hours is ended in order.`,
		Example: "  raylink supplier schedule --hours 'mon-fri 19:00-07:00, sat-sun' --zone Europe/Berlin\n  raylink supplier schedule --always\n  raylink supplier schedule",
		Args:    wants(),
	}
	hours := c.Flags().String("hours", "", "when the machine may be used, such as 'mon-fri 19:00-07:00, sat-sun'")
	zone := c.Flags().String("zone", "", "time zone of the hours, such as Europe/Berlin; by default the one set before, else this machine's where it is known, else UTC")
	always := c.Flags().Bool("always", false, "no hours: the machine may be used at any time")
	format := outputFlag(c)
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, log *slog.Logger) error {
		if *always && *hours != "" {
			return usage(c, "--always and --hours exclude each other")
		}
		if !*always && *hours == "" && *zone == "" {
			o, err := supplier.ReadOwner(config.Data)
			if err != nil {
				return err
			}
			return a.changed(ctx, *format, config, o, nil, log)
		}
		o, err := supplier.ChangeOwner(config.Data, func(o *supplier.Owner) error {
			if *always {
				o.Hours = ""
			}
			if *hours != "" {
				o.Hours = *hours
			}
			if *zone != "" {
				o.Zone = *zone
			} else if o.Zone == "" {
				o.Zone = supplier.HomeZone(a.getenv("TZ"), "/etc/localtime")
			}
			return nil
		})
		if err != nil {
			return err
		}
		return a.changed(ctx, *format, config, o, nil, log)
	})
}

// writeOwner shows the owner's settings to people.
func writeOwner(answer ownerAnswer, how string) func(io.Writer) {
	return func(w io.Writer) {
		o, will := answer.Owner, answer.Will
		now, hours, next, leaves, until := "open to leases", "always", "", "", ""
		if will.Reason != raylink.ReasonNone {
			now = "nothing new: " + will.Reason.Words()
		}
		zone, err := time.LoadLocation(o.Zone)
		if err != nil {
			zone = time.UTC
		}
		if o.Hours != "" {
			hours = o.Hours + " (" + zone.String() + ")"
		}
		if will.Next != nil {
			next = will.Next.In(zone).Format("Mon 2006-01-02 15:04 MST")
		}
		if will.Leaves != nil && will.Reason != raylink.ReasonHours {
			leaves = will.Leaves.In(zone).Format("Mon 2006-01-02 15:04 MST") + "; what still runs then is ended"
		}
		if o.Paused != nil && o.Until != nil {
			until = o.Until.In(zone).Format("Mon 2006-01-02 15:04 MST")
		}
		pairs(w, "", "now", now, "hours", hours, "next change", next, "leaves", leaves, "paused until", until, "price", prices(answer))
		fmt.Fprintln(w, how)
	}
}

// prices are those that the owner set, and beside them what the agent's settings say.
func prices(answer ownerAnswer) string {
	var out []string
	add := func(set *money.Rate, asks money.Rate, of string) {
		switch {
		case set != nil:
			out = append(out, rate(*set)+" a "+of)
		case asks != 0:
			out = append(out, rate(asks)+" a "+of+", as the agent's settings say")
		}
	}
	var asks asked
	if answer.Asks != nil {
		asks = *answer.Asks
	}
	add(answer.Owner.CPUHour, asks.CPUHour, "core")
	add(answer.Owner.GPUHour, asks.GPUHour, "GPU")
	return strings.Join(out, "; ")
}

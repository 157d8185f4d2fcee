package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/supplier"
)

func (a *app) supplierUninstall() *cobra.Command {
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take this machine out of the network, and remove all that the agent ever made here",
		Long: `Uninstall ends the agent, tells the group, and removes what the agent made on this machine: its containers (by their label), data planes,
sockets, directories, and the identity; without Docker its processes and control groups, and the images that lie in its directory. It knows itself which
runtimes the agent has run leases with. Nothing else is touched. While leases run or signed minutes are not settled it drains the machine
and refuses; --force ends them at once. It works without a coordinator, and says what stays in the group then. It may be run twice.
An agent in a container: start a second one of the same image with the same --pid, capabilities and -v, and this command, as "docker run --rm"; a docker exec
would end with the agent's container, halfway.`,
		Example: "  raylink supplier drain --notice 1h\n  raylink supplier uninstall\n  raylink supplier uninstall --force --yes",
		Args:    wants(),
	}
	force := c.Flags().Bool("force", false, "end running leases at once, and give up minutes that are not settled")
	yes := yesFlag(c)
	format := outputFlag(c)
	return a.local(c, []string{"runtime", "data-planes"}, func(ctx context.Context, config supplier.Config, _ []string, log *slog.Logger) error {
		if err := a.agreeToUninstall(ctx, config.Data, *yes); err != nil {
			return err
		}
		gone, err := supplier.Uninstall(ctx, config, *force, log)
		if err != nil {
			return err
		}
		return a.show(*format, gone, func(w io.Writer) {
			switch {
			case gone.Machine == "":
				fmt.Fprintf(w, "Nothing of an agent is left in %s.\n", config.Data)
			case gone.Told:
				fmt.Fprintf(w, "%s has left the network. %d container(s) were ended; nothing of the agent is left on this machine.\n", gone.Machine, gone.Leases)
			default:
				fmt.Fprintf(w, "Nothing of %s is left on this machine. %d container(s) were ended.\n", gone.Machine, gone.Leases)
			}
			if gone.Lost > 0 {
				fmt.Fprintf(w, "%d signed minute(s) were not settled and are given up.\n", gone.Lost)
			}
			for _, left := range gone.Left {
				fmt.Fprintln(w, "stays:", left)
			}
		})
	})
}

func (a *app) agreeToUninstall(ctx context.Context, data string, yes bool) error {
	if yes {
		return nil
	}
	if !terminal(a.in) {
		return raylink.Errorf(raylink.CodeInvalid, "this removes the machine of %s from the network, and nobody is here to agree", data).WithHint("add --yes")
	}
	agreed, err := a.ask(ctx, fmt.Sprintf("Take this machine out of the network and remove %s with all that its agent made? [y/N] ", data))
	if err == nil && !agreed {
		err = raylink.Errorf(raylink.CodeInvalid, "nothing was removed")
	}
	return err
}

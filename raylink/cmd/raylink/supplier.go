package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"raylink/raylink"
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
  raylink supplier --join https://raylink.example.org:7443 --dry-run
  docker run -d --pid=host --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun \
    -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/raylink:/var/lib/raylink \
    -e RAYLINK_JOIN_TOKEN raylink/worker supplier --join https://raylink.example.org:7443
  docker run -d --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility --cap-add SYS_PTRACE … # the same, on a machine with NVIDIA GPUs`,
		Args: wants(),
	}
	dry := c.Flags().Bool("dry-run", false, "say what the agent would do to this machine, and do nothing")
	format := outputFlag(c)
	c.AddCommand(a.supplierStatus(), a.supplierDoctor(), a.supplierDrain(), a.supplierResume(), a.supplierPause(), a.supplierSchedule(), a.supplierPrice(),
		a.supplierAppeal(), a.supplierRemove(), a.supplierUninstall())
	return a.runRole(c, "supplier", &config, func(ctx context.Context, _ []string, log *slog.Logger) error {
		if *dry {
			return a.dryRun(ctx, *format, config)
		}
		return supplier.Run(ctx, config, log)
	})
}

// dryRun shows what the agent would make and touch.
func (a *app) dryRun(ctx context.Context, format string, config supplier.Config) error {
	w, err := supplier.DryRun(ctx, config)
	if err != nil {
		return err
	}
	return a.show(format, w, func(out io.Writer) {
		if w.Refused != "" {
			fmt.Fprintf(out, "The agent would stop at once: %s\nWhat follows is what it would do where it may.\n", w.Refused)
		}
		fmt.Fprintf(out, "Nothing was changed. The agent would offer %s cores at %s a core, and %s of memory.\n", quantity(w.Offer.Resources.CPU), rate(w.Offer.CPUHour), size(w.Offer.Resources.Memory))
		if w.Offer.Resources.GPU > 0 {
			fmt.Fprintf(out, "It would offer %s GPUs of the model %s at %s a GPU.\n", quantity(w.Offer.Resources.GPU), w.Offer.Accelerator, rate(w.Offer.GPUHour))
		}
		if name := w.Offer.Labels[raylink.LabelProcessor]; name != "" {
			fmt.Fprintf(out, "Clusters and Ray would know its processor as %s.\n", name)
		}
		for _, left := range w.Left {
			fmt.Fprintf(out, "It would not offer %s.\n", left)
		}
		for _, item := range w.Items {
			fmt.Fprintf(out, "\n%s\n", item.What)
			pairs(out, "  ", "at once", item.Now, "for each lease", item.Then, "it goes", item.End)
		}
	})
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
	yes := c.Flags().BoolP("yes", "y", false, "remove without asking")
	return a.runRole(c, "supplier", &config, func(ctx context.Context, _ []string, log *slog.Logger) error {
		if _, err := os.Stat(config.Data); err != nil {
			return raylink.Errorf(raylink.CodeNotFound, "no agent has worked here: %v", err).WithHint("--data names the agent's directory")
		}
		if err := a.agreeToRemove(ctx, config.Data, *yes); err != nil {
			return err
		}
		if err := supplier.Remove(ctx, config, log); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "Nothing of raylink runs for %s any more. The machine's identity stays there: it may start again, or the directory may be deleted.\n", config.Data)
		return nil
	})
}

// agreeToRemove asks, because the clusters whose nodes are here lose them.
func (a *app) agreeToRemove(ctx context.Context, data string, yes bool) error {
	if yes {
		return nil
	}
	if !terminal(a.in) {
		return raylink.Errorf(raylink.CodeInvalid, "this ends all leases of %s, and nobody is here to agree", data).WithHint("add --yes")
	}
	agreed, err := a.ask(ctx, fmt.Sprintf("End all leases of %s and remove their containers and files? [y/N] ", data))
	if err == nil && !agreed {
		err = raylink.Errorf(raylink.CodeInvalid, "nothing was removed")
	}
	return err
}

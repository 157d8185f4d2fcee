package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// manifestLimit is the most bytes of a manifest.
const manifestLimit = 1 << 20

func (a *app) quote() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "quote -f FILE",
		Short: "Show which machines a cluster would get, and its price",
		Long: `Quote sends a RayCluster manifest (ray.io/v1, as for KubeRay) to the network and shows the plan: a machine for each
node, the price per hour, and what would be held from your balance. Nothing is spent.`,
		Example: "  raylink quote -f cluster.yaml\n  raylink quote -f - -o json < cluster.yaml",
		Args:    wants(),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the RayCluster manifest; - is standard input")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		q, err := a.fetchQuote(c, s, file)
		if err != nil {
			return err
		}
		return a.show(*format, q, func(w io.Writer) { a.showQuote(w, q) })
	}
	return c
}

// fetchQuote reads the manifest and asks for its price.
func (a *app) fetchQuote(c *cobra.Command, s *session, file string) (wire.Quote, error) {
	if file == "" {
		return wire.Quote{}, usage(c, "which manifest? -f FILE is missing")
	}
	text, err := a.readInput(file, manifestLimit)
	if err != nil {
		return wire.Quote{}, err
	}
	return s.CreateQuote(c.Context(), wire.QuoteRequest{Manifest: string(text)})
}

func (a *app) showQuote(w io.Writer, q wire.Quote) {
	fmt.Fprintf(w, "%s: cluster %s, Ray %s, %d node(s)\n\n", q.ID, a.paint(a.out, bold, q.Name), q.RayVersion, len(q.Nodes))
	rows := [][]string{{"NODE", "GROUP", "MACHINE", "SUPPLIER", "CPU", "MEMORY", "GPU", "PRICE"}}
	for _, n := range q.Nodes {
		gpu := ""
		if n.Resources.GPU > 0 {
			gpu = quantity(n.Resources.GPU)
		}
		rows = append(rows, []string{n.Node, n.Group, string(n.Machine), n.Supplier, quantity(n.Resources.CPU), size(n.Resources.Memory), gpu, rate(n.Rate)})
	}
	grid(w, "  ", rows...)
	fmt.Fprintln(w)
	total, err := q.PerHour.Add(q.Fee)
	if err != nil {
		total = money.Amount{} // shown as nothing: the two were of different assets
	}
	image := q.Image
	if q.ImageAsked != "" && q.ImageAsked != q.Image {
		image = q.ImageAsked + " is served by " + q.Image
	}
	after := ""
	if rest, err := q.Balance.Sub(q.Hold); err == nil {
		after = ", " + amount(rest) + " after the hold"
	}
	pairs(w, "  ",
		"image", image,
		"per hour", amount(q.PerHour),
		"fee", amount(q.Fee),
		"total per hour", amount(total),
		"hold", amount(q.Hold)+" (an hour with its fee; what is not used comes back)",
		"balance", amount(q.Balance)+after,
		"valid", fmt.Sprintf("until %s (%s)", moment(q.ExpiresAt), time.Until(q.ExpiresAt).Round(time.Second)))
	for _, note := range q.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
}

// clusterNames completes the names of clusters.
func (a *app) clusterNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
	defer cancel()
	s, err := a.open()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()
	list, err := s.Clusters(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, cluster := range list {
		if !cluster.Phase.Over() {
			names = append(names, cluster.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// failed is the user's error for a cluster that will not become ready.
func failed(c wire.Cluster) error {
	if c.Failure == nil {
		return raylink.Errorf(raylink.CodeInternal, "cluster %s is %s", c.Name, c.Phase).WithHint("`raylink cluster get %s` shows what is known", c.ID)
	}
	where := ""
	if c.Failure.Machine != "" {
		where = " on machine " + string(c.Failure.Machine)
	}
	e := raylink.Errorf(raylink.CodeInternal, "cluster %s failed at stage %s%s: %s", c.Name, c.Failure.Stage, where, c.Failure.Reason)
	if c.Failure.Hint != "" {
		return e.WithHint("%s", c.Failure.Hint)
	}
	return e
}

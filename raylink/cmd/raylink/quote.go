package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// manifestLimit is the most bytes of a manifest.
const manifestLimit = 1 << 20

func (a *app) quote() *cobra.Command {
	var o quoteOptions
	c := &cobra.Command{
		Use:   "quote -f FILE",
		Short: "Show which machines a cluster would get, and its price",
		Long: `Quote sends a RayCluster manifest (ray.io/v1, as for KubeRay) to the network and shows the plan: a machine for each
node, the price per hour, and what would be held from your balance. Nothing is spent. The quote is a contract that the group
has signed: until it expires the cluster can be created at these prices, and the cluster never costs more than the maximum in it: --budget, or what the
purse holds now. Only your own word raises that later: raylink budget cluster.`,
		Example: "  raylink quote -f cluster.yaml\n  raylink quote -f cluster.yaml --pay usdc --budget 20\n  raylink quote -f - -o json < cluster.yaml",
		Args:    wants(),
	}
	o.flags(c)
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		q, err := a.fetchQuote(c, s, o)
		if err != nil {
			return err
		}
		return a.show(*format, q, func(w io.Writer) { a.showQuote(w, q) })
	}
	c.AddCommand(a.quoteCheck())
	return c
}

// quoteCheck checks a kept quote, without the network.
func (a *app) quoteCheck() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check the group's signature on a quote that was kept, without the network",
		Long: `Check reads a quote as -o json or -o yaml printed it and checks the group's signature over machines, prices, rate of exchange, expiry and maximum. With
--key it must be that group's: the journal's checkpoints are signed by the same key.`,
		Example: "  raylink quote -f cluster.yaml --budget 20 -o json > quote.json\n  raylink quote check quote.json", Args: wants("FILE"),
	}
	c.Flags().StringVar(&key, "key", "", "the group's public key, base64")
	c.RunE = func(_ *cobra.Command, args []string) error {
		text, err := a.readInput(args[0], manifestLimit)
		if err != nil {
			return err
		}
		var q wire.Quote
		if err := yaml.UnmarshalStrict(text, &q); err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s is no quote: %v", args[0], err).WithHint("`raylink quote -f FILE -o json` prints one")
		}
		signed, err := wire.QuoteBytes(q)
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s is no quote: %v", args[0], err)
		}
		if q.Contract == nil || len(q.Contract.Key) != ed25519.PublicKeySize || !ed25519.Verify(q.Contract.Key, signed, q.Contract.Signature) {
			return raylink.Errorf(raylink.CodeConflict, "the signature does not fit: this is not the quote that the group signed")
		}
		by := base64.StdEncoding.EncodeToString(q.Contract.Key)
		if key != "" && key != by {
			return raylink.Errorf(raylink.CodeConflict, "the quote is signed by %s, not by that key", by)
		}
		fmt.Fprintf(a.out, "%s the quote %s is what the group with the key %s signed; it holds until %s.\n", a.paint(a.out, green, "verified:"), q.ID, by, moment(q.ExpiresAt))
		return nil
	}
	return c
}

// quoteOptions are what `quote` and `cluster create` ask for.
type quoteOptions struct{ file, pay, budget string }

func (o *quoteOptions) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.file, "file", "f", "", "the RayCluster manifest; - is standard input")
	c.Flags().StringVar(&o.pay, "pay", "", "purse to pay from: grant, card, usdc or io; the first one that holds enough if not given")
	c.Flags().StringVar(&o.budget, "budget", "", "the most that the cluster may ever cost, in USD with the fee; what the purse holds now if not given")
}

// request is the quote's request but for the manifest.
func (o *quoteOptions) request(c *cobra.Command) (wire.QuoteRequest, error) {
	r := wire.QuoteRequest{Pay: o.pay}
	if o.budget == "" {
		return r, nil
	}
	budget, err := dollars(o.budget)
	if err != nil {
		return r, usage(c, "--budget: %v", err)
	}
	r.Budget = &budget
	return r, nil
}

// dollars reads an amount of USD, with or without the word.
func dollars(text string) (money.Amount, error) {
	if !strings.HasSuffix(text, " "+string(money.USD)) {
		text += " " + string(money.USD)
	}
	return money.Parse(text)
}

// fetchQuote reads the manifest and asks for its price.
func (a *app) fetchQuote(c *cobra.Command, s *session, o quoteOptions) (wire.Quote, error) {
	if o.file == "" {
		return wire.Quote{}, usage(c, "which manifest? -f FILE is missing")
	}
	r, err := o.request(c)
	if err != nil {
		return wire.Quote{}, err
	}
	text, err := a.readInput(o.file, manifestLimit)
	if err != nil {
		return wire.Quote{}, err
	}
	r.Manifest = string(text)
	return s.CreateQuote(c.Context(), r)
}

func (a *app) showQuote(w io.Writer, q wire.Quote) {
	fmt.Fprintf(w, "%s: cluster %s, Ray %s, %d node(s)\n\n", q.ID, a.paint(a.out, bold, q.Name), q.RayVersion, len(q.Nodes))
	rows := [][]string{{"NODE", "GROUP", "MACHINE", "SUPPLIER", "CPU", "MEMORY", "GPU", "PRICE", "RELIABLE"}}
	for _, n := range q.Nodes {
		gpu := ""
		if n.Resources.GPU > 0 {
			gpu = quantity(n.Resources.GPU)
		}
		rows = append(rows, []string{n.Node, n.Group, string(n.Machine), n.Supplier, quantity(n.Resources.CPU), size(n.Resources.Memory), gpu, rate(n.Rate), reliable(n.Reliability)})
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
	most := "what the purse holds; --budget sets a limit" // of a coordinator from before every quote had a maximum
	if q.Maximum != nil {
		most = amount(*q.Maximum) + " in all: the cluster ends before it costs more, unless you raise that (raylink budget cluster)"
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
		"paid from", q.Pay,
		"hold", amount(q.Hold)+" (an hour with its fee; what is not used comes back)",
		"balance", amount(q.Balance)+after,
		"at most", most,
		"valid", fmt.Sprintf("until %s (%s)", moment(q.ExpiresAt), time.Until(q.ExpiresAt).Round(time.Second)))
	if q.PriceIO != 0 {
		pairs(w, "  ", "price of IO", q.PriceIO.String()+" (each minute converts at the price of that minute)")
	}
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

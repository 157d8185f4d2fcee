package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/deposit"
	"raylink/billing/exchange"
	"raylink/billing/money"
	"raylink/billing/solanapay/qr"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// topupEvery is how often a top-up is looked at that somebody waits for.
const topupEvery = time.Second

type topupOptions struct {
	asset, lot string
	card, wait bool
}

func (a *app) topup() *cobra.Command {
	var o topupOptions
	c := &cobra.Command{
		Use:   "topup [AMOUNT]",
		Short: "Pay into your balance: USDC or IO on Solana, or USD by card",
		Long: `Topup announces a payment and shows how to make it: a Solana Pay link with its QR code, for any Solana wallet, or a card checkout
page. The balance rises by all that arrives, once the transfer is final on the chain; there is no fee for paying in. Without AMOUNT the wallet
asks for one. A transfer that comes late, twice, or with another amount is credited as it came.`,
		Example: "  raylink topup 50 --asset usdc --wait\n  raylink topup '200 IO'\n  raylink topup 50 --card\n  raylink topup list",
		Args:    wants("[AMOUNT]"),
	}
	asset := assetFlag(c, "token to pay with: usdc or io")
	c.Flags().BoolVar(&o.card, "card", false, "pay USD by card")
	c.Flags().BoolVar(&o.wait, "wait", false, "stay until it is credited")
	c.Flags().StringVar(&o.lot, "lot", "", "pay into a lot of the house instead: grants, card or capital; admins only")
	_ = c.RegisterFlagCompletionFunc("lot", cobra.FixedCompletions([]string{"grants", "card", "capital"}, cobra.ShellCompDirectiveNoFileComp))
	c.AddCommand(a.topupGet(), a.topupList())
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.asset = *asset
		r, err := o.request(c, args)
		if err != nil {
			return err
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		t, err := s.Topup(c.Context(), r)
		if err != nil {
			return err
		}
		return a.payTopup(c.Context(), s, t, *format, o.wait)
	}
	return c
}

// request is what the flags ask for.
func (o topupOptions) request(c *cobra.Command, args []string) (wire.TopupRequest, error) {
	r := wire.TopupRequest{Lot: o.lot, Card: o.card}
	if o.card {
		if o.asset != "" || o.lot != "" {
			return r, usage(c, "--card goes with neither --asset nor --lot: cards pay USD into your own balance")
		}
		o.asset = string(money.USD)
	}
	if len(args) == 0 {
		if o.card {
			return r, usage(c, "AMOUNT is missing")
		}
		if o.asset == "" {
			return r, usage(c, "which token? Add --asset usdc or --asset io, or --card")
		}
		asset, err := token(c, o.asset)
		r.Amount.Asset = asset
		return r, err
	}
	amount, err := sum(c, args[0], o.asset)
	if err == nil && amount.Asset == money.USD && !o.card {
		err = usage(c, "USD comes by card: add --card, or say --asset usdc")
	}
	r.Amount = amount
	return r, err
}

// payTopup shows how to pay, and stays until it is paid if that is wanted.
func (a *app) payTopup(ctx context.Context, s *session, t wire.Topup, format string, wait bool) error {
	if format == "table" && t.State == "open" {
		if err := a.howToPay(t, wait); err != nil {
			return err
		}
		a.bounded(ctx, s, t)
	}
	if !wait {
		return a.endTopup(t, format)
	}
	if t.State == "open" && format == "table" {
		fmt.Fprintln(a.err, "Waiting for the payment. Ctrl-C ends the waiting, not the top-up.")
	}
	ticker := time.NewTicker(topupEvery)
	defer ticker.Stop()
	for t.State == "open" {
		next, err := s.TopupByID(ctx, t.ID)
		if err != nil {
			return fmt.Errorf("looking at top-up %s: %w", t.ID, err)
		}
		if next.URL == "" {
			next.URL = t.URL // of a checkout page, which is said once
		}
		if t = next; t.State != "open" {
			break
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(a.err, "\n%s stays open: `raylink topup get %s --wait` goes on waiting.\n", t.ID, t.ID)
			return ctx.Err()
		case <-ticker.C:
		}
	}
	if err := a.endTopup(t, format); err != nil || t.State == "paid" {
		return err
	}
	return raylink.Errorf(raylink.CodeConflict, "top-up %s is %s", t.ID, t.State).WithHint("if the money has left you, it is credited all the same; else `raylink topup` makes a new one")
}

// endTopup shows a top-up as it stands; how to pay an open one was shown before.
func (a *app) endTopup(t wire.Topup, format string) error {
	if format == "table" && t.State == "open" {
		return nil
	}
	return a.show(format, t, func(w io.Writer) { a.showTopup(w, t) })
}

func (a *app) showTopup(w io.Writer, t wire.Topup) {
	asked := "any amount"
	if t.Amount.Sign() > 0 {
		asked = amount(t.Amount)
	}
	received := ""
	if t.Received.Sign() > 0 {
		received = amount(t.Received)
	}
	pairs(w, "", "top-up", t.ID, "state", t.State, "asked for", asked, "credited", received, "into", intoOf(t), "opened", moment(t.OpenedAt))
	for _, d := range t.Deposits {
		fmt.Fprintf(w, "  %s of %s, by %s%s\n", amount(money.Amount{Minor: d.Amount, Asset: d.Asset}), moment(d.At), d.Via, remarks(d.Reasons))
		fmt.Fprintf(w, "    transaction %s\n", d.Key)
	}
}

func remarks(reasons []deposit.Reason) string {
	var words []string
	for _, r := range reasons {
		words = append(words, string(r))
	}
	if words == nil {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

func intoOf(t wire.Topup) string {
	if t.Lot != "" {
		return "the lot " + t.Lot
	}
	return "the balance of " + string(t.Account)
}

// howToPay shows the link, its code, and what will happen.
func (a *app) howToPay(t wire.Topup, wait bool) error {
	what := "any amount of " + string(t.Amount.Asset)
	if t.Amount.Sign() > 0 {
		what = amount(t.Amount)
	}
	fmt.Fprintf(a.out, "%s: %s into %s, open until %s\n\n", t.ID, a.paint(a.out, bold, what), intoOf(t), moment(t.ExpiresAt))
	if t.Amount.Asset == money.USD {
		fmt.Fprintf(a.out, "Pay on this page:\n\n  %s\n\n", t.URL)
	} else {
		if t.URL == "" {
			return raylink.Errorf(raylink.CodeConflict, "top-up %s has no address to be paid to: the treasury has been changed", t.ID).WithHint("ask an admin, or make a new one")
		}
		picture, err := qr.Text(t.URL, terminal(a.out) && a.getenv("NO_COLOR") == "")
		if err != nil {
			return fmt.Errorf("drawing the QR code: %w", err)
		}
		fmt.Fprintf(a.out, "Scan this with a Solana wallet, or open the link under it in one:\n\n%s\n%s\n\n", strings.TrimRight(picture, "\n"), t.URL)
		fmt.Fprintf(a.out, "From a key file: raylink wallet pay %s --key FILE --rpc URL\n", quoted(t.URL))
	}
	if !wait {
		fmt.Fprintf(a.out, "All that arrives is credited once it is final. `raylink topup get %s --wait` stays until then.\n", t.ID)
	}
	return nil
}

// bounded tells who tops up which of his clusters will not use it: what they may cost was agreed before. A list that cannot be had stops no payment.
func (a *app) bounded(ctx context.Context, s *session, t wire.Topup) {
	if t.Lot != "" {
		return
	}
	clusters, err := s.Clusters(ctx)
	if err != nil {
		fmt.Fprintf(a.err, "Whether your clusters may use it cannot be told now (%v): see `raylink budget`.\n", err)
		return
	}
	for _, x := range clusters {
		ends := x.Phase.Over() || x.Phase == raylink.PhaseEnding
		if !ends && x.Owner == t.Account && x.Maximum != nil && exchange.Purse(x.Pay).Asset() == t.Amount.Asset && x.Pay != string(exchange.Grant) {
			fmt.Fprintf(a.out, "%s may cost at most %s in all, whatever you pay in: `raylink budget cluster %s AMOUNT` raises that.\n", x.Name, amount(*x.Maximum), x.Name)
		}
	}
}

func (a *app) topupGet() *cobra.Command {
	var wait bool
	c := &cobra.Command{Use: "get ID", Short: "Show a top-up, and how to pay it while it is open", Example: "  raylink topup get top-abcdefghij --wait", Args: wants("ID")}
	c.Flags().BoolVar(&wait, "wait", false, "stay until it is credited")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		t, err := s.TopupByID(c.Context(), args[0])
		if err != nil {
			return err
		}
		return a.payTopup(c.Context(), s, t, *format, wait)
	}
	return c
}

func (a *app) topupList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List your top-ups (an admin sees all)", Example: "  raylink topup list", Args: wants()}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) ([]wire.Topup, error) { return s.Topups(c.Context()) }, func(w io.Writer, list []wire.Topup) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No top-up yet. `raylink topup 50 --asset usdc` makes one.")
			return
		}
		rows := [][]string{{"ID", "ACCOUNT", "ASKED FOR", "STATE", "CREDITED", "LOT", "OPENED"}}
		for _, t := range list {
			asked, received := "any "+string(t.Amount.Asset), ""
			if t.Amount.Sign() > 0 {
				asked = amount(t.Amount)
			}
			if t.Received.Sign() > 0 {
				received = amount(t.Received)
			}
			rows = append(rows, []string{t.ID, string(t.Account), asked, t.State, received, t.Lot, ago(&t.OpenedAt)})
		}
		grid(w, "", rows...)
	})
}

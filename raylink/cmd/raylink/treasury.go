package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink/wire"
)

func (a *app) adminTreasury() *cobra.Command {
	c := &cobra.Command{
		Use:   "treasury",
		Short: "All that an admin has to know of the money, and what he may do about it",
		Long: `Treasury shows, for each asset, what our token account holds by the books and on the chain, and whose it is; what is in flight, what waits for
you, what is halted. Deposits of customers are never used to pay somebody else: only what is free may leave.`,
		Example: "  raylink admin treasury\n  raylink admin treasury show -o json", Args: wants(),
	}
	show := &cobra.Command{Use: "show", Short: "Show the treasury", Example: "  raylink admin treasury show", Args: wants()}
	c.AddCommand(a.treasuryRead(show), a.treasurySet(), a.treasuryRun(), a.treasuryHalt(), a.treasuryResume(), a.treasurySwap(), a.treasuryBuyback(), a.treasuryCaps(), a.treasuryRewind())
	return a.treasuryRead(c)
}

// treasuryRead gives a verb its body: it shows the treasury.
func (a *app) treasuryRead(c *cobra.Command) *cobra.Command {
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) { return s.Treasury(c.Context()) }, a.showTreasury)
}

func (a *app) showTreasury(w io.Writer, t wire.Treasury) {
	if t.Chain == "" {
		fmt.Fprintln(w, "No tokens are taken yet. `raylink admin treasury set` names the chain and the wallet.")
	} else {
		fmt.Fprintf(w, "chain: %s\n", t.Chain)
	}
	for _, alarm := range t.Alarms {
		fmt.Fprintf(w, "%s %s\n", a.paint(a.out, red, "alarm:"), alarm)
	}
	for _, m := range t.Mints {
		fmt.Fprintf(w, "  %s mint %s, wallet %s, token account %s\n", m.Asset, m.Mint, m.Wallet, m.Account)
	}
	fmt.Fprintln(w)
	showPositions(w, a, t.Positions)
	fmt.Fprintln(w)
	pairs(w, "", "payout run", fmt.Sprintf("every %s, the next at %s", every(t.Every), moment(t.NextRun)), "at least", amounts(t.Policy.Minimum), "cap of one", amounts(t.Policy.PerPayout),
		"cap of an hour", amounts(t.Policy.PerHour))
	for _, h := range t.Halts {
		which := "all"
		if h.Asset != "" {
			which = string(h.Asset)
		}
		fmt.Fprintf(w, "%s payouts of %s since %s, by %s: %s\n", a.paint(a.out, red, "halted:"), which, moment(h.At), h.By, h.Reason)
	}
	if list := append(append([]payout.Payout{}, t.Awaiting...), t.Blocked...); len(list) > 0 {
		fmt.Fprintln(w, "\nPayouts that wait for an admin, or for the hour to pass:")
		showPayouts(w, list)
	}
	if len(t.InFlight) > 0 {
		fmt.Fprintln(w, "\nIn flight:")
		rows := [][]string{{"BATCH", "PAYMENTS", "STATE", "ATTEMPTS", "TRANSACTION"}}
		for _, b := range t.InFlight {
			signature := ""
			if live := b.Live(); live != nil {
				signature = live.Signature
			} else if since, waits := b.Unsigned(); waits {
				signature = "waits for a signer since " + ago(&since)
			}
			rows = append(rows, []string{b.ID, fmt.Sprint(len(b.Transfers)), string(b.State), fmt.Sprint(len(b.Attempts)), signature})
		}
		grid(w, "", rows...)
	}
	if len(t.Suspense) > 0 {
		fmt.Fprintln(w, "\nIn suspense (`raylink admin suspense assign KEY ACCOUNT`):")
		showDeposits(w, t.Suspense)
		moreSuspended(w, len(t.Suspense), t.Suspended)
	}
	showBuybacks(w, t.Buybacks)
}

// showPositions has a column for each asset.
func showPositions(w io.Writer, a *app, list []wire.Position) {
	head := []string{""}
	lines := []struct {
		name string
		of   func(wire.Position) money.Amount
	}{
		{"on chain, by the books", func(p wire.Position) money.Amount { return p.Chain }},
		{"tenants", func(p wire.Position) money.Amount { return p.Tenants }},
		{"holds", func(p wire.Position) money.Amount { return p.Holds }},
		{"earned", func(p wire.Position) money.Amount { return p.Earned }},
		{"payouts in flight", func(p wire.Position) money.Amount { return p.InFlight }},
		{"kept aside of these", func(p wire.Position) money.Amount { return p.Aside }},
		{"suspense", func(p wire.Position) money.Amount { return p.Suspense }},
		{"lots", func(p wire.Position) money.Amount { return p.Lots }},
		{"capital", func(p wire.Position) money.Amount { return p.Capital }},
		{"fees", func(p wire.Position) money.Amount { return p.Fees }},
		{"exchange", func(p wire.Position) money.Amount { return p.Exchange }},
		{"granted, by card", func(p wire.Position) money.Amount { return p.Other }},
		{"free for suppliers", func(p wire.Position) money.Amount { return p.Free }},
	}
	for _, p := range list {
		head = append(head, string(p.Asset))
	}
	rows := [][]string{head}
	seen := []string{"on chain, by a node"}
	for _, p := range list {
		text := "not read since the books moved"
		switch {
		case p.Asset == money.USD:
			text = ""
		case p.OnChain != nil && *p.OnChain == p.Chain:
			text = amount(*p.OnChain) + " (agrees)"
		case p.OnChain != nil:
			text = amount(*p.OnChain) + " " + a.paint(a.out, red, "(differs)")
		}
		seen = append(seen, text)
	}
	for i, l := range lines {
		row := []string{l.name}
		for _, p := range list {
			row = append(row, amount(l.of(p)))
		}
		if rows = append(rows, row); i == 0 {
			rows = append(rows, seen)
		}
	}
	grid(w, "", rows...)
}

func showBuybacks(w io.Writer, list []wire.Buyback) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "\nBuy-backs:")
	rows := [][]string{{"ID", "FEES", "PROPOSED", "SWAP", "BOUGHT", "BURNT"}}
	for _, b := range list {
		bought, burnt := "", ""
		if b.Swap != "" {
			bought, burnt = amount(b.Bought), "not yet"
		}
		if b.Burnt {
			burnt = "yes"
		}
		rows = append(rows, []string{b.ID, amount(b.Fees), ago(&b.ProposedAt), b.Swap, bought, burnt})
	}
	grid(w, "", rows...)
}

// every writes a duration that came as text.
func every(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	return span(d)
}

// amounts writes bounds of several tokens.
func amounts(bounds map[money.Asset]int64) string {
	var texts []string
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		if minor, ok := bounds[asset]; ok {
			texts = append(texts, amount(money.Amount{Minor: minor, Asset: asset}))
		}
	}
	return strings.Join(texts, ", ")
}

func (a *app) treasuryRun() *cobra.Command {
	c := &cobra.Command{Use: "run", Short: "Pay suppliers now, within the caps, out of turn", Example: "  raylink admin treasury run", Args: wants()}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) {
		return s.RunPayouts(c.Context())
	}, a.showTreasury)
}

func (a *app) treasuryHalt() *cobra.Command {
	c := &cobra.Command{
		Use: "halt REASON", Short: "Stop payouts of a token, or of all, until you let them go on",
		Long:    "Halt stops new payouts. What was sent already goes on to its end, because it cannot be called back.",
		Example: "  raylink admin treasury halt 'a look at the signer' --asset usdc", Args: wants("REASON"),
	}
	asset := assetFlag(c, "usdc or io; all if not given")
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Treasury, error) {
		if strings.TrimSpace(args[0]) == "" {
			return wire.Treasury{}, usage(c, "REASON is missing")
		}
		return changeHalt(c, s, *asset, args[0])
	}, a.showTreasury)
}

func (a *app) treasuryResume() *cobra.Command {
	c := &cobra.Command{Use: "resume", Short: "Let payouts go on", Example: "  raylink admin treasury resume --asset usdc", Args: wants()}
	asset := assetFlag(c, "the halt of usdc or io; the one of all if not given")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) {
		return changeHalt(c, s, *asset, "")
	}, a.showTreasury)
}

func changeHalt(c *cobra.Command, s *session, asset, reason string) (wire.Treasury, error) {
	r := wire.HaltRequest{Reason: reason}
	if asset != "" {
		var err error
		if r.Asset, err = token(c, asset); err != nil {
			return wire.Treasury{}, err
		}
	}
	return s.HaltPayouts(c.Context(), r)
}

func (a *app) treasuryRewind() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "rewind --asset ASSET",
		Short: "Read the history of our account of a token again",
		Long: `Rewind has the coordinators read the deposits to one of our token accounts again: from its beginning, or after one whose transaction --from names.
Nothing is credited twice. It helps where a node once hid a transfer that others know of.`,
		Example: "  raylink admin treasury rewind --asset usdc", Args: wants(),
	}
	asset := assetFlag(c, "token whose account is read: usdc or io")
	c.Flags().StringVar(&from, "from", "", "transaction of a deposit: what came before it is not read again")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) {
		which, err := token(c, *asset)
		if err != nil {
			return wire.Treasury{}, err
		}
		return s.Rewind(c.Context(), wire.RewindRequest{Asset: which, Signature: from})
	}, a.showTreasury)
}

func (a *app) treasurySwap() *cobra.Command {
	var purpose string
	c := &cobra.Command{
		Use:   "swap SIGNATURE",
		Short: "Record a swap of our tokens that was done outside, by its transaction",
		Long: `Swap books a transaction that took one of our tokens and gave the other: what moved is read from the chain, not from you. Purpose "buyback" settles the
open proposal, and what was bought is burnt; "position" evens out what conversions have left the house with.`,
		Example: "  raylink admin treasury swap 5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW --purpose buyback",
		Args:    wants("SIGNATURE"),
	}
	c.Flags().StringVar(&purpose, "purpose", "", "position or buyback")
	_ = c.RegisterFlagCompletionFunc("purpose", cobra.FixedCompletions([]string{"position", "buyback"}, cobra.ShellCompDirectiveNoFileComp))
	yes := yesFlag(c)
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Treasury, error) {
		if purpose != "position" && purpose != "buyback" {
			return wire.Treasury{}, usage(c, "--purpose takes position or buyback, not %q", purpose)
		}
		what := fmt.Sprintf("Book the swap %s for the house's position", short(args[0]))
		if purpose == "buyback" {
			what = fmt.Sprintf("Book the swap %s as the buy-back, and burn what it bought", short(args[0]))
		}
		if err := a.agree(c.Context(), *yes, what); err != nil {
			return wire.Treasury{}, err
		}
		return s.RecordSwap(c.Context(), wire.SwapRequest{Signature: args[0], Purpose: purpose})
	}, a.showTreasury)
}

func (a *app) treasuryBuyback() *cobra.Command {
	var threshold, interval string
	c := &cobra.Command{
		Use:   "buyback",
		Short: "Say when fees are to be turned into IO and burnt",
		Long: `Buyback sets a policy: when fees in USDC have reached the threshold, and the interval since the last time has passed, a buy-back is proposed. You
swap that USDC for IO where you like and record it with ` + "`raylink admin treasury swap`" + `; what was bought is burnt. --threshold 0 proposes none.`,
		Example: "  raylink admin treasury buyback --threshold 100 --interval 168h\n  raylink admin treasury buyback --threshold 0", Args: wants(),
	}
	c.Flags().StringVar(&threshold, "threshold", "", "fees in USDC that are enough; 0 is never")
	c.Flags().StringVar(&interval, "interval", "", "at most once in so long, such as 168h (default: 24h)")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) {
		if threshold == "" {
			return wire.Treasury{}, usage(c, "--threshold is missing")
		}
		least, err := sumOrZero(c, threshold, string(money.USDC))
		if err != nil {
			return wire.Treasury{}, err
		}
		if _, err := time.ParseDuration(interval); interval != "" && err != nil {
			return wire.Treasury{}, usage(c, "--interval is a duration such as 168h, not %q", interval)
		}
		return s.SetBuyback(c.Context(), wire.BuybackRequest{Threshold: least, Interval: interval})
	}, a.showTreasury)
}

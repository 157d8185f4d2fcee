package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) earnings() *cobra.Command {
	var account, file, form string
	c := &cobra.Command{
		Use:   "earnings",
		Short: "Show what you have earned as a supplier, and why each part is not paid yet",
		Long: `Earnings shows what your machines have earned and where it is: paid, on its way, or waiting, with the reason. Suppliers are paid
without asking, in batches; ` + "`raylink settlement set`" + ` says in which token, to which wallet, and from which amount on.

--file writes what the journal says of it, with all signatures and the group's receipt, as raylink verify FILE checks it: every minute of your
machines, charged or waived, what it earned, and every payout. --format csv or hledger writes the same entries for other programs.`,
		Example: "  raylink earnings\n  raylink earnings --file earnings.jsonl && raylink verify earnings.jsonl\n  raylink earnings --format csv --file earnings.csv\n  raylink earnings -o json", Args: wants(),
	}
	c.Flags().StringVar(&account, "account", "", "another account's, by its id or name; admins only")
	c.Flags().StringVar(&file, "file", "", "write them with their signatures into a file, for raylink verify")
	formFlag(c, &form)
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		write, err := writer(c, form)
		if err != nil {
			return err
		}
		written := file != "" || c.Flags().Changed("format")
		if written && c.Flags().Changed("output") {
			return usage(c, "--file and --format write the journal's entries: they do not go with -o")
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		id, err := s.account(c.Context(), account)
		if err != nil {
			return err
		}
		if written {
			own := func(ctx context.Context, w io.Writer) error { return s.EarningsFile(ctx, id, w) }
			return a.export(file, func(w io.Writer) error { return write(c.Context(), own, w) })
		}
		e, err := s.Earnings(c.Context(), id)
		if err != nil {
			return err
		}
		return a.show(*format, e, func(w io.Writer) { a.showEarnings(w, e) })
	}
	return c
}

func (a *app) showEarnings(w io.Writer, e wire.Earnings) {
	pairs(w, "", "account", string(e.Account), "paid so far", a.paint(a.out, bold, sums(e.Paid)), "takes", takes(e.Settlement), "next run", moment(e.NextRun))
	fmt.Fprintln(w)
	rows := [][]string{{"EARNED", "STATE", "WHY"}}
	for _, l := range e.Lines {
		state := string(l.State)
		if state == "" {
			state = "earned"
		}
		rows = append(rows, []string{amount(l.Amount), state, why(l.Code, l.Reason)})
	}
	grid(w, "", rows...)
	if len(e.Payouts) > 0 {
		fmt.Fprintln(w)
		showPayouts(w, e.Payouts)
	}
}

// takes says how a supplier is paid, in a line.
func takes(s wire.Settlement) string {
	fee := "no fee"
	if s.Takes == money.USDC {
		fee = "a fee of 2 %"
	}
	to := s.Wallet
	if to == "" {
		to = "no wallet yet: `raylink settlement set --wallet ADDRESS`"
	}
	return fmt.Sprintf("%s (%s), from %s on, to %s", s.Takes, fee, amount(s.From()), to)
}

// why puts the code of what stands in a payment's way into words; the code stays, for whoever looks it up.
func why(code payout.Code, reason string) string {
	words := map[payout.Code]string{
		"":                    "goes out with the next run",
		payout.NothingEarned:  "nothing was earned in it yet",
		payout.BelowMinimum:   "less than the minimum: it adds up until then",
		payout.NoWallet:       "`raylink settlement set --wallet ADDRESS` says where to",
		payout.NoTokenAccount: "the wallet has no account for this token: receive any amount of it once, and it has",
		payout.Halted:         "an admin has halted payouts",
		payout.CapHour:        "more than may go out in an hour: it follows",
		payout.NeedsApproval:  "above the cap: an admin has to approve it",
		payout.TreasuryShort:  "the treasury has to be filled first",
		payout.HeldCard:       "paid by card: waits 7 days, and for the lot `card`",
		payout.HeldGrant:      "granted credit: waits for the lot `grants`",
		payout.PricePaused:    "the price of IO is not believed at the moment: see `raylink price`",
		payout.InFlight:       "on its way",
		payout.WaitsForSigner: "about to go: the signer has to sign it; an admin is alarmed when that takes minutes",
		payout.ChainFrozen:    "the wallet's token account is frozen by the token's issuer; the money stays yours",
		payout.ChainNoAccount: "the wallet's token account is gone: make one, then ask an admin to retry",
	}[code]
	text := string(code)
	switch {
	case code == "":
		text = words
	case words != "":
		text += ": " + words
	}
	if reason != "" {
		text = strings.TrimPrefix(text+" ("+reason+")", " ")
	}
	return text
}

func (a *app) settlement() *cobra.Command {
	c := &cobra.Command{
		Use:     "settlement",
		Short:   "Show or set how you are paid as a supplier: token, wallet, minimum",
		Example: "  raylink settlement\n  raylink settlement set --takes io --wallet 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU",
		Args:    wants(),
	}
	c.AddCommand(a.settlementSet())
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Settlement, error) {
		return s.Settlement(c.Context())
	}, showSettlement)
}

func showSettlement(w io.Writer, x wire.Settlement) {
	to := x.Wallet
	if to == "" {
		to = "none yet: `raylink wallet prove ADDRESS`, then `raylink settlement set --wallet ADDRESS`"
	}
	pairs(w, "", "takes", string(x.Takes), "wallet", to, "minimum", amount(x.From()))
}

func (a *app) settlementSet() *cobra.Command {
	var taken, to, minimum string
	c := &cobra.Command{
		Use:   "set",
		Short: "Change how you are paid; what is not given stays",
		Long: `Set chooses the token that what you earn from now on becomes (USDC costs 2 %, IO nothing), the wallet that it is paid to, which must be
proven (` + "`raylink wallet prove`" + `), and the amount from which on it is paid. What was earned before stays in its token.`,
		Example: "  raylink settlement set --takes usdc --wallet 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU --minimum 5\n  raylink settlement set --takes io --minimum 20",
		Args:    wants(),
	}
	c.Flags().StringVar(&taken, "takes", "", "usdc or io")
	c.Flags().StringVar(&to, "wallet", "", "a proven wallet of yours")
	c.Flags().StringVar(&minimum, "minimum", "", "pay from this amount on, in the token that you take; the network has a minimum too")
	_ = c.RegisterFlagCompletionFunc("takes", cobra.FixedCompletions([]string{"usdc", "io"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("wallet", a.walletNames)
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Settlement, error) {
		if c.Flags().NFlag() == 0 {
			return wire.Settlement{}, usage(c, "what is to change? --takes, --wallet or --minimum")
		}
		now, err := s.Settlement(c.Context())
		if err != nil {
			return now, err
		}
		if taken != "" {
			if now.Takes, err = token(c, taken); err != nil {
				return now, err
			}
		}
		if now.Minimum.Asset != now.Takes {
			now.Minimum = money.Amount{Asset: now.Takes} // the network's own minimum
		}
		if minimum != "" {
			if now.Minimum, err = sumOrZero(c, minimum, string(now.Takes)); err != nil {
				return now, err
			}
		}
		if c.Flags().Changed("wallet") {
			now.Wallet = to
		}
		return s.SetSettlement(c.Context(), now)
	}, showSettlement)
}

func (a *app) payout() *cobra.Command {
	return parent("payout", "List payments to wallets, and cancel a withdrawal", "", a.payoutList(), a.payoutAction("cancel", "Cancel a withdrawal of yours that is not on its way yet", false))
}

func (a *app) payoutList() *cobra.Command {
	var account string
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List payments to your wallets (an admin sees all)", Example: "  raylink payout list", Args: wants()}
	c.Flags().StringVar(&account, "account", "", "one account's, by its id or name; admins only")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) ([]payout.Payout, error) {
		id, err := s.account(c.Context(), account)
		if err != nil {
			return nil, err
		}
		return s.Payouts(c.Context(), id)
	}, func(w io.Writer, list []payout.Payout) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No payout yet. Suppliers are paid without asking; `raylink withdraw` takes a balance out.")
			return
		}
		showPayouts(w, list)
	})
}

func showPayouts(w io.Writer, list []payout.Payout) {
	rows := [][]string{{"PAYOUT", "FOR", "ACCOUNT", "AMOUNT", "TO", "STATE", "WHY", "ASKED", "TRANSACTION"}}
	for _, p := range list {
		reason := ""
		if p.State != payout.Paid && p.State != payout.Cancelled {
			reason = why(p.Code, p.Reason)
		}
		to := p.Wallet
		if p.Kind == payout.Burn {
			to = "burnt"
		}
		rows = append(rows, []string{p.ID, string(p.Kind), p.Account, amount(payoutAmount(p)), to, string(p.State), reason, ago(&p.RequestedAt), p.Signature})
	}
	grid(w, "", rows...)
}

func payoutAmount(p payout.Payout) money.Amount {
	return money.Amount{Minor: p.Amount, Asset: p.Asset}
}

// payoutAction is a verb that changes one payout; risky ones ask.
func (a *app) payoutAction(action, short string, risky bool) *cobra.Command {
	path := "payout"
	if action != "cancel" {
		path = "admin payout"
	}
	c := &cobra.Command{Use: action + " ID", Short: short, Example: fmt.Sprintf("  raylink %s %s po-00000042", path, action), Args: wants("ID")}
	yes := new(bool)
	if risky {
		yes = yesFlag(c)
	}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (payout.Payout, error) {
		if risky {
			if err := a.agreeToPay(c, s, args[0], *yes); err != nil {
				return payout.Payout{}, err
			}
		}
		return s.ChangePayout(c.Context(), args[0], action)
	}, func(w io.Writer, p payout.Payout) { showPayouts(w, []payout.Payout{p}) })
}

// agreeToPay shows what would go out, and asks.
func (a *app) agreeToPay(c *cobra.Command, s *session, id string, yes bool) error {
	list, err := s.Payouts(c.Context(), "")
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.ID == id {
			return a.agree(c.Context(), yes, fmt.Sprintf("Let %s go to %s for %s %s, whatever the caps say", amount(payoutAmount(p)), p.Wallet, p.Account, p.Kind))
		}
	}
	if yes {
		return nil // it is older than what the list shows: the network knows
	}
	return raylink.Errorf(raylink.CodeNotFound, "no payout %.60q among the last ones", id).WithHint("see `raylink payout list`; --yes asks the network all the same")
}

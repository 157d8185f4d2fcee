package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink/wire"
)

func (a *app) adminPayout() *cobra.Command {
	approve := a.payoutAction("approve", "Let a payout go out that is above a cap", true)
	approve.Long = `Approve lets one payout exceed the group's caps. The signer's own, in its policy file, bind it all the same: one above the signer's cap of a payment is
never signed, and its batch waits until that cap is raised (` + "`raylink signer policy`" + ` prints a file) or it is cancelled; ` + "`raylink admin treasury`" + ` alarms after five minutes.`
	return parent("payout", "Approve, retry or cancel one payout", "",
		approve,
		a.payoutAction("retry", "Try a blocked payout again", false),
		a.payoutAction("cancel", "Give the money back to where it came from", false))
}

func (a *app) adminSuspense() *cobra.Command {
	return parent("suspense", "Deposits that nobody could be found for", "", a.suspenseList(), a.suspenseAssign(), a.suspenseRefund())
}

func (a *app) suspenseList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List deposits that wait for an admin", Example: "  raylink admin suspense list", Args: wants()}
	all := 0
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) ([]deposit.Deposit, error) {
		t, err := s.Treasury(c.Context())
		all = t.Suspended
		return t.Suspense, err
	}, func(w io.Writer, list []deposit.Deposit) {
		if len(list) == 0 {
			fmt.Fprintln(w, "Nothing is in suspense.")
			return
		}
		showDeposits(w, list)
		moreSuspended(w, len(list), all)
	})
}

// moreSuspended says how many deposits in suspense a list leaves out.
func moreSuspended(w io.Writer, shown, all int) {
	if all > shown {
		fmt.Fprintf(w, "The newest %d of %d, dust last. Whoever misses one has its transaction: SIGNATURE/TOKENACCOUNT is its key.\n", shown, all)
	}
}

func showDeposits(w io.Writer, list []deposit.Deposit) {
	rows := [][]string{{"AMOUNT", "WHY", "ACCOUNT", "MEMO", "SENDERS", "SEEN", "KEY"}}
	for _, d := range list {
		var reasons []string
		for _, r := range d.Reasons {
			reasons = append(reasons, string(r))
		}
		rows = append(rows, []string{amount(money.Amount{Minor: d.Amount, Asset: d.Asset}), strings.Join(reasons, ", "), d.Account, printable(d.Memo),
			strings.Join(d.Senders, ", "), ago(&d.At), d.Key})
	}
	grid(w, "", rows...)
}

// printable is what a stranger wrote, fit for a screen.
func printable(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%.60q", text)
}

func (a *app) suspenseAssign() *cobra.Command {
	c := &cobra.Command{
		Use: "assign KEY ACCOUNT", Short: "Credit a deposit in suspense to an account",
		Example: "  raylink admin suspense assign SIGNATURE/TOKENACCOUNT engineer", Args: wants("KEY", "ACCOUNT"),
	}
	yes := yesFlag(c)
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Treasury, error) {
		id, err := s.account(c.Context(), args[1])
		if err != nil {
			return wire.Treasury{}, err
		}
		now, err := s.Treasury(c.Context())
		if err != nil {
			return now, err
		}
		what := "the deposit " + args[0]
		for _, d := range now.Suspense {
			if d.Key == args[0] {
				what = amount(money.Amount{Minor: d.Amount, Asset: d.Asset})
			}
		}
		if err := a.agree(c.Context(), *yes, fmt.Sprintf("Credit %s to %s", what, id)); err != nil {
			return now, err
		}
		return s.AssignSuspense(c.Context(), wire.AssignRequest{Key: args[0], Account: id})
	}, func(w io.Writer, t wire.Treasury) {
		fmt.Fprintf(w, "Credited. %d deposit(s) stay in suspense.\n", t.Suspended)
	})
}

func (a *app) suspenseRefund() *cobra.Command {
	c := &cobra.Command{
		Use: "refund KEY ACCOUNT WALLET", Short: "Return a deposit in suspense to a wallet that an account has proven",
		Long: `Refund returns a deposit in suspense. It never goes back to where it came from just because it came from there: exchanges pay many people from
one wallet. Whoever claims it proves a wallet of his own first (raylink wallet prove).`,
		Example: "  raylink admin suspense refund SIGNATURE/TOKENACCOUNT engineer WALLET", Args: wants("KEY", "ACCOUNT", "WALLET"),
	}
	yes := yesFlag(c)
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (payout.Payout, error) {
		id, err := s.account(c.Context(), args[1])
		if err != nil {
			return payout.Payout{}, err
		}
		if err := a.agree(c.Context(), *yes, fmt.Sprintf("Return the deposit %s to wallet %s of %s", args[0], args[2], id)); err != nil {
			return payout.Payout{}, err
		}
		return s.RefundSuspense(c.Context(), wire.RefundRequest{Key: args[0], Account: id, Wallet: args[2]})
	}, func(w io.Writer, p payout.Payout) {
		fmt.Fprintf(w, "%s: %s goes to %s.\n", p.ID, amount(money.Amount{Minor: p.Amount, Asset: p.Asset}), p.Wallet)
	})
}

func (a *app) adminCard() *cobra.Command {
	return parent("card", "Accounts that pay by card", "", a.cardPardon())
}

func (a *app) cardPardon() *cobra.Command {
	c := &cobra.Command{
		Use: "pardon ACCOUNT", Short: "Let an account pay by card again after a dispute",
		Example: "  raylink admin card pardon engineer", Args: wants("ACCOUNT"),
	}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Account, error) {
		id, err := s.account(c.Context(), args[0])
		if err != nil {
			return wire.Account{}, err
		}
		return s.PardonCard(c.Context(), id)
	}, func(w io.Writer, x wire.Account) { fmt.Fprintf(w, "%s %s may pay by card again.\n", x.ID, x.Name) })
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink/wire"
)

func (a *app) withdraw() *cobra.Command {
	var to string
	var card bool
	c := &cobra.Command{
		Use:   "withdraw AMOUNT",
		Short: "Take unspent balance out: tokens to a proven wallet, card money back to the card",
		Long: `Withdraw takes what is free of your balance out. Tokens go to a wallet that you have proven (` + "`raylink wallet prove`" + `) and that can
receive them; what cards have paid in goes back to those cards, and never out as tokens. Granted credit cannot be withdrawn.`,
		Example: "  raylink withdraw 20 --asset usdc --to 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU\n  raylink withdraw 10 --card --yes", Args: wants("AMOUNT"),
	}
	asset := assetFlag(c, "token to take out: usdc or io")
	c.Flags().StringVar(&to, "to", "", "proven wallet that it goes to")
	c.Flags().BoolVar(&card, "card", false, "give card money back to the card")
	yes := yesFlag(c)
	_ = c.RegisterFlagCompletionFunc("to", a.walletNames)
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (payout.Payout, error) {
		r, err := withdrawal(c, args[0], *asset, to, card)
		if err != nil {
			return payout.Payout{}, err
		}
		where := r.Wallet
		if card {
			where = "the card that paid it"
		}
		if err := a.agree(c.Context(), *yes, fmt.Sprintf("Withdraw %s to %s", amount(r.Amount), where)); err != nil {
			return payout.Payout{}, err
		}
		return s.Withdraw(c.Context(), r)
	}, func(w io.Writer, p payout.Payout) {
		if p.Wallet == "" {
			fmt.Fprintf(w, "%s: %s go back to the card; its company takes some days.\n", p.ID, amount(payoutAmount(p)))
			return
		}
		fmt.Fprintf(w, "%s: %s to %s, %s\n", p.ID, amount(payoutAmount(p)), p.Wallet, why(p.Code, p.Reason))
		fmt.Fprintln(w, "`raylink payout list` shows how far it is.")
	})
}

// withdrawal is what the arguments ask for.
func withdrawal(c *cobra.Command, text, asset, to string, card bool) (wire.WithdrawalRequest, error) {
	r := wire.WithdrawalRequest{Wallet: to, Card: card}
	switch {
	case card && (asset != "" || to != ""):
		return r, usage(c, "--card goes with neither --asset nor --to: the money goes back to where it came from")
	case card:
		asset = string(money.USD)
	case to == "":
		return r, usage(c, "where to? --to names a proven wallet, --card is for money that a card has paid in")
	}
	var err error
	r.Amount, err = sum(c, text, asset)
	if err == nil && !card && r.Amount.Asset == money.USD {
		err = usage(c, "USD does not leave as tokens: card money goes back by --card, granted credit stays")
	}
	return r, err
}

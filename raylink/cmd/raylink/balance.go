package main

import (
	"io"

	"github.com/spf13/cobra"

	"raylink/raylink"
)

func (a *app) balance() *cobra.Command {
	var account string
	c := &cobra.Command{Use: "balance", Short: "Show your money: free, held, earned", Example: "  raylink balance\n  raylink balance --account acc-abcdefghij", Args: wants()}
	c.Flags().StringVar(&account, "account", "", "another account's; admins only")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		b, err := s.Balance(c.Context(), raylink.AccountID(account))
		if err != nil {
			return err
		}
		return a.show(*format, b, func(w io.Writer) {
			pairs(w, "", "account", string(b.Account)+" "+b.Name, "free", amount(b.Free), "held", amount(b.Held)+" (for clusters that run)",
				"earned", amount(b.Earned)+" (as a supplier)")
		})
	}
	return c
}

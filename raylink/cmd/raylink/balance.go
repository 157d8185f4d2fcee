package main

import (
	"io"

	"github.com/spf13/cobra"
)

func (a *app) balance() *cobra.Command {
	var account string
	c := &cobra.Command{Use: "balance", Short: "Show your money: free, held, earned", Example: "  raylink balance\n  raylink balance --account engineer", Args: wants()}
	c.Flags().StringVar(&account, "account", "", "another account's, by its id or name; admins only")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		id, err := s.account(c.Context(), account)
		if err != nil {
			return err
		}
		b, err := s.Balance(c.Context(), id)
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

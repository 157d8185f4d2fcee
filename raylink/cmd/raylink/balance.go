package main

import (
	"fmt"
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
			pairs(w, "", "account", string(b.Account)+" "+b.Name, "free", sums(b.Free), "held", sums(b.Held)+" (for clusters that run)",
				"earned", sums(b.Earned)+" (as a supplier)")
			if b.Cap != nil {
				pairs(w, "", "today", fmt.Sprintf("%s of %s that may be spent a day", amount(b.Cap.Today), amount(b.Cap.PerDay)))
			}
			rows := [][]string{{"PURSE", "FREE", "HELD"}}
			for _, p := range b.Purses {
				if p.Free.Sign() != 0 || p.Held.Sign() != 0 {
					rows = append(rows, []string{p.Purse, amount(p.Free), amount(p.Held)})
				}
			}
			if len(rows) > 1 {
				fmt.Fprintln(w)
				grid(w, "", rows...)
			}
		})
	}
	return c
}

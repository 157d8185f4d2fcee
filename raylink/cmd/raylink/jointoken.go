package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"raylink/raylink/wire"
)

func (a *app) joinToken() *cobra.Command {
	return parent("join-token", "Make single-use tokens with which machines, gateways and coordinators join", "", a.joinTokenCreate())
}

func (a *app) joinTokenCreate() *cobra.Command {
	var r wire.JoinTokenRequest
	var account string
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a join token; it is shown once",
		Long: `Create makes a join token that one newcomer may use once. It carries the fingerprint of the group's CA, so that the
newcomer knows the right network. The token alone goes to standard output.`,
		Example: "  raylink join-token create > join.token\n  raylink join-token create --kind gateway --ttl 10m\n  raylink join-token create --account acc-abcdefghij -o json",
		Args:    wants(),
	}
	c.Flags().StringVar(&r.Kind, "kind", "machine", "who may join: machine, gateway or coordinator")
	c.Flags().StringVar(&account, "account", "", "the machine's owner, by id or name (default: your own account)")
	c.Flags().StringVar(&r.TTL, "ttl", "", "how long it may wait, at most 24h (default 1h)")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"machine", "gateway", "coordinator"}, cobra.ShellCompDirectiveNoFileComp))
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if r.Kind != "machine" && r.Kind != "gateway" && r.Kind != "coordinator" {
			return usage(c, "--kind takes machine, gateway or coordinator, not %q", r.Kind)
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		if r.Account, err = s.account(c.Context(), account); err != nil {
			return err
		}
		answer, err := s.CreateJoinToken(c.Context(), r)
		if err != nil {
			return err
		}
		if *format == "table" {
			fmt.Fprintf(a.err, "%s lets one %s join until %s. It is shown once:\n", answer.ID, r.Kind, moment(answer.ExpiresAt))
		}
		return a.show(*format, answer, func(w io.Writer) { fmt.Fprintln(w, answer.Secret) })
	}
	return c
}

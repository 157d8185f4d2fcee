package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) token() *cobra.Command {
	return parent("token", "Make, list and revoke access tokens", "", a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

func (a *app) tokenCreate() *cobra.Command {
	var r wire.TokenRequest
	var role, account string
	c := &cobra.Command{
		Use:   "create",
		Short: "Make an access token; it is shown once",
		Long:  "Create makes an access token. The token alone goes to standard output, so that it can go into a file unseen.",
		Example: "  (umask 077; raylink token create --label ci --ttl 720h > ci.token)\n" +
			"  raylink token create --account acc-abcdefghij --role supplier",
		Args: wants(),
	}
	c.Flags().StringVar(&role, "role", "tenant", "what it may do: tenant, supplier, admin or signer")
	c.Flags().StringVar(&account, "account", "", "whose it is, by id or name; admins only (default: your own account)")
	c.Flags().StringVar(&r.Label, "label", "", "what it is for, for the list")
	c.Flags().StringVar(&r.TTL, "ttl", "", "how long it is good, such as 720h (default: until revoked)")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"tenant", "supplier", "admin", "signer"}, cobra.ShellCompDirectiveNoFileComp))
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if r.Role = raylink.Role(role); !r.Role.Valid() {
			return usage(c, "--role takes tenant, supplier, admin or signer, not %q", role)
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		if r.Account, err = s.account(c.Context(), account); err != nil {
			return err
		}
		answer, err := s.CreateToken(c.Context(), r)
		if err != nil {
			return err
		}
		if *format == "table" {
			fmt.Fprintf(a.err, "%s is an access token of %s with the role %s. It is shown once:\n", answer.Token.ID, answer.Token.Account, answer.Token.Role)
		}
		return a.show(*format, answer, func(w io.Writer) { fmt.Fprintln(w, answer.Secret) })
	}
	return c
}

func (a *app) tokenList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List access tokens, without their secrets", Example: "  raylink token list", Args: wants()}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		list, err := s.Tokens(c.Context())
		if err != nil {
			return err
		}
		return a.show(*format, list, func(w io.Writer) {
			rows := [][]string{{"ID", "ACCOUNT", "ROLE", "LABEL", "CREATED", "EXPIRES", "REVOKED"}}
			for _, t := range list {
				expires := "never"
				if t.ExpiresAt != nil {
					expires = moment(*t.ExpiresAt)
				}
				rows = append(rows, []string{string(t.ID), string(t.Account), string(t.Role), t.Label, ago(&t.CreatedAt), expires, ago(t.RevokedAt)})
			}
			grid(w, "", rows...)
		})
	}
	return c
}

func (a *app) tokenRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke ID", Short: "End an access token at once, at every gateway too", Example: "  raylink token revoke tok-abcdefghij", Args: wants("ID")}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		t, err := s.RevokeToken(c.Context(), raylink.TokenID(args[0]))
		if err != nil {
			return err
		}
		return a.show(*format, t, func(w io.Writer) { fmt.Fprintf(w, "%s (%s) is revoked.\n", t.ID, t.Label) })
	}
	return c
}

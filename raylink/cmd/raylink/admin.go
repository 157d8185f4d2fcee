package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) admin() *cobra.Command {
	return parent("admin", "Accounts, credit, the treasury, and the health of the network", "",
		parent("account", "Make and list accounts", "", a.accountCreate(), a.accountList()), a.grant(), a.status(),
		a.adminTreasury(), a.adminPrice(), a.adminVersions(), a.adminPayout(), a.adminSuspense(), a.adminCard(), a.adminProofs())
}

func (a *app) accountCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Make an account for a person or firm", Example: "  raylink admin account create 'Ann Example'", Args: wants("NAME")}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		x, err := s.CreateAccount(c.Context(), wire.AccountRequest{Name: args[0]})
		if err != nil {
			return err
		}
		return a.show(*format, x, func(w io.Writer) {
			fmt.Fprintf(w, "%s %s\nNext: `raylink token create --account %s --role tenant`, `raylink admin grant %s 25`\n", x.ID, x.Name, x.ID, x.ID)
		})
	}
	return c
}

func (a *app) accountList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List accounts and their money", Example: "  raylink admin account list", Args: wants()}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		list, err := s.Accounts(c.Context())
		if err != nil {
			return err
		}
		return a.show(*format, list, func(w io.Writer) {
			rows := [][]string{{"ID", "NAME", "FREE", "HELD", "EARNED", "CREATED"}}
			for _, x := range list {
				rows = append(rows, []string{string(x.ID), x.Name, sums(x.Free), sums(x.Held), sums(x.Earned), ago(&x.CreatedAt)})
			}
			grid(w, "", rows...)
		})
	}
	return c
}

func (a *app) grant() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "grant ACCOUNT AMOUNT", Short: "Give an account credit", Example: "  raylink admin grant engineer 25 --reason 'welcome'\n  raylink admin grant acc-abcdefghij '0.5 USD'",
		Args: wants("ACCOUNT", "AMOUNT")}
	c.Flags().StringVar(&reason, "reason", "grant", "why, for the journal")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		text := args[1]
		if !strings.Contains(text, " ") {
			text += " " + string(money.USD)
		}
		sum, err := money.Parse(text)
		if err != nil || sum.Sign() <= 0 {
			return usage(c, "%q is not an amount to give: write 25 or '25.50 USD'", args[1])
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		id, err := s.account(c.Context(), args[0])
		if err != nil {
			return err
		}
		x, err := s.Grant(c.Context(), id, wire.GrantRequest{Amount: sum, Reason: reason})
		if err != nil {
			return err
		}
		return a.show(*format, x, func(w io.Writer) { fmt.Fprintf(w, "%s %s has %s free now.\n", x.ID, x.Name, sums(x.Free)) })
	}
	return c
}

// account is an account's id, given that or its name; names are looked up among all accounts, which only an admin may see.
func (s *session) account(ctx context.Context, idOrName string) (raylink.AccountID, error) {
	if idOrName == "" || strings.HasPrefix(idOrName, "acc-") {
		return raylink.AccountID(idOrName), nil
	}
	list, err := s.Accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, x := range list {
		if x.Name == idOrName {
			return x.ID, nil
		}
	}
	return "", raylink.Errorf(raylink.CodeNotFound, "no account has the name %q", idOrName).WithHint("see `raylink admin account list`")
}

// view is one coordinator's own word about the group.
type view struct {
	ID     string       `json:"id"`
	URL    string       `json:"url"`
	Status *wire.Status `json:"status,omitempty"`
	Error  string       `json:"error,omitempty"`
}

func (a *app) status() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Ask every coordinator for its view: leader, index, digest",
		Long: `Status asks each coordinator by itself. Coordinators at the same index must show the same digest: it is over all that the
group has decided. Different indexes are normal while something is being written.`,
		Example: "  raylink admin status\n  raylink admin status -o json", Args: wants(),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		views, err := survey(c.Context(), s)
		if err != nil {
			return err
		}
		pins, err := s.Images(c.Context())
		none := err == nil && len(pins) == 0 // an error is told by those of the coordinators that do not answer
		return a.show(*format, views, func(w io.Writer) {
			if showViews(w, views); none {
				fmt.Fprintln(w, "WARNING: no image is pinned: machines run what they find under its name. `raylink image sign` and `raylink image pin` fix one to a digest.")
			}
		})
	}
	return c
}

// survey asks whoever answers for the members, and then each by itself.
func survey(ctx context.Context, s *session) ([]view, error) {
	first, err := s.Client.Status(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]view, len(first.Members))
	var asked sync.WaitGroup
	for i, m := range first.Members {
		views[i] = view{ID: m.ID, URL: m.API}
		if m.API == "" {
			views[i].Error = "it has not said its address yet"
			continue
		}
		asked.Go(func() {
			if status, err := s.StatusOf(ctx, m.API); err != nil {
				views[i].Error = strings.TrimPrefix(err.Error(), m.API+": ")
			} else {
				views[i].Status = &status
			}
		})
	}
	asked.Wait()
	return views, nil
}

func showViews(w io.Writer, views []view) {
	rows := [][]string{{"COORDINATOR", "URL", "ROLE", "INDEX", "DIGEST", "VERSION"}}
	digests, gateways := map[uint64]string{}, []wire.Gateway(nil)
	agree, away := true, []string(nil)
	for _, v := range views {
		if v.Status == nil {
			rows = append(rows, []string{v.ID, v.URL, "away", "", "", ""})
			away = append(away, fmt.Sprintf("%s does not answer: %s", v.ID, v.Error))
			continue
		}
		role := "follower"
		if v.Status.Leader == v.Status.ID {
			role = "leader"
		}
		if known, ok := digests[v.Status.Index]; ok && known != v.Status.Digest {
			agree = false
		}
		digests[v.Status.Index], gateways = v.Status.Digest, v.Status.Gateways
		rows = append(rows, []string{v.Status.ID, v.URL, role, fmt.Sprint(v.Status.Index), short(v.Status.Digest), v.Status.Version})
	}
	grid(w, "", rows...)
	for _, line := range away {
		fmt.Fprintln(w, line)
	}
	for _, v := range views {
		if v.Status != nil && v.Status.Alarm != "" {
			fmt.Fprintf(w, "\nALARM by %s: %s\n", v.Status.ID, v.Status.Alarm)
			break
		}
	}
	if !agree {
		fmt.Fprintln(w, "\nTwo coordinators are at one index with different digests. That must never happen: stop the network and keep all data directories.")
	}
	if len(gateways) > 0 {
		fmt.Fprintln(w)
		rows = [][]string{{"GATEWAY", "URL", "BESIDE", "SEEN"}}
		for _, g := range gateways {
			rows = append(rows, []string{string(g.ID), g.URL, cmp.Or(g.Beside, "-"), ago(g.LastSeen)})
		}
		grid(w, "", rows...)
		for _, g := range gateways {
			if g.Warning != "" {
				fmt.Fprintf(w, "WARNING: %s: %s.\n", g.ID, g.Warning)
			}
		}
	}
}

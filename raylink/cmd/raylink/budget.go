package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/raylink/wire"
)

// budgets is what `raylink budget` shows.
type budgets struct {
	Cap      *wire.Cap       `json:"cap,omitempty"`
	Purses   []wire.Purse    `json:"purses"`
	Clusters []clusterBudget `json:"clusters"`
}

// clusterBudget is how one running cluster stands.
type clusterBudget struct {
	Cluster string        `json:"cluster"`
	Name    string        `json:"name"`
	Purse   string        `json:"purse"`
	Spent   money.Amount  `json:"spent"`
	Maximum *money.Amount `json:"maximum,omitempty"`
	PerHour money.Amount  `json:"per_hour"`
	Alarm   int64         `json:"alarm_percent,omitempty"`
	Warning string        `json:"warning,omitempty"`

	RunsOutAt *time.Time `json:"runs_out_at,omitempty"`
}

func (a *app) budget() *cobra.Command {
	c := &cobra.Command{
		Use:   "budget",
		Short: "Show or set what may be spent: a day, and by each cluster",
		Long: `Budget shows what stands between you and a surprise: the most that your account may spend in a day (UTC), and the most that each cluster
may ever cost, which is what its quote said: --budget, or what the purse held then. A cluster ends in order before it costs more, also if you have topped up
since: raylink budget cluster lets it.`,
		Example: "  raylink budget\n  raylink budget set --per-day 40 --alarm 80\n  raylink budget cluster first-job 12.50", Args: wants(),
	}
	c.AddCommand(a.budgetSet(), a.budgetCluster())
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (budgets, error) { return fetchBudgets(c, s) }, func(w io.Writer, b budgets) {
		showCap(w, b.Cap)
		rows := [][]string{{"PURSE", "FREE", "HELD", "RUNS OUT"}}
		for _, p := range b.Purses {
			rows = append(rows, []string{p.Purse, amount(p.Free), amount(p.Held), runsOut(p.RunsOutAt)})
		}
		fmt.Fprintln(w)
		grid(w, "", rows...)
		if len(b.Clusters) == 0 {
			return
		}
		rows = [][]string{{"CLUSTER", "PURSE", "SPENT", "AT MOST", "ALARM", "AN HOUR", "RUNS OUT", "WARNING"}}
		for _, x := range b.Clusters {
			rows = append(rows, []string{x.Name, x.Purse, amount(x.Spent), bound(x.Maximum), percents(x.Alarm), amount(x.PerHour), runsOut(x.RunsOutAt), x.Warning})
		}
		fmt.Fprintln(w)
		grid(w, "", rows...)
	})
}

func fetchBudgets(c *cobra.Command, s *session) (budgets, error) {
	b := budgets{Clusters: []clusterBudget{}}
	me, err := s.Balance(c.Context(), "")
	if err != nil {
		return b, err
	}
	b.Cap, b.Purses = me.Cap, me.Purses
	clusters, err := s.Clusters(c.Context())
	if err != nil {
		return b, err
	}
	for _, x := range clusters {
		if x.Phase.Over() || x.Owner != me.Account {
			continue
		}
		b.Clusters = append(b.Clusters, clusterBudget{Cluster: string(x.ID), Name: x.Name, Purse: x.Pay, Spent: x.Spent, Maximum: x.Maximum, Alarm: x.Alarm,
			PerHour: x.PerHour, Warning: x.Warning, RunsOutAt: x.RunsOutAt})
	}
	return b, nil
}

// bound is the most that a cluster may cost, for a column of such.
func bound(most *money.Amount) string {
	if most == nil {
		return "what the purse holds"
	}
	return amount(*most)
}

// mayCost says the same in a sentence.
func mayCost(most *money.Amount) string {
	if most == nil {
		return bound(nil)
	}
	return "at most " + bound(most)
}

// runsOut is a predicted time, for people.
func runsOut(at *time.Time) string {
	if at == nil {
		return ""
	}
	return moment(*at)
}

func showCap(w io.Writer, limit *wire.Cap) {
	if limit == nil {
		fmt.Fprintln(w, "No cap: your purses are the limit. `raylink budget set --per-day 40` sets one.")
		return
	}
	pairs(w, "", "a day (UTC)", amount(limit.PerDay), "today", amount(limit.Today), "alarm", cmp.Or(percents(limit.Alarm), "none"))
}

// percents is where an alarm stands; empty for none.
func percents(alarm int64) string {
	if alarm == 0 {
		return ""
	}
	return fmt.Sprintf("at %d %%", alarm)
}

func (a *app) budgetSet() *cobra.Command {
	var perDay string
	var alarm int64
	c := &cobra.Command{
		Use:   "set",
		Short: "Bound what your account spends in a day",
		Long: `Set says how much all your clusters together are to cost from midnight to midnight UTC, fees included. With less than a minute of it left they end in
order, and none is created. It is no hard bound: minutes that were used before the network could act, as while it had no leader, are paid beyond it;
what bounds a single cluster whatever happens is its budget (` + "`raylink budget cluster`" + `). The alarm is a part of it in percent: from there on, clusters and the dashboard warn. --per-day 0 takes the bound away.`,
		Example: "  raylink budget set --per-day 40 --alarm 80\n  raylink budget set --per-day 0", Args: wants(),
	}
	c.Flags().StringVar(&perDay, "per-day", "", "USD a day; 0 is no bound")
	c.Flags().Int64Var(&alarm, "alarm", 0, "warn from this part of it on, in percent")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Balance, error) {
		if perDay == "" {
			return wire.Balance{}, usage(c, "--per-day is missing")
		}
		limit, err := sumOrZero(c, perDay, string(money.USD))
		if err != nil {
			return wire.Balance{}, err
		}
		if alarm < 0 || alarm > 100 {
			return wire.Balance{}, usage(c, "--alarm is a part in percent, from 0 to 100, not %d", alarm)
		}
		return s.SetCap(c.Context(), wire.CapRequest{PerDay: limit, Alarm: alarm})
	}, func(w io.Writer, b wire.Balance) { showCap(w, b.Cap) })
}

func (a *app) budgetCluster() *cobra.Command {
	var alarm int64
	c := &cobra.Command{
		Use: "cluster NAME AMOUNT", Short: "Change the most that a cluster may ever cost, in USD with the fee; 0 is no limit but the purse",
		Example: "  raylink budget cluster first-job 12.50\n  raylink budget cluster first-job 12.50 --alarm 50\n  raylink budget cluster first-job 0",
		Args:    wants("NAME", "AMOUNT"), ValidArgsFunction: a.clusterNames,
	}
	c.Flags().Int64Var(&alarm, "alarm", 0, "warn from this part of it on, in percent; if not given it stays as it is, which is 80 at first")
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Cluster, error) {
		limit, err := sumOrZero(c, args[1], string(money.USD))
		if err != nil {
			return wire.Cluster{}, err
		}
		if c.Flags().Changed("alarm") && (alarm < 1 || alarm > 100) {
			return wire.Cluster{}, usage(c, "--alarm is a part in percent, from 1 to 100, not %d", alarm)
		}
		return s.SetBudget(c.Context(), args[0], wire.BudgetRequest{Budget: limit, Alarm: alarm})
	}, func(w io.Writer, x wire.Cluster) {
		fmt.Fprintf(w, "%s has spent %s so far, and may cost %s.\n", x.Name, amount(x.Spent), mayCost(x.Maximum))
	})
}

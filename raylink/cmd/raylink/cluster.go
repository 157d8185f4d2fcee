package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) cluster() *cobra.Command {
	return parent("cluster", "Create, look at and delete clusters", "", a.clusterCreate(), a.clusterList(), a.clusterGet(), a.clusterDelete(), a.clusterEndpoint(), a.clusterProve())
}

func (a *app) clusterList() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List your clusters (an admin sees all)",
		Example: "  raylink cluster list\n  raylink cluster list --all -o json", Args: wants()}
	c.Flags().BoolVar(&all, "all", false, "also those that have ended")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		list, err := s.Clusters(c.Context())
		if err != nil {
			return err
		}
		shown := []wire.Cluster{}
		for _, cluster := range list {
			if all || !cluster.Phase.Over() {
				shown = append(shown, cluster)
			}
		}
		return a.show(*format, shown, func(w io.Writer) {
			if len(shown) == 0 {
				fmt.Fprintln(w, "No cluster runs. `raylink cluster create -f cluster.yaml` makes one; `--all` lists those that have ended.")
				return
			}
			rows := [][]string{{"NAME", "ID", "PHASE", "NODES", "PRICE", "MINUTES", "SPENT", "CREATED"}}
			for _, x := range shown {
				rows = append(rows, []string{x.Name, string(x.ID), string(x.Phase), fmt.Sprint(len(x.Nodes)), amount(x.PerHour) + "/h",
					fmt.Sprint(x.Minutes), amount(x.Spent), ago(&x.CreatedAt)})
			}
			grid(w, "", rows...)
		})
	}
	return c
}

func (a *app) clusterGet() *cobra.Command {
	var watch bool
	c := &cobra.Command{Use: "get NAME", Short: "Show one cluster: stages, nodes, endpoints, money",
		Example: "  raylink cluster get first-job\n  raylink cluster get first-job --watch", Args: wants("NAME"), ValidArgsFunction: a.clusterNames}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show the stages as they happen, until it is ready or over")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		x, err := s.Cluster(c.Context(), args[0])
		if err != nil {
			return err
		}
		if watch {
			if x, err = a.watch(c.Context(), s, x); err != nil {
				return err
			}
		}
		return a.show(*format, x, func(w io.Writer) { a.showCluster(w, x) })
	}
	return c
}

func (a *app) showCluster(w io.Writer, x wire.Cluster) {
	fmt.Fprintf(w, "%s %s: %s", x.ID, a.paint(a.out, bold, x.Name), x.Phase)
	if x.Detail != "" {
		fmt.Fprintf(w, " (%s)", x.Detail)
	}
	fmt.Fprint(w, "\n\n")
	if x.Failure != nil {
		fmt.Fprintf(w, "  %s\n", failed(x))
		if x.Failure.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", x.Failure.Hint)
		}
	}
	if x.Warning != "" {
		fmt.Fprintf(w, "  warning: %s\n", x.Warning)
	}
	var stages []string
	for _, stage := range x.Stages {
		stages = append(stages, fmt.Sprintf("%s %s", stage.Phase, seconds(stage.At.Sub(x.CreatedAt))))
	}
	ready, ended := "", ""
	if x.ReadyAt != nil {
		ready = moment(*x.ReadyAt)
	}
	if x.EndedAt != nil {
		ended = moment(*x.EndedAt)
	}
	pairs(w, "  ", "stages", strings.Join(stages, ", "), "image", x.Image, "ray", x.RayVersion, "subnet", x.Subnet,
		"price", amount(x.PerHour)+"/h", "spent", fmt.Sprintf("%s for %d minute(s)", amount(x.Spent), x.Minutes), "hold", amount(x.Hold)+" from the purse "+x.Pay, "at most", bound(x.Maximum), "lasts until", runsOut(x.RunsOutAt),
		"created", moment(x.CreatedAt), "ready", ready, "ended", ended, "endpoints", strings.Join(x.Endpoints, "  "))
	fmt.Fprintln(w)
	rows := [][]string{{"NODE", "ROLE", "MACHINE", "ADDRESS", "STAGE", "RAY NODE", "PRICE", "RESTARTS"}}
	for _, n := range x.Nodes {
		rows = append(rows, []string{n.Node, string(n.Role), string(n.Machine), n.Address, string(n.Stage), short(n.RayNode), rate(n.Rate), fmt.Sprint(n.Restarts)})
	}
	grid(w, "  ", rows...)
	for _, n := range x.Nodes {
		if n.Failure != nil {
			fmt.Fprintf(w, "  %s: %s\n", n.Node, n.Failure.Reason)
		}
	}
}

// short is the beginning of a long id.
func short(id string) string {
	if len(id) > 12 {
		return id[:12] + "…"
	}
	return id
}

func (a *app) clusterDelete() *cobra.Command {
	var wait bool
	c := &cobra.Command{Use: "delete NAME", Aliases: []string{"rm"}, Short: "End a cluster; what is held and unused comes back",
		Example: "  raylink cluster delete first-job", Args: wants("NAME"), ValidArgsFunction: a.clusterNames}
	c.Flags().BoolVar(&wait, "wait", false, "until the machines have cleaned up")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		x, err := s.DeleteCluster(c.Context(), args[0])
		if err != nil {
			return err
		}
		if wait {
			if x, err = until(c.Context(), s, x, func(x wire.Cluster) bool { return x.Phase.Over() }); err != nil {
				return err
			}
		}
		return a.show(*format, x, func(w io.Writer) {
			fmt.Fprintf(w, "%s %s is %s. `raylink bill %s` shows what it cost.\n", x.ID, x.Name, x.Phase, x.ID)
		})
	}
	return c
}

func (a *app) clusterEndpoint() *cobra.Command {
	var commands bool
	c := &cobra.Command{Use: "endpoint NAME", Short: "List a cluster's endpoints, one for each gateway; all of them work",
		Long: `Endpoint lists the URLs of a cluster, one for each gateway. Each is a whole Ray dashboard and Jobs API: the unmodified
Ray client works with it, given your access token. With --commands, the lines to type are shown instead.`,
		Example: "  raylink cluster endpoint first-job\n  ray job list --address $(raylink cluster endpoint first-job | head -1)",
		Args:    wants("NAME"), ValidArgsFunction: a.clusterNames}
	c.Flags().BoolVar(&commands, "commands", false, "show the commands that use it")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		x, err := s.Cluster(c.Context(), args[0])
		if err != nil {
			return err
		}
		if err := served(x); err != nil {
			return err
		}
		if commands {
			return a.showCommands(s, x)
		}
		return a.show(*format, x.Endpoints, func(w io.Writer) { fmt.Fprintln(w, strings.Join(x.Endpoints, "\n")) })
	}
	return c
}

// served says why a cluster cannot be used, if it has no endpoint.
func served(x wire.Cluster) error {
	switch {
	case x.Phase.Over() || x.Phase == raylink.PhaseEnding:
		return raylink.Errorf(raylink.CodeConflict, "cluster %s is %s: it has no endpoint any more", x.Name, x.Phase).WithHint("`raylink cluster create` makes a new one")
	case len(x.Endpoints) == 0:
		return raylink.Errorf(raylink.CodeUnavailable, "no gateway serves cluster %s yet; it is at the stage %s", x.Name, x.Phase).
			WithHint("`raylink admin status` lists the gateways; one runs beside each coordinator")
	}
	return nil
}

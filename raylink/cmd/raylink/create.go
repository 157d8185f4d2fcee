package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

// lookEvery is how often a cluster that is being made is looked at.
const lookEvery = 250 * time.Millisecond

func (a *app) clusterCreate() *cobra.Command {
	var o quoteOptions
	var yes, wait bool
	c := &cobra.Command{
		Use:   "create -f FILE",
		Short: "Show a cluster's plan and price, ask, and create it",
		Long: `Create asks for a quote, shows it, and creates the cluster if you agree: an hour's price is then held from your balance.
It shows each stage with its time, counted from the moment the quote was accepted, and ends when every node is alive in
Ray's own view. Charged is by the minute, from then on.`,
		Example: "  raylink cluster create -f cluster.yaml\n  raylink cluster create -f cluster.yaml --yes --wait=false -o json",
		Args:    wants(),
	}
	o.flags(c)
	c.Flags().BoolVarP(&yes, "yes", "y", false, "spend without asking")
	c.Flags().BoolVar(&wait, "wait", true, "stay until it is ready, and show the stages")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		x, err := a.create(c, s, o, yes, *format == "table")
		if err != nil {
			return err
		}
		if wait {
			if x, err = a.watch(c.Context(), s, x); err != nil {
				return err
			}
		}
		if *format != "table" {
			return a.show(*format, x, nil)
		}
		if !wait {
			fmt.Fprintf(a.out, "%s is being assembled. `raylink cluster get %s --watch` shows how far it is.\n", x.ID, x.Name)
			return nil
		}
		return a.showCommands(s, x)
	}
	return c
}

// create shows the price, asks, and accepts.
func (a *app) create(c *cobra.Command, s *session, o quoteOptions, yes, show bool) (wire.Cluster, error) {
	if o.file == "" {
		return wire.Cluster{}, usage(c, "which manifest? -f FILE is missing")
	}
	if !yes && (!terminal(a.in) || o.file == "-") {
		return wire.Cluster{}, raylink.Errorf(raylink.CodeInvalid, "this spends money, and nobody is here to agree").
			WithHint("look at `raylink quote -f %s`, then add --yes", o.file)
	}
	q, err := a.fetchQuote(c, s, o)
	if err != nil {
		return wire.Cluster{}, err
	}
	if show {
		a.showQuote(a.out, q)
		fmt.Fprintln(a.out)
	}
	if !yes {
		agreed, err := a.ask(c.Context(), "Create it? [y/N] ")
		if err != nil {
			return wire.Cluster{}, err
		}
		if !agreed {
			return wire.Cluster{}, raylink.Errorf(raylink.CodeInvalid, "not created, nothing spent")
		}
	}
	return s.CreateCluster(c.Context(), wire.CreateRequest{Quote: q.ID})
}

// watch shows a cluster's stages as they happen, on standard error, until it is ready; that it fails or ends before is an error.
func (a *app) watch(ctx context.Context, s *session, x wire.Cluster) (wire.Cluster, error) {
	shown := 0
	live := terminal(a.err)
	x, err := until(ctx, s, x, func(x wire.Cluster) bool {
		if live {
			fmt.Fprint(a.err, "\r\x1b[K") // over the line of what it waits for
		}
		for ; shown < len(x.Stages); shown++ {
			stage := x.Stages[shown]
			fmt.Fprintf(a.err, "  %s %7s\n", a.paint(a.err, green, fmt.Sprintf("%-10s", stage.Phase)), seconds(stage.At.Sub(x.CreatedAt)))
		}
		done := x.Phase == raylink.PhaseReady || x.Phase.Over()
		if live && !done {
			fmt.Fprintf(a.err, "  %.70s", x.Detail)
		}
		return done
	})
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(a.err, "\n%s is still there: `raylink cluster get %s --watch` goes on watching, `raylink cluster delete %s` gives it up.\n", x.ID, x.Name, x.Name)
		}
		return x, err
	}
	if x.Phase != raylink.PhaseReady {
		return x, failed(x)
	}
	return x, nil
}

// until looks at a cluster again and again until done says so.
func until(ctx context.Context, s *session, x wire.Cluster, done func(wire.Cluster) bool) (wire.Cluster, error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for !done(x) {
		select {
		case <-ctx.Done():
			return x, ctx.Err()
		case <-ticker.C:
		}
		next, err := s.Cluster(ctx, string(x.ID))
		if err != nil {
			return x, fmt.Errorf("looking at cluster %s: %w", x.Name, err)
		}
		x = next
	}
	return x, nil
}

// showCommands says how an unmodified Ray client uses a cluster. The token is in a file, so that no secret is on the screen.
func (a *app) showCommands(s *session, x wire.Cluster) error {
	if err := served(x); err != nil {
		return err
	}
	path, err := a.rayToken(s)
	if err != nil {
		return err
	}
	endpoint, verify := x.Endpoints[0], ""
	if strings.HasPrefix(endpoint, "https:") {
		verify = " --verify " + quoted(s.caFile)
	}
	if x.Phase != raylink.PhaseReady {
		fmt.Fprintf(a.out, "%s is at the stage %s: what follows works once it is ready.\n", x.Name, x.Phase)
	} else if x.ReadyAt != nil {
		fmt.Fprintf(a.out, "\n%s is ready after %s.\n", a.paint(a.out, bold, x.Name), seconds(x.ReadyAt.Sub(x.CreatedAt)))
	}
	fmt.Fprintf(a.out, "endpoint: %s\n\n", a.paint(a.out, bold, endpoint))
	fmt.Fprintf(a.out, "Run a job with Ray's own client (pip install 'ray[default]==%s'); the file holds your access token, and only you can read it:\n", x.RayVersion)
	fmt.Fprintf(a.out, "  export %s\n", strings.Join(ray.ToolEnvironment(quoted(path)), " "))
	fmt.Fprintf(a.out, "  ray job submit --address %s%s --working-dir . -- python train.py\n\n", endpoint, verify)
	fmt.Fprintf(a.out, "Then:\n  raylink logs %[1]s            the newest job's log\n  raylink bill %[1]s            what it costs, minute by minute\n"+
		"  raylink cluster delete %[1]s  end it\n", x.Name)
	return nil
}

// quoted is a word as a shell reads it.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:@,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

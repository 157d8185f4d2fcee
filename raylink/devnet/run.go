package devnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"raylink/raylink"
)

// Options is what `raylink dev` is asked for; its flags come from it.
type Options struct {
	Coordinators int           `flag:"coordinators" default:"3" help:"how many coordinators: 1, 3 or 5"`
	Suppliers    int           `flag:"suppliers" default:"3" help:"how many suppliers' agents, each an owner of its own"`
	Cores        int           `flag:"cores" default:"2" help:"cores that each agent offers, whatever this machine has"`
	Memory       string        `flag:"memory" default:"6Gi" help:"memory that each agent offers"`
	Dir          string        `flag:"dir" help:"directory of the network; by default a new one under the system's temporary directory"`
	Keep         bool          `flag:"keep" help:"leave everything running at the end"`
	Demo         bool          `flag:"demo" help:"tell the demo's story on the network, then end it"`
	Bench        bool          `flag:"bench" help:"measure an idle agent, and cluster create to ready beside a raw ray start, then end it"`
	Rounds       int           `flag:"rounds" default:"5" help:"rounds of --bench"`
	Window       time.Duration `flag:"window" default:"1m" help:"how long --bench looks at the idle agent in each round"`
	Ray          string        `flag:"ray" default:"ray" help:"the Ray client's command, for --demo"`
	Python       string        `flag:"python" help:"a Python with solders, which the local chain runs on; by default it is looked for"`
	Example      string        `flag:"example" default:"examples/first-job" help:"directory of the job, for --demo"`
	Binary       string        `flag:"-"` // the raylink binary; this process's own if empty
	Down         string        `flag:"down" help:"end the network that --keep left in this directory, and nothing else"`
}

// Run brings a network up, keeps it until ctx ends (or tells the demo's story), and takes it down again unless it is to be kept.
func Run(ctx context.Context, o Options, out io.Writer, log *slog.Logger) error {
	if o.Down != "" {
		return Down(ctx, o.Down, out)
	}
	cfg := Config{Coordinators: o.Coordinators, Suppliers: o.Suppliers, Cores: o.Cores, Memory: o.Memory, Keep: o.Keep, Fast: o.Demo, Out: out, Log: log}
	if err := errors.Join(cfg.sensible(), o.sensible()); err != nil {
		return err
	}
	var err error
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return fmt.Errorf("looking for the raylink binary: %w", err)
		}
	}
	if o.Dir, err = directory(o.Dir); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n== A network of %d coordinators and %d suppliers, in %s\n", o.Coordinators, o.Suppliers, o.Dir)
	cfg.Dir, cfg.Binary = o.Dir, o.Binary
	if !o.Bench { // what is measured there pays nobody
		if cfg.Python, err = o.python(ctx, func(format string, args ...any) { fmt.Fprintf(out, "     "+format+"\n", args...) }); err != nil {
			return err
		}
	}
	n, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	err = n.use(ctx, o)
	if o.Keep {
		fmt.Fprintf(out, "\n== Kept in %s; end it with: raylink dev --down %s\n", o.Dir, o.Dir)
		return errors.Join(err, n.save())
	}
	fmt.Fprintf(out, "\n== Cleaning up\n")
	return errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
}

// sensible refuses a benchmark that would measure nothing.
func (o *Options) sensible() error {
	if o.Bench && (o.Suppliers < 1 || o.Rounds < 1 || o.Window < time.Second) {
		return raylink.Errorf(raylink.CodeInvalid, "--bench has nothing to measure in %d rounds of %s with %d suppliers", o.Rounds, o.Window, o.Suppliers).
			WithHint("one supplier, one round and --window 1s are the least")
	}
	return nil
}

func directory(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "raylink-dev-")
		if err != nil {
			return "", fmt.Errorf("making the network's directory: %w", err)
		}
		return made, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the network's directory: %w", err)
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return "", raylink.Errorf(raylink.CodeConflict, "%s is not empty", dir).WithHint("name a new directory, or end the network that lives there: raylink dev --down %s", dir)
	}
	return dir, nil
}

// use does on the network what was asked for.
func (n *Network) use(ctx context.Context, o Options) error {
	switch {
	case o.Demo:
		return (&Story{Network: n, Ray: o.Ray, Job: o.Example}).Tell(ctx)
	case o.Bench:
		return (&Bench{Network: n, Manifest: filepath.Join(o.Example, "cluster.yaml"), Rounds: o.Rounds, Window: o.Window}).Run(ctx)
	}
	fmt.Fprintf(n.cfg.Out, "\n== Ready; ^C ends it and cleans up\n")
	n.Addresses()
	<-ctx.Done()
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/manifest"
	"raylink/supplier"
	"raylink/supplier/doctor"
)

const fixTimeout = 10 * time.Second

// doctorAnswer is what doctor says.
type doctorAnswer struct {
	Earns    bool             `json:"earns"` // nothing is missing
	Fixed    []string         `json:"fixed,omitempty"`
	Findings []doctor.Finding `json:"findings"`
}

func (a *app) supplierDoctor() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look over this machine: what it lacks to earn, and how to mend it",
		Long: `Doctor makes every check in one pass; none stops another, and nothing is changed without --fix. It exits with 1 when something is missing
without which the machine earns nothing, and with 0 otherwise. It looks for what the runtime needs that the settings name; where they name none, for what that
one needs which the agent last ran with.`,
		Example: "  raylink supplier doctor\n  raylink supplier doctor --fix\n  raylink supplier doctor --join https://raylink.example.org:7443 -o json\n  raylink supplier doctor --runtime process",
		Args:    wants(),
	}
	format := outputFlag(c)
	fix := c.Flags().Bool("fix", false, "mend what can be mended without harm: make the data directory, load the kernel's tun module")
	all := c.Flags().Bool("all", false, "show what is well, too")
	return a.local(c, []string{"join", "cpus", "memory", "runtime"}, func(ctx context.Context, config supplier.Config, _ []string, _ *slog.Logger) error {
		var answer doctorAnswer
		if *fix {
			answer.Fixed = mend(ctx, config)
		}
		answer.Findings = doctor.Judge(doctor.Look(ctx, doctorAsk(config)))
		answer.Earns = doctor.Earns(answer.Findings)
		if err := a.show(*format, answer, func(w io.Writer) { a.showFindings(w, answer, *all) }); err != nil || answer.Earns {
			return err
		}
		return &exit{code: 1, err: errors.New("something is missing; see above")}
	})
}

// doctorAsk is what the agent left to know.
func doctorAsk(config supplier.Config) doctor.Ask {
	ask := doctor.Ask{Data: config.Data, Runtime: supplier.RunsWith(config), Join: config.Join, Image: manifest.Images()[0].Run["amd64"], Offered: raylink.Resources{CPU: int64(config.CPUs), Memory: int64(config.Memory)},
		Orders: map[raylink.LeaseID]bool{}}
	if own := manifest.Images()[0].Run[runtime.GOARCH]; own != "" {
		ask.Image = own
	}
	if refused := supplier.Refusal(config); refused != nil {
		ask.Refused = raylink.AsError(refused).Hint
	}
	if _, err := supplier.ReadOwner(config.Data); err != nil && !errors.Is(err, fs.ErrPermission) {
		ask.Owner = raylink.AsError(err).Message
	}
	view, found, runs, err := supplier.ReadView(config.Data)
	if err == nil && found {
		ask.Runs, ask.Silent, ask.Host = runs, view.SilentSince, view.Host
		if ask.Offered.CPU == 0 {
			ask.Offered = view.Offer.Resources
		}
		for _, l := range view.Leases {
			ask.Orders[l.Lease] = true
		}
	}
	if c, id, err := group(config); err == nil {
		ask.Stand = func(ctx context.Context) (raylink.Standing, error) {
			defer c.Close()
			return c.Standing(ctx, id)
		}
	}
	return ask
}

// mend does what harms nobody.
func mend(ctx context.Context, config supplier.Config) []string {
	var done []string
	if _, err := os.Stat(config.Data); errors.Is(err, os.ErrNotExist) && os.MkdirAll(config.Data, 0o700) == nil {
		done = append(done, "made "+config.Data)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		ctx, cancel := context.WithTimeout(ctx, fixTimeout)
		defer cancel()
		if exec.CommandContext(ctx, "modprobe", "tun").Run() == nil {
			done = append(done, "loaded the kernel's tun module")
		}
	}
	return done
}

func (a *app) showFindings(w io.Writer, answer doctorAnswer, all bool) {
	for _, done := range answer.Fixed {
		fmt.Fprintln(w, "mended:", done)
	}
	count := map[doctor.Level]int{}
	for _, f := range answer.Findings {
		count[f.Level]++
		if f.Level == doctor.OK && !all {
			continue
		}
		level := fmt.Sprintf("%-8s", f.Level)
		switch f.Level {
		case doctor.Missing:
			level = a.paint(a.out, red, level)
		case doctor.OK:
			level = a.paint(a.out, green, level)
		case doctor.Warning:
			level = a.paint(a.out, bold, level)
		}
		fmt.Fprintf(w, "%s %s: %s\n", level, f.Check, f.Found)
		if f.Remedy != "" {
			fmt.Fprintf(w, "         → %s\n", f.Remedy)
		}
	}
	fmt.Fprintf(w, "%d well, %d to know, %d warnings, %d missing. ", count[doctor.OK], count[doctor.Note], count[doctor.Warning], count[doctor.Missing])
	if answer.Earns {
		fmt.Fprintln(w, "Nothing keeps this machine from earning.")
		return
	}
	fmt.Fprintln(w, "It earns nothing until what is missing is there.")
}

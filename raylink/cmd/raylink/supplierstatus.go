package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/supplier"
)

const watchEvery = 2 * time.Second

// machineStatus is both views of one machine, side by side.
type machineStatus struct {
	Machine raylink.MachineID `json:"machine,omitempty"`
	Group   groupView         `json:"group"`
	Runs    bool              `json:"agent_runs"`
	Agent   *supplier.View    `json:"agent,omitempty"` // what it saw last
	Verdict string            `json:"verdict"`
}

func (a *app) supplierStatus() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the group sees this machine, beside what its agent sees",
		Long: `Status asks the coordinators how they see this machine, with the machine's own certificate, and reads what the agent saw last. Both are
shown, so that a machine that feels well and is not seen by the market shows at once. It works when the agent is down, and when
no coordinator answers.`,
		Example: "  raylink supplier status\n  raylink supplier status --watch\n  raylink supplier status -o json",
		Args:    wants(),
	}
	format := outputFlag(c)
	watch := c.Flags().BoolP("watch", "w", false, "show it anew every two seconds, until ^C")
	return a.local(c, nil, func(ctx context.Context, config supplier.Config, _ []string, _ *slog.Logger) error {
		for {
			s, err := lookBoth(ctx, config)
			if err != nil {
				return err
			}
			if *watch && terminal(a.out) && *format == "table" {
				fmt.Fprint(a.out, "\x1b[H\x1b[2J")
			}
			if err := a.show(*format, s, func(w io.Writer) { a.showStatus(w, s) }); err != nil || !*watch {
				return err
			}
			timer := time.NewTimer(watchEvery)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
	})
}

func lookBoth(ctx context.Context, config supplier.Config) (machineStatus, error) {
	var s machineStatus
	view, found, runs, err := supplier.ReadView(config.Data)
	if err != nil {
		return s, err
	}
	s.Runs = runs
	s.Machine, s.Group = askStanding(ctx, config)
	if found {
		s.Agent = &view
		if s.Machine == "" {
			s.Machine = view.Machine
		}
	}
	if s.Machine == "" && !found {
		return s, raylink.Errorf(raylink.CodeNotFound, "no agent has worked in %s", config.Data).
			WithHint("--data names the agent's directory; `raylink supplier --help` tells how to start one")
	}
	s.Verdict = verdict(s, time.Now())
	return s, nil
}

// verdict is the one sentence to read: where the two views differ it says so.
func verdict(s machineStatus, now time.Time) string {
	v := s.Agent
	switch {
	case !s.Runs && s.Group.Standing == nil:
		return "The agent does not run, and no coordinator answers from here."
	case !s.Runs:
		return "The agent does not run: what is leased goes on for a while, nothing new comes."
	case v == nil || now.Sub(v.At) > 30*time.Second:
		return "The agent holds its directory, and has not looked at its machine for a while: it starts, or it hangs."
	case s.Group.Standing == nil && v.SilentSince != nil:
		return "No coordinator answers, neither the agent nor this command, since " + moment(*v.SilentSince) + "; leases run on, and minutes are kept."
	case s.Group.Standing == nil:
		return "No coordinator answers this command, though one took the agent's last report."
	case v.SilentSince != nil:
		return "A coordinator answers this command, and none takes the agent's reports since " + moment(*v.SilentSince) + "."
	}
	state, wait := s.Group.Standing.State, s.Group.Standing.GPUsWait()
	switch state {
	case raylink.MachineReady, raylink.MachineHired:
		if wait != "" {
			return "The machine is in the market, but " + wait + "."
		}
	}
	switch state {
	case raylink.MachineDown:
		return "The agent believes that it is heard, and the group does not hear it: run `raylink supplier doctor`."
	case raylink.MachineBlocked, raylink.MachineQuarantined:
		return "The agent works, and the market does not take this machine."
	case raylink.MachineDraining:
		return "The agent works, and the machine gets nothing new, for the reason below."
	case raylink.MachineReady:
		return "All is well: the machine is in the market, and free."
	case raylink.MachineHired:
		return "All is well: the machine earns."
	case "":
		return "The agent works; the group does not say how it sees the machine."
	}
	return "The agent works; the group has nothing for it yet, for the reason below."
}

func (a *app) showStatus(w io.Writer, s machineStatus) {
	code := green
	if !strings.HasPrefix(s.Verdict, "All is well") {
		code = red
	}
	fmt.Fprintf(w, "%s %s\n\nThe group's view\n", a.paint(a.out, bold, string(s.Machine)), a.paint(a.out, code, s.Verdict))
	if s.Group.Standing != nil {
		marketView(w, *s.Group.Standing, "asked now, at "+s.Group.Coordinator)
	} else {
		pairs(w, "  ", "nobody answers", s.Group.Error)
		if s.Agent != nil && s.Agent.AssignedAt != nil {
			marketView(w, s.Agent.Standing, "as the agent was told "+ago(s.Agent.AssignedAt))
		}
	}
	fmt.Fprintln(w, "\nThe agent's view")
	if s.Agent == nil {
		fmt.Fprintln(w, "  it has not looked at this machine yet")
		return
	}
	showView(w, *s.Agent, s.Runs)
}

func marketView(w io.Writer, s raylink.Standing, how string) {
	reliability := "not known before the first hundred minutes"
	if s.Reliability != nil {
		reliability = fmt.Sprintf("%d.%02d %% of the minutes it was hired for", *s.Reliability/100, *s.Reliability%100)
	}
	proven, leaves, since := "", "", ""
	if s.ProvenAt != nil {
		proven = fmt.Sprintf("%s, %d million int8 multiply-adds a second", ago(s.ProvenAt), s.Rate)
	}
	if s.Leaves != nil {
		leaves = moment(*s.Leaves)
	}
	if !s.Since.IsZero() {
		since = moment(s.Since)
	}
	why := s.Reason.Words()
	if s.Detail != "" {
		why = strings.TrimSpace(why + " (" + s.Detail + ")")
	}
	state := string(s.State)
	if state == "" {
		state = "not told"
	}
	pairs(w, "  ", "state", state, "since", since, "why", why, "what to do", s.Reason.Remedy(), "reliability", reliability,
		"minutes", fmt.Sprintf("%d served, %d lost, %d lease(s) failed", s.Minutes, s.Lost, s.Failures), "proven", proven, "GPUs", provenGPUs(s), "leaves", leaves, "known", how)
}

func showView(w io.Writer, v supplier.View, runs bool) {
	state := "it does not run; this is what it saw " + ago(&v.At)
	if runs {
		state = "it runs, and looked " + ago(&v.At)
	}
	contact, silent, hours, leaves, pause := "none yet", "", "always", "", ""
	if v.HeardAt != nil {
		contact = v.Coordinator + " took its report " + ago(v.HeardAt)
	}
	if v.SilentSince != nil {
		silent = "since " + moment(*v.SilentSince) + ": " + v.Silence
	}
	if v.Owner.Hours != "" {
		hours = v.Owner.Hours + " " + v.Owner.Zone
		if v.Will.Next != nil {
			hours += ", next change " + moment(*v.Will.Next)
		}
	}
	if v.Will.Reason != raylink.ReasonNone {
		pause = v.Will.Reason.Words()
	}
	if v.Will.Leaves != nil {
		leaves = moment(*v.Will.Leaves)
	}
	lines := []string{"agent", state, "contact", contact, "no contact", silent, "containers", v.Engine, "not wiped", v.Unwiped,
		"offers", fmt.Sprintf("%s cores at %s a core, %s of memory, %s", quantity(v.Offer.Resources.CPU), rate(v.Offer.CPUHour), size(v.Offer.Resources.Memory), v.Offer.Arch),
		"devices", devices(v.Host)}
	lines = append(lines, gpuLines(v.GPUs)...)
	pairs(w, "  ", append(lines, "images", strings.Join(v.Images, ", "), "hours", hours, "nothing new", pause, "leaves", leaves, "proofs", proofs(v))...)
	if len(v.Leases) == 0 {
		fmt.Fprintln(w, "  no leases")
		return
	}
	rows := [][]string{{"LEASE", "NODE", "WANTED", "STAGE", "SINCE", "UNSETTLED", "DISK", "INTERNET", "IMAGE", "TROUBLE"}}
	for _, l := range v.Leases {
		fetch, trouble := "", l.Trouble
		if p := l.Progress; p != nil {
			fetch = size(p.Done) + " of " + size(p.Total)
		}
		if l.Failure != nil {
			trouble = l.Failure.Stage + ": " + l.Failure.Reason
		}
		out, disk := "", ""
		if l.Disk > 0 {
			disk = size(l.Disk)
		}
		if l.Egress > 0 {
			out = size(l.Egress)
		}
		if l.EgressTrouble != "" { // a count alone would look as if it worked
			out = strings.TrimSpace(out + " (see TROUBLE)")
			trouble = strings.TrimPrefix(trouble+"; Internet: "+l.EgressTrouble, "; ")
		}
		rows = append(rows, []string{string(l.Lease), l.Node, l.Want, string(l.Stage), ago(l.ReadyAt), fmt.Sprint(l.Unsettled), disk, out, fetch, strings.Join(strings.Fields(trouble), " ")})
	}
	grid(w, "  ", rows...)
	if v.More > 0 {
		fmt.Fprintf(w, "  and %d more\n", v.More)
	}
}

func devices(h *raylink.Host) string {
	if h == nil {
		return ""
	}
	var out []string
	for _, d := range h.Devices {
		text := d.Name
		if d.Fault != "" {
			text += " (" + d.Fault + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func proofs(v supplier.View) string {
	var out []string
	for _, p := range v.Proofs {
		out = append(out, fmt.Sprintf("%s of %s until %s", p.ID, p.Device, moment(p.Deadline)))
	}
	return strings.Join(out, ", ")
}

// gpuLines are what the GPUs do, for pairs. Of what a driver does not tell nothing is said.
func gpuLines(gpus []supplier.ViewGPU) []string {
	var lines []string
	for _, g := range gpus {
		says := []string{g.Name}
		if g.Temperature > 0 {
			says = append(says, fmt.Sprintf("%d °C", g.Temperature))
		}
		if g.Power > 0 && g.PowerLimit > 0 {
			says = append(says, fmt.Sprintf("%d W of %d W", g.Power/1000, g.PowerLimit/1000))
		} else if g.Power > 0 {
			says = append(says, fmt.Sprintf("%d W", g.Power/1000))
		}
		if g.Memory > 0 {
			says = append(says, size(g.Used)+" of "+size(g.Memory)+" in use")
		}
		if len(g.Processes) > 0 {
			says = append(says, strings.TrimSuffix(fmt.Sprintln("computing:", g.Processes), "\n"))
		}
		lines = append(lines, "gpu", fmt.Sprintf("%s, seen %s (%s)", strings.Join(says, ", "), ago(&g.At), g.Device))
	}
	return lines
}

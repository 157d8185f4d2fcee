package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) machine() *cobra.Command {
	return parent("machine", "Look at machines; drain, resume or ban them", "", a.machineList(), a.machineGet(),
		a.machineAction("drain", "Give a machine no new leases; those it has go on", func(s *session) action { return s.DrainMachine }),
		a.machineAction("resume", "Let a drained or banned machine work again", func(s *session) action { return s.ResumeMachine }),
		a.machineAction("ban", "Shut a machine out, and end its leases; admins only", func(s *session) action { return s.BanMachine }),
		a.machineAction("prove", "Have a machine's devices prove themselves now", func(s *session) action { return s.ProveMachine }),
		a.machineAction("appeal", "Have what a machine failed judged again, by another coordinator", func(s *session) action { return s.AppealMachine }))
}

func (a *app) machineList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List machines, what they offer and how much of it is used",
		Example: "  raylink machine list\n  raylink machine list -o yaml", Args: wants()}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		list, err := s.Machines(c.Context())
		if err != nil {
			return err
		}
		return a.show(*format, list, func(w io.Writer) {
			if len(list) == 0 {
				fmt.Fprintln(w, "No machine has joined yet. An admin or a supplier makes a token for one, `raylink join-token create`; the machine then runs `raylink supplier`.")
				return
			}
			rows := [][]string{{"ID", "NAME", "STATE", "RELIABLE", "CPU", "MEMORY", "GPU", "ARCH", "PRICE", "LEASES", "OWNER", "SEEN"}}
			for _, m := range list {
				gpu := ""
				if m.Offer.Resources.GPU > 0 {
					gpu = quantity(m.Used.GPU) + "/" + quantity(m.Offer.Resources.GPU)
					if wait := m.Standing.WaitingGPUs; wait > 0 {
						gpu += fmt.Sprintf(" (%d not to be had)", wait)
					}
				}
				rows = append(rows, []string{string(m.ID), m.Name, stands(m), reliable(m.Standing.Reliability), quantity(m.Used.CPU) + "/" + quantity(m.Offer.Resources.CPU),
					size(m.Used.Memory) + "/" + size(m.Offer.Resources.Memory), gpu, m.Offer.Arch, rate(m.Offer.CPUHour) + " a core", fmt.Sprint(m.Leases),
					string(m.Owner), ago(m.LastSeen)})
			}
			grid(w, "", rows...)
		})
	}
	return c
}

func (a *app) machineGet() *cobra.Command {
	c := &cobra.Command{Use: "get ID", Short: "Show one machine", Example: "  raylink machine get m-abcdefghij", Args: wants("ID"), ValidArgsFunction: a.machineIDs}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		m, err := s.Machine(c.Context(), raylink.MachineID(args[0]))
		if err != nil {
			return err
		}
		return a.show(*format, m, func(w io.Writer) { showMachine(w, m) })
	}
	return c
}

func showMachine(w io.Writer, m wire.Machine) {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(m.Offer.Labels)) {
		labels = append(labels, key+"="+m.Offer.Labels[key])
	}
	gpu := ""
	if m.Offer.Resources.GPU > 0 {
		gpu = fmt.Sprintf("%s of %s used, %s, %s each", quantity(m.Used.GPU), quantity(m.Offer.Resources.GPU), m.Offer.Accelerator, rate(m.Offer.GPUHour))
	}
	pairs(w, "", "machine", string(m.ID)+" "+m.Name, "state", m.State, "owner", string(m.Owner), "arch", m.Offer.Arch,
		"cpu", fmt.Sprintf("%s of %s used, %s a core", quantity(m.Used.CPU), quantity(m.Offer.Resources.CPU), rate(m.Offer.CPUHour)),
		"memory", size(m.Used.Memory)+" of "+size(m.Offer.Resources.Memory)+" used", "gpu", gpu, "labels", strings.Join(labels, ", "),
		"leases", fmt.Sprint(m.Leases), "joined", moment(m.JoinedAt), "seen", ago(m.LastSeen))
	showStanding(w, m)
}

// action is one of the client's three verbs on a machine.
type action func(context.Context, raylink.MachineID, wire.MachineAction) (wire.Machine, error)

func (a *app) machineAction(verb, text string, of func(*session) action) *cobra.Command {
	var reason, notice string
	c := &cobra.Command{Use: verb + " ID", Short: text, Example: fmt.Sprintf("  raylink machine %s m-abcdefghij --reason 'new disk'", verb),
		Args: wants("ID"), ValidArgsFunction: a.machineIDs}
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at it later")
	if verb == "drain" {
		c.Flags().StringVar(&notice, "notice", "", "after how long its owner takes it back, whatever runs: 90m, 24h; none lets leases run on")
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		m, err := of(s)(c.Context(), raylink.MachineID(args[0]), wire.MachineAction{Reason: reason, Notice: notice})
		if err != nil {
			return err
		}
		return a.show(*format, m, func(w io.Writer) { fmt.Fprintf(w, "%s %s is %s, with %d lease(s).\n", m.ID, m.Name, m.State, m.Leases) })
	}
	return c
}

// machineIDs completes the ids of machines.
func (a *app) machineIDs(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := a.open()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()
	list, err := s.Machines(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, m := range list {
		ids = append(ids, string(m.ID)+"\t"+m.Name)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

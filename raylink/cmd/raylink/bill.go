package main

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"raylink/raylink/wire"
)

func (a *app) bill() *cobra.Command {
	var minutes, deposits bool
	var file string
	c := &cobra.Command{
		Use:   "bill CLUSTER",
		Short: "Show what a cluster cost, with the evidence",
		Long: `Bill shows each node's minutes, charged and waived, their price and the fee on top. A minute is charged only if both the
machine's agent and a gateway saw the node alive for at least 45 of its 60 seconds; --minutes shows what they saw.
A part of a minute at the end is free.

--file writes the bill with all signatures and the group's receipt, as raylink verify FILE checks it without the network.
--deposits adds what you ever paid in on the chain, for raylink verify FILE --chain: leave it away in a bill that others are to see.`,
		Example: "  raylink bill first-job\n  raylink bill first-job --minutes\n  raylink bill first-job --file bill.jsonl && raylink verify bill.jsonl\n  raylink bill c-abcdefghij -o json",
		Args:    wants("CLUSTER"), ValidArgsFunction: a.clusterNames,
	}
	c.Flags().BoolVar(&minutes, "minutes", false, "each minute with its evidence")
	c.Flags().StringVar(&file, "file", "", "write the bill with its signatures into a file, for raylink verify")
	c.Flags().BoolVar(&deposits, "deposits", false, "with --file: your deposits as well")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if deposits && file == "" {
			return usage(c, "--deposits goes with --file")
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		if file != "" {
			return exportTo(file, func(w io.Writer) error { return s.BillFile(c.Context(), args[0], deposits, w) })
		}
		b, err := s.Bill(c.Context(), args[0])
		if err != nil {
			return err
		}
		return a.show(*format, b, func(w io.Writer) { a.showBill(w, b, minutes) })
	}
	return c
}

func (a *app) showBill(w io.Writer, b wire.Bill, minutes bool) {
	state := "so far"
	if b.Final {
		state = "final"
	}
	fmt.Fprintf(w, "Bill of %s %s, %s to %s (%s)\n\n", b.Cluster, a.paint(a.out, bold, b.Name), moment(b.From), moment(b.To), state)
	rows := [][]string{{"NODE", "MACHINE", "PRICE", "CHARGED", "WAIVED", "USE", "FEE", "EVIDENCE"}}
	for _, l := range b.Lines {
		rows = append(rows, []string{l.Node, string(l.Machine), rate(l.Rate), fmt.Sprintf("%d min", l.Charged), fmt.Sprintf("%d min", l.Waived),
			amount(l.Use), amount(l.Fee), evidence(l.Minutes)})
	}
	grid(w, "  ", rows...)
	fmt.Fprintln(w)
	if minutes {
		for _, l := range b.Lines {
			showMinutes(w, l)
		}
	}
	pairs(w, "  ", "use", amount(b.Use), "fee "+b.FeePercent+" %", amount(b.Fee), "total", a.paint(a.out, bold, amount(b.Total)),
		"paid", amount(b.Paid)+" from the purse "+b.Pay, "held", amount(b.Held), "balance before", amount(b.BalanceBefore), "balance now", amount(b.BalanceNow))
}

// evidence sums up what both sides saw, and why minutes were waived.
func evidence(minutes []wire.BillMinute) string {
	if len(minutes) == 0 {
		return ""
	}
	agent, gateway, reasons := 0, 0, map[string]int{}
	for _, m := range minutes {
		agent += m.AgentSeconds
		gateway += m.GatewaySeconds
		if m.Outcome == "waived" {
			reasons[m.Reason]++
		}
	}
	text := fmt.Sprintf("agent %d s, gateway %d s of %d", agent, gateway, 60*len(minutes))
	var why []string
	for reason, n := range reasons {
		why = append(why, fmt.Sprintf("%d waived: %s", n, reason))
	}
	sort.Strings(why)
	return strings.Join(append([]string{text}, why...), "; ")
}

func showMinutes(w io.Writer, l wire.BillLine) {
	fmt.Fprintf(w, "  %s (%s on %s)\n", l.Node, l.Lease, l.Machine)
	rows := [][]string{{"MINUTE", "OUTCOME", "AGENT", "GATEWAY", "SEEN BY", "USE", "FEE", "ENTRY", "REASON"}}
	for _, m := range l.Minutes {
		rows = append(rows, []string{fmt.Sprint(m.Ordinal), m.Outcome, fmt.Sprintf("%d s", m.AgentSeconds), fmt.Sprintf("%d s", m.GatewaySeconds),
			m.Gateway, amount(m.Amount), amount(m.Fee), fmt.Sprint(m.Entry), m.Reason})
	}
	grid(w, "    ", rows...)
	fmt.Fprintln(w)
}

package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"raylink/raylink/wire"
)

func (a *app) bill() *cobra.Command {
	var minutes, deposits bool
	var file, form string
	c := &cobra.Command{
		Use:   "bill CLUSTER",
		Short: "Show what a cluster cost, with the evidence",
		Long: `Bill shows each node's minutes, charged and waived, their price and the fee on top. A minute is charged only if both the
machine's agent and a gateway saw the node alive for at least 45 of its 60 seconds; --minutes shows what they saw.
A part of a minute at the end is free.

--file writes the bill with all signatures and the group's receipt, as raylink verify FILE checks it without the network. --format csv or hledger writes the
same entries of the journal for spreadsheets and for hledger: one posting a line, so that anybody can sum what was held, paid and given back.
--deposits adds what you ever paid in on the chain, for raylink verify FILE --chain: leave it away in a bill that others are to see.`,
		Example: "  raylink bill first-job\n  raylink bill first-job --minutes\n  raylink bill first-job --file bill.jsonl && raylink verify bill.jsonl\n" +
			"  raylink bill first-job --format csv --file bill.csv\n  raylink bill first-job --format hledger | hledger -f - balance\n  raylink bill c-abcdefghij -o json",
		Args: wants("CLUSTER"), ValidArgsFunction: a.clusterNames,
	}
	c.Flags().BoolVar(&minutes, "minutes", false, "each minute with its evidence")
	c.Flags().StringVar(&file, "file", "", "write the bill with its signatures into a file, for raylink verify")
	formFlag(c, &form)
	c.Flags().BoolVar(&deposits, "deposits", false, "with --file or --format: your deposits as well")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		write, err := writer(c, form)
		if err != nil {
			return err
		}
		written := file != "" || c.Flags().Changed("format")
		if written && (minutes || c.Flags().Changed("output")) {
			return usage(c, "--file and --format write every minute as it stands in the journal: they go with neither --minutes nor -o")
		}
		if deposits && !written {
			return usage(c, "--deposits goes with --file or --format")
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		if written {
			bill := func(ctx context.Context, w io.Writer) error { return s.BillFile(ctx, args[0], deposits, w) }
			return a.export(file, func(w io.Writer) error { return write(c.Context(), bill, w) })
		}
		b, err := s.Bill(c.Context(), args[0])
		if err != nil {
			return err
		}
		return a.show(*format, b, func(w io.Writer) { a.showBill(w, b, minutes) })
	}
	return c
}

// formFlag says in which form an export of one's own is written.
func formFlag(c *cobra.Command, form *string) {
	c.Flags().StringVar(form, "format", "jsonl", "what is written: jsonl, csv or hledger; without --file to standard output")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"jsonl", "csv", "hledger"}, cobra.ShellCompDirectiveNoFileComp))
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
		"paid", amount(b.Paid)+" from the purse "+b.Pay, "at most", bound(b.Maximum), "held", amount(b.Held), "balance before", amount(b.BalanceBefore), "balance now", amount(b.BalanceNow))
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

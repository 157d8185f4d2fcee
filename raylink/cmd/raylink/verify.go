package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"raylink/billing/verify"
	"raylink/raylink"
)

func (a *app) verify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported journal, without the network",
		Long: `Verify checks an exported journal by itself: the hash chain, the signatures of agents, gateways and the checkpoint, that every
entry sums to zero, that no balance went below zero, and that each minute of each lease was charged or waived exactly
once, for the price and by the evidence that stand in the journal.`,
		Example: "  raylink verify journal.jsonl\n  raylink journal export | raylink verify -", Args: wants("FILE"),
	}
	format := outputFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		from := a.in
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("`raylink journal export --file FILE` writes one")
			}
			defer f.Close()
			from = f
		}
		report, err := verify.Verify(from)
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s cannot be verified: %v", args[0], err).WithHint("is it a file of `raylink journal export`?")
		}
		if err := a.show(*format, report, func(w io.Writer) { a.showReport(w, report) }); err != nil {
			return err
		}
		if !report.OK() {
			return raylink.Errorf(raylink.CodeConflict, "%s does not hold: %d problem(s)", args[0], len(report.Problems)+report.MoreProblems).
				WithHint("export it again; if it stays so, show the file to the network's admins")
		}
		return nil
	}
	return c
}

func (a *app) showReport(w io.Writer, r verify.Report) {
	fmt.Fprintf(w, "%d entries, exported %s, last hash %s\n\n", r.Entries, moment(r.ExportedAt), short(r.Hash))
	if len(r.Leases) > 0 {
		rows := [][]string{{"LEASE", "NODE", "MACHINE", "PRICE", "CHARGED", "WAIVED", "USE", "FEE"}}
		for _, l := range r.Leases {
			rows = append(rows, []string{l.Lease, l.Node, l.Machine, rate(l.Rate), fmt.Sprintf("%d min", l.Charged), fmt.Sprintf("%d min", l.Waived), amount(l.Use), amount(l.Fee)})
		}
		grid(w, "  ", rows...)
		fmt.Fprintln(w)
	}
	for _, sum := range r.Sums {
		fmt.Fprintf(w, "  sum of all balances: %s\n", amount(sum))
	}
	if r.OK() {
		fmt.Fprintln(w, "  "+a.paint(a.out, green, "verified:")+" the hash chain, the signatures and the sums hold; every minute was charged or waived once")
		return
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s %s\n", a.paint(a.out, red, "wrong:"), p)
	}
	if r.MoreProblems > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.MoreProblems)
	}
}

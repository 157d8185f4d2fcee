package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/invoice"
	"raylink/billing/invoice/pdf"
	"raylink/raylink/wire"
)

type invoiceOptions struct{ account, month, from, to, file, table string }

func (a *app) invoice() *cobra.Command {
	var o invoiceOptions
	c := &cobra.Command{
		Use:   "invoice [CLUSTER]",
		Short: "Show or print an invoice of a period, or of one cluster",
		Long: `Invoice sums up what you have used and paid: each lease with its minutes, price and fee, and how your balances changed. It is made from the
journal alone, and names the entries that it rests on. Times are UTC; --to is the first moment after the period. In a CSV the column amount, summed for one
asset, is the balance after the period.`,
		Example: "  raylink invoice --month 2026-11 --pdf november.pdf\n  raylink invoice --month 2026-11 --csv november.csv\n  raylink invoice --from 2026-11-01 --to 2026-11-15 -o json\n  raylink invoice first-job",
		Args:    wants("[CLUSTER]"), ValidArgsFunction: a.clusterNames,
	}
	c.Flags().StringVar(&o.month, "month", "", "one month, such as 2026-11")
	c.Flags().StringVar(&o.from, "from", "", "first day, such as 2026-11-01, or moment, such as 2026-11-01T12:00:00Z")
	c.Flags().StringVar(&o.to, "to", "", "first day or moment after the period (default: now)")
	c.Flags().StringVar(&o.file, "pdf", "", "write it as PDF to this file; - is standard output")
	c.Flags().StringVar(&o.table, "csv", "", "write it as CSV to this file; - is standard output")
	c.Flags().StringVar(&o.account, "account", "", "another account's, by its id or name; admins only")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.request(c, args)
		if err != nil {
			return err
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		if r.Account, err = s.account(c.Context(), o.account); err != nil {
			return err
		}
		made, err := s.Invoice(c.Context(), r)
		if err != nil {
			return err
		}
		switch file := cmp.Or(o.file, o.table); {
		case file == "-":
			return o.write(a.out, made)
		case file != "":
			if err := exportTo(file, func(w io.Writer) error { return o.write(w, made) }); err != nil {
				return err
			}
			if *format == "table" {
				fmt.Fprintf(a.out, "Invoice %s is in %s.\n", made.Number, file)
				return nil
			}
		}
		return a.show(*format, made, func(w io.Writer) { a.showInvoice(w, made) })
	}
	return c
}

// write is the invoice in the form that the flags ask for.
func (o invoiceOptions) write(w io.Writer, made invoice.Invoice) error {
	if o.table != "" {
		return invoice.CSV(w, made)
	}
	return pdf.Write(w, made)
}

// request is what the flags ask for.
func (o invoiceOptions) request(c *cobra.Command, args []string) (wire.InvoiceRequest, error) {
	var r wire.InvoiceRequest
	if len(args) > 0 {
		r.Cluster = args[0]
	}
	if o.file != "" && o.table != "" {
		return r, usage(c, "--pdf does not go with --csv: one file at a time")
	}
	if o.month != "" {
		if o.from != "" || o.to != "" {
			return r, usage(c, "--month goes with neither --from nor --to")
		}
		first, err := time.Parse("2006-01", o.month)
		if err != nil {
			return r, usage(c, "--month is such as 2026-11, not %q", o.month)
		}
		r.From, r.To = first, first.AddDate(0, 1, 0)
		return r, nil
	}
	var err error
	if r.From, err = day(c, "--from", o.from); err != nil {
		return r, err
	}
	if r.To, err = day(c, "--to", o.to); err != nil {
		return r, err
	}
	if !r.To.IsZero() && !r.From.Before(r.To) {
		return r, usage(c, "the period ends at %s, before it begins", o.to)
	}
	return r, nil
}

// day reads a day or a moment; none is zero.
func day(c *cobra.Command, flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, usage(c, "%s is a day such as 2026-11-01 or a moment such as 2026-11-01T12:00:00Z, not %q", flag, text)
}

func (a *app) showInvoice(w io.Writer, x invoice.Invoice) {
	from := "the beginning"
	if !x.From.IsZero() {
		from = moment(x.From)
	}
	fmt.Fprintf(w, "Invoice %s\n\n", a.paint(a.out, bold, x.Number))
	pairs(w, "  ", "from", x.Issuer.Name, "to", x.Customer.Name+" ("+x.Account+")", "period", from+" to "+moment(x.To), "issued", moment(x.IssuedAt))
	if len(x.Lines) > 0 {
		rows := [][]string{{"CLUSTER", "NODE", "MACHINE", "PRICE", "CHARGED", "WAIVED", "USE", "FEE", "PAID", "PURSE"}}
		for _, l := range x.Lines {
			name := l.ClusterName
			if name == "" {
				name = l.Cluster
			}
			rows = append(rows, []string{name, l.Node, l.Machine, rate(l.Rate), fmt.Sprintf("%d min", l.Charged), fmt.Sprintf("%d min", l.Waived), amount(l.Use), amount(l.Fee),
				a.paint(a.out, bold, amount(l.Paid)), string(l.Purse)})
		}
		fmt.Fprintln(w)
		grid(w, "  ", rows...)
	}
	fmt.Fprintln(w)
	for _, t := range x.Totals {
		pairs(w, "  ", "use", amount(t.Use), "fee", amount(t.Fee), "paid", a.paint(a.out, bold, amount(t.Paid)))
	}
	for _, b := range x.Balances {
		fmt.Fprintf(w, "\n  Balance in %s\n", b.Before.Asset)
		names := []string{"before", amount(b.Before)}
		for _, m := range b.Movements {
			names = append(names, fmt.Sprintf("%s (%d)", m.Kind, m.Entries), signed(amount(m.Amount)))
		}
		pairs(w, "    ", append(names, "after", amount(b.After))...)
	}
	if x.Journal.Last == 0 {
		fmt.Fprintln(w, "\n  Nothing stands in the journal for this period.")
		return
	}
	fmt.Fprintf(w, "\n  From entries %d to %d of the journal, hash %s\n", x.Journal.First, x.Journal.Last, short(x.Journal.Hash))
}

// signed puts a plus before what is not negative.
func signed(text string) string {
	if strings.HasPrefix(text, "-") {
		return text
	}
	return "+" + text
}

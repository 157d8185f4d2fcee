package main

import (
	"fmt"
	"io"

	"raylink/billing/verify"
)

// showLeases is a line for each lease: for whoever pays with what it cost him, for a supplier with what it cost the other and him.
func showLeases(w io.Writer, r verify.Report) {
	if len(r.Leases) == 0 {
		return
	}
	rows := [][]string{{"LEASE", "NODE", "MACHINE", "PRICE", "CHARGED", "WAIVED", "USE", "FEE", "PAID", "FROM"}}
	if r.Supplier != "" {
		rows = [][]string{{"LEASE", "NODE", "MACHINE", "PRICE", "CHARGED", "WAIVED", "USE", "SUPPLIER'S FEE", "FROM"}}
	}
	for _, l := range r.Leases {
		row := []string{l.Lease, l.Node, l.Machine, rate(l.Rate), fmt.Sprintf("%d min", l.Charged), fmt.Sprintf("%d min", l.Waived), amount(l.Use)}
		if r.Supplier != "" {
			row = append(row, amount(l.SupplierFee), l.Purse)
		} else {
			row = append(row, amount(l.Fee), amount(l.Paid), l.Purse)
		}
		rows = append(rows, row)
	}
	grid(w, "  ", rows...)
	fmt.Fprintln(w)
}

// showEarned is where a supplier's earnings are now.
func showEarned(w io.Writer, r verify.Report) {
	rows := [][]string{{"ACCOUNT", "HOLDS"}}
	for _, account := range r.Accounts {
		rows = append(rows, []string{account.Name, amount(account.Balance)})
	}
	for _, paid := range r.PaidOut {
		rows = append(rows, []string{"paid out", amount(paid)})
	}
	if len(rows) > 1 {
		grid(w, "  ", rows...)
		fmt.Fprintln(w)
	}
}

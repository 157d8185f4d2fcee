// Raylink is the one binary: for the people who rent, who supply and who run the network. Each verb has a file of its own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(realMain())
}

func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	return a.run(ctx, os.Args[1:])
}

// verbs is everything that raylink can do, under the headings of its help: each verb's constructor stands in one of these lines.
func (a *app) verbs() []heading {
	return []heading{
		{"Rent a cluster", []*cobra.Command{a.login(), a.quote(), a.cluster(), a.connect(), a.logs(), a.bill(), a.balance()}},
		{"Pay and be paid", []*cobra.Command{a.topup(), a.withdraw(), a.wallet(), a.budget(), a.invoice(), a.price(), a.earnings(), a.settlement(), a.payout()}},
		{"Supply machines", []*cobra.Command{a.supplier(), a.machine(), a.challenge(), a.joinToken(), a.dataplane(), a.sandbox()}},
		{"Run a network", []*cobra.Command{a.dev(), a.localchain(), a.coordinator(), a.gateway(), a.signer(), a.admin(), a.token(), a.journal(), a.verify(), a.image()}},
		{"About raylink", []*cobra.Command{a.version()}},
	}
}

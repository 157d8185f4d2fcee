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

// verbs is everything that raylink can do, under the headings of its help.
func (a *app) verbs() []heading {
	return []heading{
		{"Rent a cluster", []*cobra.Command{a.login(), a.quote(), a.cluster(), a.connect(), a.logs(), a.bill(), a.balance()}},
		{"Supply machines", []*cobra.Command{a.supplier(), a.machine(), a.joinToken(), a.dataplane()}},
		{"Run a network", []*cobra.Command{a.dev(), a.coordinator(), a.gateway(), a.admin(), a.token(), a.journal(), a.verify()}},
		{"About raylink", []*cobra.Command{a.version()}},
	}
}

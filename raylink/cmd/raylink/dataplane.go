package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"raylink/supplier/dataplane"
)

// exit is an error with an exit code of its own, which the caller of a hidden verb reads. Without an error nothing is shown.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return fmt.Sprint(e.err) }
func (e *exit) Unwrap() error { return e.err }

func (a *app) dataplane() *cobra.Command {
	var path, level string
	c := &cobra.Command{
		Use:    "dataplane --config FILE",
		Short:  "Carry the overlay of one lease; the agent starts it, with the private key on standard input",
		Hidden: true,
		Args:   wants(),
	}
	c.Flags().StringVar(&path, "config", "", "the configuration that the agent wrote")
	c.Flags().StringVar(&level, "log-level", "info", "how much to log")
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := a.logger(level)
		if err != nil {
			return usage(c, "%v", err)
		}
		config, err := dataplane.ReadConfig(path)
		if err != nil {
			return err
		}
		if err := dataplane.Run(c.Context(), config, a.in, log); err != nil {
			return &exit{code: dataplane.ExitCode(err), err: err}
		}
		return nil
	}
	return c
}

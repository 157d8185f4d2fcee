package main

import (
	"github.com/spf13/cobra"

	"raylink/supplier/runtime/process"
)

func (a *app) sandbox() *cobra.Command {
	c := &cobra.Command{
		Use:    process.Verb + " STAGE DIR",
		Short:  "Be one of the processes that a lease is made of without Docker; the agent starts it",
		Hidden: true,
		Args:   wants("STAGE", "DIR"),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		code, err := process.Stage(c.Context(), args[0], args[1])
		if err != nil || code != 0 {
			return &exit{code: code, err: err}
		}
		return nil
	}
	return c
}

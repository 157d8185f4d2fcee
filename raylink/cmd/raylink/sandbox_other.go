//go:build !linux

package main

import (
	"github.com/spf13/cobra"

	"raylink/raylink"
)

// sandbox exists on Linux only.
func (a *app) sandbox() *cobra.Command {
	return &cobra.Command{Use: "sandbox STAGE DIR", Hidden: true, Args: wants("STAGE", "DIR"), RunE: func(*cobra.Command, []string) error {
		return raylink.Errorf(raylink.CodeUnsupported, "leases run on Linux only")
	}}
}

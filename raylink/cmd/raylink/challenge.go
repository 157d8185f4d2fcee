package main

import "github.com/spf13/cobra"

func (a *app) challenge() *cobra.Command {
	return parent("challenge", "Proofs of compute: what was proven, and the transcripts", "", a.challengeList(), a.challengeShow(), a.challengeExport(), a.challengeVerify())
}

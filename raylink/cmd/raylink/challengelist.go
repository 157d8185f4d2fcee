package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) challengeList() *cobra.Command {
	var machine string
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the last proofs of your machines, and under your leases",
		Example: "  raylink challenge list\n  raylink challenge list --machine m-abcdefghij -o json", Args: wants()}
	c.Flags().StringVar(&machine, "machine", "", "only of this machine: its id or its name")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) ([]wire.Proof, error) {
		return s.Proofs(c.Context(), machine)
	}, func(w io.Writer, list []wire.Proof) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No proof yet. The first one of a machine comes within a minute after it has joined, while it is idle.")
			return
		}
		rows := [][]string{{"PROOF", "MACHINE", "DEVICE", "WHY", "STATE", "TOOK", "RATE", "JUDGE", "OPENED", "DETAIL"}}
		for _, p := range list {
			rows = append(rows, []string{string(p.ID), string(p.Machine), p.Device, p.Why, p.State, millis(p.Millis), multiplyAdds(p.Rate), p.Judge, ago(&p.OpenedAt), p.Detail})
		}
		grid(w, "", rows...)
	})
}

func (a *app) challengeShow() *cobra.Command {
	c := &cobra.Command{Use: "show PROOF", Short: "Show one proof", Example: "  raylink challenge show p-abcdefghij", Args: wants("PROOF"), ValidArgsFunction: a.proofIDs}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Proof, error) {
		return s.Proof(c.Context(), raylink.ProofID(args[0]))
	}, func(w io.Writer, p wire.Proof) {
		begun, ended := "", ""
		if p.BegunAt != nil {
			begun = moment(*p.BegunAt)
		}
		if p.EndedAt != nil {
			ended = moment(*p.EndedAt)
		}
		pairs(w, "", "proof", string(p.ID), "machine", string(p.Machine), "device", p.Device, "why", p.Why, "state", p.State, "detail", p.Detail, "lease", string(p.Lease),
			"opened", moment(p.OpenedAt), "begun", begun, "ended", ended, "products", millis(p.Millis), "walk", millis(p.WalkMs), "rate", multiplyAdds(p.Rate),
			"judge", p.Judge, "transcript", p.SHA256)
	})
}

func (a *app) challengeExport() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "export PROOF",
		Short: "Fetch the transcript of a proof from its judge",
		Long: `Export writes all that was said in a proof: the task, the seed, the commitment, what was opened. Anyone can judge it again from that alone. Its
SHA-256 is compared with the one in the log.`,
		Example: "  raylink challenge export p-abcdefghij --file proof.json", Args: wants("PROOF"), ValidArgsFunction: a.proofIDs,
	}
	c.Flags().StringVar(&file, "file", "", "where to write it; standard output if none")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		text, err := s.Transcript(c.Context(), raylink.ProofID(args[0]))
		if err != nil {
			return err
		}
		if file == "" {
			_, err = a.out.Write(text)
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("writing the transcript: %w", err)
		}
		fmt.Fprintf(a.out, "%s: %d bytes, as it was judged.\n", file, len(text))
		return nil
	}
	return c
}

// proofIDs completes the ids of proofs.
func (a *app) proofIDs(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := a.open()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()
	list, err := s.Proofs(c.Context(), "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, p := range list {
		ids = append(ids, string(p.ID)+"\t"+p.Device+" "+p.State)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// millis is a time of a proof; empty for none.
func millis(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%03d s", n/1000, n%1000)
}

// multiplyAdds is a rate, from millions in a second; empty for none.
func multiplyAdds(millions int64) string {
	if millions == 0 {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%d.%d", millions/1000, millions%1000/100), ".0") + " G multiply-adds/s"
}

func (a *app) clusterProve() *cobra.Command {
	c := &cobra.Command{Use: "prove NAME", Short: "Have the devices under a cluster's leases prove themselves, now",
		Long:    "Prove opens a short proof of each device that the cluster's nodes run on, as far as the device's hourly budget goes (20 s at most).",
		Example: "  raylink cluster prove first-job", Args: wants("NAME"), ValidArgsFunction: a.clusterNames}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Proved, error) {
		return s.ProveCluster(c.Context(), args[0])
	}, func(w io.Writer, p wire.Proved) {
		for _, one := range p.Proofs {
			fmt.Fprintf(w, "%s: %s of machine %s. See what comes of it with `raylink challenge show %s`.\n", one.ID, one.Device, one.Machine, one.ID)
		}
		for _, why := range p.Refused {
			fmt.Fprintln(w, "not now: "+why)
		}
	})
}

// adminProofs shows or changes what has to be proven.
func (a *app) adminProofs() *cobra.Command {
	var p wire.ProofPolicy
	var openings, rounds int
	var lottery int64
	var memory bool
	c := &cobra.Command{
		Use:   "proofs [on|off]",
		Short: "Show or set what machines have to prove, and how often",
		Long: `Proofs shows the policy of proofs of compute, or changes what is given. With it on, machines are challenged while they are idle, and only those whose
processor (and GPUs, where a node wants some) are proven get new leases.`,
		Example: "  raylink admin proofs\n  raylink admin proofs on\n  raylink admin proofs --least 1h --most 6h --lottery 50", ValidArgs: []string{"on", "off"},
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
	}
	for _, f := range []struct {
		into       *string
		name, help string
	}{{&p.Least, "least", "a device that is idle is proven again after at least so long,"}, {&p.Most, "most", "and at most so long: when, is drawn"},
		{&p.Work, "work", "what the products of a proof take"}, {&p.Begin, "begin", "how long a device has to begin"}, {&p.Compute, "compute", "from there to commit"},
		{&p.Walk, "walk", "from there to have walked through its memory"}, {&p.Answer, "answer", "from there to answer"},
		{&p.Budget, "budget", "of a device's time in any hour; 20s at most"}, {&p.Retry, "retry", "between two tries, at least"}, {&p.Appeals, "appeals", "between two appeals, at least"}} {
		c.Flags().StringVar(f.into, f.name, "", f.help)
	}
	c.Flags().IntVar(&openings, "openings", 0, "tiles that are opened")
	c.Flags().IntVar(&rounds, "rounds", 0, "slow rounds in a row, after which a device is slow")
	c.Flags().Int64Var(&lottery, "lottery", 0, "of a thousand hours under lease, how many draw a proof")
	c.Flags().BoolVar(&memory, "memory", false, "memory is shown too, every other time")
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.ProofPolicy, error) {
		if len(args) == 1 {
			on := args[0] == "on"
			p.Required = &on
		}
		if c.Flags().Changed("openings") {
			p.Openings = &openings
		}
		if c.Flags().Changed("rounds") {
			p.Rounds = &rounds
		}
		if c.Flags().Changed("lottery") {
			p.Lottery = &lottery
		}
		if c.Flags().Changed("memory") {
			p.Memory = &memory
		}
		if p == (wire.ProofPolicy{}) {
			return s.ProofPolicy(c.Context())
		}
		return s.SetProofPolicy(c.Context(), p)
	}, showProofPolicy)
}

func showProofPolicy(w io.Writer, p wire.ProofPolicy) {
	if p.Required == nil || !*p.Required {
		fmt.Fprintln(w, "Nothing has to be proven: machines are placed on as they are. `raylink admin proofs on` changes that.")
		return
	}
	number := func(n *int) string {
		if n == nil {
			return ""
		}
		return fmt.Sprint(*n)
	}
	lottery, memory := "none", "no"
	if p.Lottery != nil && *p.Lottery > 0 {
		lottery = fmt.Sprintf("%d of 1000 hours", *p.Lottery)
	}
	if p.Memory != nil && *p.Memory {
		memory = "every other time"
	}
	pairs(w, "", "required", "only proven machines get leases", "again", p.Least+" to "+p.Most, "a proof", p.Work+", "+number(p.Openings)+" openings", "memory", memory,
		"under lease", lottery, "slow", "after "+number(p.Rounds)+" rounds", "deadlines", fmt.Sprintf("begin %s, commit %s, walk %s, answer %s", p.Begin, p.Compute, p.Walk, p.Answer),
		"budget", p.Budget+" in any hour", "tries", "at least "+p.Retry+" apart, appeals "+p.Appeals)
}

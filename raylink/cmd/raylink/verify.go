package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/settle/audit"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/verify"
	"raylink/raylink"
)

// chainLimit bounds a comparison with the chain: a public node answers a few questions a second.
const chainLimit = time.Hour

// verified is what `raylink verify` found: in the file itself, and where it was asked for, on the chain.
type verified struct {
	verify.Report
	OnChain *audit.Report `json:"on_chain,omitempty"`
}

func (v verified) problems() int {
	n := len(v.Problems) + v.MoreProblems
	if v.OnChain != nil {
		n += len(v.OnChain.Problems) + v.OnChain.MoreProblems
	}
	return n
}

func (a *app) verify() *cobra.Command {
	var onChain bool
	var rpc string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported journal or bill, without the network",
		Long: `Verify checks an exported journal, or one cluster's bill, by itself: the hash chain, the signatures of agents, gateways and coordinators under each minute, that of the
checkpoint, that every entry sums to zero, that no balance went below zero, and that each minute of each lease was charged or waived exactly
once, for the price and by the evidence that stand in it. A bill is the part of the journal that its payer may see; that it leaves no lease out
rests on the group's signature.

Earnings are the part that a supplier may see, and are checked as a bill is.

--chain also asks a Solana node of your choice: whether every deposit, payout, swap and burn of the journal did on the chain what the journal says,
whether those who were paid got it, whether checkpoints stand there, and whether nothing moved on the treasury's token accounts that the journal
does not say. Of a bill or of earnings it asks what stands in them: whether payouts reached their wallets, and whether the journal that they were taken
from is fixed by a checkpoint on the chain. Whose node it is does not matter to us; that it is honest should matter to you.`,
		Example: "  raylink bill first-job --file bill.jsonl && raylink verify bill.jsonl\n  raylink earnings --file earnings.jsonl && raylink verify earnings.jsonl\n  raylink verify journal.jsonl\n  raylink journal export | raylink verify -\n  raylink verify journal.jsonl --chain --rpc http://127.0.0.1:8899", Args: wants("FILE"),
	}
	c.Flags().BoolVar(&onChain, "chain", false, "compare it with the chain as well")
	c.Flags().StringVar(&rpc, "rpc", "", "the node to ask (default: a public one of the journal's chain) ["+rpcVariable+", which others on this machine cannot see]")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if rpc != "" && !onChain {
			return usage(c, "--rpc goes with --chain")
		}
		from := a.in
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("`raylink journal export --file FILE` writes one")
			}
			defer f.Close()
			from = f
		}
		var found verified
		var err error
		books := audit.NewBooks()
		if onChain {
			from = io.TeeReader(from, books)
		}
		if found.Report, err = verify.VerifyWith(from, shared); err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s cannot be verified: %v", args[0], err).WithHint("is it a file of `raylink journal export`, `raylink bill --file` or `raylink earnings --file`?")
		}
		if onChain && found.OK() {
			if found.OnChain, err = compare(c.Context(), books, cmp.Or(rpc, a.getenv(rpcVariable))); err != nil {
				return err
			}
		}
		if err := a.show(*format, found, func(w io.Writer) { a.showVerified(w, found, onChain) }); err != nil {
			return err
		}
		if n := found.problems(); n > 0 {
			return raylink.Errorf(raylink.CodeConflict, "%s does not hold: %d problem(s)", args[0], n).
				WithHint("export it again; if it stays so, show the file to the network's admins")
		}
		return nil
	}
	return c
}

// compare asks the node about everything in the books.
func compare(ctx context.Context, books *audit.Books, url string) (*audit.Report, error) {
	known, genesis := "", ""
	for _, p := range []solana.Preset{solana.Mainnet(), solana.Devnet()} {
		if p.Name == books.Chain() {
			known, genesis = p.URL, p.Genesis
		}
	}
	if url = cmp.Or(url, known); url == "" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "which node? The journal's chain is %q, and no public node of it is known", books.Chain()).WithHint("--rpc names one")
	}
	ctx, cancel := context.WithTimeout(ctx, chainLimit)
	defer cancel()
	node, err := solana.New(solana.Config{URL: url, Timeout: rpcTimeout})
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "--rpc: %v", err).WithHint("it is a URL such as http://127.0.0.1:8899")
	}
	defer node.Close()
	if genesis != "" {
		if err := node.CheckGenesis(ctx, genesis); err != nil {
			return nil, raylink.Errorf(raylink.CodeConflict, "the node is not one of %s: %v", books.Chain(), err).WithHint("--rpc names another")
		}
	}
	report, err := books.Compare(ctx, audit.Node{Reader: node, Builder: solana.NewBuilder(books.Mints()...)})
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeUnavailable, "the journal cannot be compared with the chain: %v", err).WithHint("try again, or another node by --rpc")
	}
	return &report, nil
}

func (a *app) showVerified(w io.Writer, v verified, onChain bool) {
	a.showReport(w, v.Report)
	switch {
	case v.OnChain != nil:
		fmt.Fprintln(w)
		a.showAudit(w, *v.OnChain, v.Cluster+v.Supplier != "")
	case onChain:
		fmt.Fprintln(w, "  the chain was not asked: the file does not hold by itself")
	}
}

// showAudit is what the chain said; of a part of the journal there is less to ask.
func (a *app) showAudit(w io.Writer, r audit.Report, part bool) {
	rows := [][]string{{"ASSET", "TOKEN ACCOUNT", "BY THE JOURNAL", "BY ITS TRANSACTIONS", "HOLDS"}}
	for _, x := range r.Accounts {
		rows = append(rows, []string{string(x.Asset), string(x.Account), amount(x.Journal), amount(x.Effects), amount(x.Balance)})
	}
	if len(r.Accounts) > 0 {
		grid(w, "  ", rows...)
		fmt.Fprintln(w)
	}
	for _, line := range r.Later {
		fmt.Fprintf(w, "  after the export: %s\n", line)
	}
	for _, line := range r.Remarks {
		fmt.Fprintf(w, "  note: %s\n", line)
	}
	words := fmt.Sprintf("chain and journal agree: %d deposit(s), %d payout(s) to %d recipient(s), %d swap(s), %d checkpoint(s)", r.Deposits, r.Payouts, r.Recipients, r.Swaps, r.Anchors)
	if part {
		words = fmt.Sprintf("chain and file agree: %d deposit(s), %d payout(s), %d checkpoint(s)", r.Deposits, r.Payouts, r.Anchors)
		if r.Covered > 0 {
			words += fmt.Sprintf("; the one of entry %d covers the journal that the file was taken from", r.Covered)
		}
	}
	a.verdict(w, r.OK(), words)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s %s\n", a.paint(a.out, red, "wrong:"), p)
	}
	if r.MoreProblems > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.MoreProblems)
	}
}

// verdict says that all is well, if it is.
func (a *app) verdict(w io.Writer, well bool, words string) {
	if well {
		fmt.Fprintln(w, "  "+a.paint(a.out, green, "verified:")+" "+words)
	}
}

func (a *app) showReport(w io.Writer, r verify.Report) {
	what, words := "", "the hash chain, the signatures and the sums hold; every minute was charged or waived once"
	const part = "the signatures of machines, gateways and group and the sums hold; every minute was charged or waived once"
	switch {
	case r.Cluster != "":
		what, words = "bill of "+r.Cluster+": ", part
	case r.Supplier != "":
		what, words = "earnings of "+r.Supplier+": ", part
	}
	fmt.Fprintf(w, "%s%d entries, exported %s, last hash %s\n\n", what, r.Entries, moment(r.ExportedAt), short(r.Hash))
	showLeases(w, r)
	if r.Supplier != "" {
		showEarned(w, r)
	}
	for _, sum := range r.Sums {
		fmt.Fprintf(w, "  sum of all balances: %s\n", amount(sum))
	}
	if r.OK() {
		showSigned(w, r)
	}
	a.verdict(w, r.OK(), words)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s %s\n", a.paint(a.out, red, "wrong:"), p)
	}
	if r.MoreProblems > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.MoreProblems)
	}
}

// showSigned says whose signatures the charged minutes bear, if there are any.
func showSigned(w io.Writer, r verify.Report) {
	var charged int64
	for _, l := range r.Leases {
		charged += l.Charged
	}
	switch {
	case charged == 0:
	case r.Unsigned == 0:
		fmt.Fprintln(w, "  every charged minute is signed by its machine, a gateway and a coordinator")
	default:
		fmt.Fprintf(w, "  %d of %d charged minutes are signed by machine and gateway alone: they are of the time before coordinators signed\n", r.Unsigned, charged)
	}
}

// shared gives each processor its part of the work.
func shared(n int, do func(i int)) {
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		all.Go(func() {
			for i := worker; i < n; i += workers {
				do(i)
			}
		})
	}
	all.Wait()
}

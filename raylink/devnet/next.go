package devnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// next says where things are and what is worth trying.
func (s *Story) next(context.Context) error {
	n := s.Network
	s.chapter("Yours to try")
	kept := "these were the addresses; KEEP=1 make demo leaves everything running"
	if n.cfg.Keep {
		kept = "everything is still running; `raylink dev --down " + n.cfg.Dir + "` ends it"
	}
	s.note("%s", kept)
	n.Addresses()
	return nil
}

// Addresses prints where the network is, who may use it, and commands worth trying.
func (n *Network) Addresses() {
	w := n.cfg.Out
	fmt.Fprintf(w, "   dashboard     %s/ui\n", n.api[coordinatorName(0)])
	fmt.Fprintf(w, "   admin         access token in %s\n", n.people["admin"].tokenFile)
	fmt.Fprintf(w, "   engineer      access token in %s\n", n.people["engineer"].tokenFile)
	verbs := []string{"machine list", "quote -f examples/first-job/cluster.yaml", "cluster create -f examples/first-job/cluster.yaml", "balance"}
	if n.chain != nil {
		fmt.Fprintf(w, "   chain         %s; keys of all wallets in %s: wallet pay --key %s --rpc %s pays a top-up\n", n.chain.URL, n.chainDir(), n.keyFile("engineer"), n.chain.URL)
		verbs[3] = "topup 5 --asset usdc"
	}
	fmt.Fprintf(w, "   logs          %s\n\n", filepath.Join(n.cfg.Dir, "log"))
	bin := n.cfg.Binary
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, bin); err == nil {
			bin = rel
		}
	}
	fmt.Fprintf(w, "   %s login %s --ca-sha256 %s --token-file %s\n", bin, n.api[coordinatorName(0)], n.caSum, n.people["engineer"].tokenFile)
	for _, verb := range verbs {
		fmt.Fprintf(w, "   %s %s\n", bin, verb)
	}
}

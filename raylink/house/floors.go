package house

import (
	"fmt"
	"regexp"

	"raylink/raylink/ray"
)

// Floor is how high a package stands. Imports only go down; Pure floors touch nothing of the world.
type Floor int

// The floors, from the ground up. Edges that need no other edge stand on 3a, edges that may use those on 3b.
const (
	Floor0 Floor = iota
	Floor1
	Floor2
	Floor3a
	Floor3b
	Floor4
	Floor5
)

// String is the floor's name.
func (f Floor) String() string { return [...]string{"0", "1", "2", "3a", "3b", "4", "5"}[f] }

// Pure says that packages of this floor have no os, sockets, log, sync, randomness, goroutine, clock or float.
func (f Floor) Pure() bool { return f <= Floor2 }

// Row is one package's place.
type Row struct {
	Path  string // below the module's root
	Floor Floor
	May   []May // imports beyond the rules: packages of the same floor, and on pure floors outside modules and what the standard library has of the world
}

// May is one import that a row allows itself, with the reason.
type May struct{ Path, Why string }

// Floors is the house's table: every package has a line here.
func Floors() []Row {
	const (
		books   = "what stands in the books is shown as it stands"
		kuberay = "the manifests are KubeRay's own types"
		shreds  = "what a tenant wrote where only the runtime knows of it"
		quote   = "Kubernetes' notation of quantities in manifests"
	)
	return append(billing(), []Row{
		{"raylink", Floor1, nil},
		{"raylink/wire", Floor1, []May{{"raylink", words}, {"raylink/overlay", "assignments carry a mesh"}, {"raylink/challenge", "proofs carry tasks and commitments"}, {"billing/deposit", books}, {"billing/payout", books}, {"billing/price", books}}},
		{"raylink/manifest", Floor1, []May{{"raylink", words}, {"github.com/ray-project/kuberay", kuberay}, {"k8s.io/api", kuberay},
			{"k8s.io/apimachinery", quote}, {"sigs.k8s.io/yaml", "manifests are YAML"}, {"sigs.k8s.io/json", "strict, as Kubernetes reads it"},
			{"raylink/ray", "rayStartParams are Ray's flags"}}},
		{"raylink/ray", Floor1, []May{{"raylink", words}}},
		{"raylink/identity", Floor1, []May{{"raylink", words}}},
		{"raylink/overlay", Floor1, []May{{"golang.org/x/crypto", "WireGuard's keys are Curve25519"}}},

		{"raylink/challenge", Floor1, []May{{"raylink", words}}},
		{"raylink/catalogue", Floor1, []May{{"raylink", words}, {"embed", "its models are a data file, bound into the program when it is built"}}},
		{"raylink/imagesign", Floor1, []May{{"sigs.k8s.io/json", "strict about doubled, unknown and miswritten fields"}}},

		{"coordinator/state", Floor2, nil},
		{"coordinator/plan", Floor2, []May{{"coordinator/state", "the view that it plans from"}}},
		{"supplier/converge", Floor2, nil},
		{"supplier/hours", Floor2, nil},

		{"raylink/challenge/kernel", Floor3a, nil},
		{"raylink/client", Floor3a, nil},
		{"raylink/overlay/wireguard", Floor3a, nil},
		{"raylink/overlay/memory", Floor3a, nil},
		{"raylink/overlay/overlaytest", Floor3a, nil},
		{"coordinator/consensus", Floor3a, nil},
		{"coordinator/consensus/pipenet", Floor3a, nil},
		{"coordinator/authority", Floor3a, nil},
		{"supplier/device", Floor3a, nil},
		{"supplier/device/nvml", Floor3a, nil},
		{"supplier/egress", Floor3a, nil},
		{"supplier/runtime", Floor3a, nil},
		{"supplier/runtime/docker", Floor3a, []May{{"supplier/runtime", port}, {"supplier/shred", shreds}}},
		{"supplier/runtime/process", Floor3a, []May{{"supplier/runtime", port}, {"supplier/shred", shreds}}},
		{"supplier/runtime/scripted", Floor3a, []May{{"supplier/runtime", port}}},
		{"supplier/shred", Floor3a, nil},
		{"supplier/shred/shredtest", Floor3a, nil},

		{"coordinator/api", Floor3b, nil},
		{"coordinator/dashboard", Floor3b, nil},
		{"coordinator/dashboard/browser", Floor3a, nil},
		{"coordinator/dashboard/story", Floor4, nil},
		{"coordinator/gateway", Floor3b, nil},
		{"coordinator/gateway/endpoint", Floor3b, nil},
		{"coordinator/gateway/witness", Floor3b, nil},
		{"coordinator/gateway/connect", Floor3b, []May{{"coordinator/gateway/endpoint", "the same proxy, on the user's side"}}},
		{"coordinator/gateway/raytest", Floor3a, nil},
		{"coordinator/reconcile", Floor3b, nil},
		{"supplier/dataplane", Floor3b, nil},
		{"supplier/image", Floor3b, nil},
		{"supplier/prove", Floor3b, nil},
		{"supplier/prove/cuda", Floor3b, []May{{"supplier/prove", "is one of its provers"}}},
		{"supplier/doctor", Floor3b, nil},
		{"supplier/runtime/runtimetest", Floor3b, []May{{"supplier/dataplane", "the proxy that a hostile tenant tries"}}},

		{"coordinator", Floor4, nil},
		{"supplier", Floor4, nil},

		{"raylink/cmd/raylink", Floor5, []May{{"raylink/devnet", "`raylink dev` starts it"}}},
		{"raylink/devnet", Floor5, nil},
		{"raylink/testbed", Floor5, nil},
		{"raylink/house", Floor5, nil},
	}...)
}

const (
	words = "the words that every package speaks"
	port  = "implements or tests this port"
)

// billing are the rows of what knows money, and nothing of clusters.
func billing() []Row {
	const entries = "what it decides is posted as entries"
	return []Row{
		{"billing/money", Floor0, nil},
		{"billing/ledger", Floor1, nil},
		{"billing/meter", Floor1, nil},
		{"billing/exchange", Floor1, []May{{"billing/ledger", entries}, {"billing/price", "a snapshot's price"}}},
		{"billing/price", Floor1, nil},
		{"billing/wallet", Floor1, []May{{"raylink", words}}},
		{"billing/deposit", Floor1, []May{{"raylink", words}, {"billing/ledger", entries}, {"billing/wallet", "addresses and who has proven them"}}},
		{"billing/payout", Floor1, []May{{"raylink", words}, {"billing/ledger", entries}}},
		{"billing/lot", Floor1, []May{{"raylink", words}, {"billing/ledger", entries}}},
		{"billing/cardbook", Floor1, []May{{"billing/ledger", entries}}},
		{"billing/solanapay", Floor1, nil},
		{"billing/export", Floor1, []May{{"billing/ledger", "writes out its entries"}}},
		{"billing/invoice", Floor1, []May{{"billing/ledger", "is made from the journal"}, {"billing/meter", "computes each minute anew"}, {"billing/exchange", "speaks of purses"}}},
		{"billing/verify", Floor1, []May{{"billing/ledger", "reads the journal's form"}, {"billing/meter", "computes each minute anew"}, {"billing/exchange", "derives its postings anew"}}},
		{"billing/settle/chain", Floor3a, nil},
		{"billing/settle/chain/fake", Floor3a, []May{{"billing/settle/chain", port}}},
		{"billing/settle/chain/solana", Floor3a, []May{{"billing/settle/chain", port}}},
		{"billing/settle/chain/chaintest", Floor3a, []May{{"billing/settle/chain", port}}},
		{"billing/settle/localchain", Floor3b, nil},
		{"billing/card", Floor3a, nil},
		{"billing/card/cardfake", Floor3a, []May{{"billing/card", "the names that the provider gives things"}}},
		{"billing/solanapay/qr", Floor3a, nil},
		{"billing/invoice/pdf", Floor3a, nil},
		{"billing/price/feed", Floor3a, nil},
		{"billing/price/pyth", Floor3a, []May{{"billing/price/feed", "asks within its limits"}}},
		{"billing/price/jupiter", Floor3a, []May{{"billing/price/feed", "asks within its limits"}}},
		{"billing/price/administered", Floor3a, []May{{"billing/price/feed", "reads its key file as it reads secrets"}}},
		{"billing/settle", Floor3b, nil},
		{"billing/settle/audit", Floor3b, nil},
		{"billing/settle/signer", Floor3b, []May{{"billing/settle", "shares the rule of when a transaction is dead"}}},
	}
}

// Strangers are the rooms that never import each other, tests included: what they share stands lower.
func Strangers() [][2]string { return [][2]string{{"coordinator", "supplier"}} }

// Sleepers are the test files that may call time.Sleep, with the reason.
func Sleepers() []May { return nil }

// unnamed are places that the code must not depend on by name: package registries and somebody's own directories. Each is written in
// two parts, so that this file does not name it either.
func unnamed() []string {
	return []string{
		"/wo" + "rk/", "proxy.golang" + ".org", "sum.golang" + ".org", "pypi" + ".org", "pythonhosted" + ".org", "deb.debian" + ".org",
		"registry.npmjs" + ".org", "crates" + ".io", "rubygems" + ".org",
	}
}

// owned are the words that stand in one package alone.
func owned() []Owned {
	// Ports that are nobody else's: 8080 and the like are said of other things too.
	ports := fmt.Sprintf(`\b(?:%d|%d|%d|%d|%d)\b`, ray.GCSPort, ray.DashboardPort, ray.AgentPort, ray.AgentGRPCPort, ray.RuntimeEnvPort)
	return []Owned{
		{"raylink/ray", regexp.MustCompile(`\bRAY_[A-Za-z]\w*|` + ports), "Ray's ports and environment"},
	}
}

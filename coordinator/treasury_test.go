package coordinator

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"raylink/billing/settle/chain/solana"
)

// nodeOf is a Solana node that knows its cluster's genesis and nothing else.
func nodeOf(t *testing.T, genesis string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil || call.Method != "getGenesisHash" {
			http.Error(w, "not known here", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%q}`, call.ID, genesis)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestOtherCluster: no loop starts on a node of another cluster than the one that the books are of.
func TestOtherCluster(t *testing.T) {
	real, try, away := nodeOf(t, solana.Mainnet().Genesis), nodeOf(t, solana.Devnet().Genesis), "http://127.0.0.1:1"
	for _, c := range []struct {
		what, cluster string
		nodes         []string
		want          string // part of the error; empty for none
	}{
		{"the right one", "mainnet", []string{real}, ""},
		{"two right ones", "devnet", []string{try, try}, ""},
		{"a node for trying", "mainnet", []string{try}, "node 1 of --solana-rpc, while the treasury is on mainnet"},
		{"a real one for play", "devnet", []string{real}, "another cluster"},
		{"a second one for trying", "mainnet", []string{real, try}, "node 2"},
		{"a second one that is away", "mainnet", []string{real, away}, ""},
		{"none answers", "mainnet", []string{away, real}, "node 1"},
		{"a chain of one's own", "local", []string{away}, ""},
	} {
		loops := &chainLoops{cluster: c.cluster}
		err := loops.open(t.Context(), &treasury{nodes: c.nodes, log: slog.New(slog.DiscardHandler)})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		case err == nil:
			loops.close()
		}
	}
}

// TestPublicNodes: a cluster's name stands for its public node.
func TestPublicNodes(t *testing.T) {
	cfg := Config{Solana: " devnet, https://node.example/key ,mainnet,"}
	if got, want := cfg.nodes(), []string{solana.Devnet().URL, "https://node.example/key", solana.Mainnet().URL}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

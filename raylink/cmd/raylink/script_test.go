package main

import (
	"crypto/ed25519"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"raylink": main})
}

// networkKey is where a session keeps its network.
type networkKey struct{}

// TestSessions plays the sessions in testdata: read them aloud. Each has a network of its own, which is a fake; $URL is its
// coordinator, $SHA256 its CA's fingerprint, $TOKEN an access token.
func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// die ends the first coordinator; grow lets the answers of all name the second.
			"die": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Value(networkKey{}).(*fake).coordinator.Close()
			},
			// enrol DIR makes it the data directory of an agent that has joined; await FILE TEXT waits until a file says something.
			"enrol": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(ts.Value(networkKey{}).(*fake).enrol(ts.MkAbs(args[0])))
			},
			"await": await,
			// deafen lets the leader hear the enrolled machine no more, though its reports are taken.
			"deafen": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Value(networkKey{}).(*fake).deafen() },
			// books FILE makes it the network's journal.
			"books": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(networkKey{}).(*fake).keep([]byte(ts.ReadFile(args[0])))
			},
			"grow": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Value(networkKey{}).(*fake).grow() },
		},
		Setup: func(e *testscript.Env) error {
			network, err := startFake()
			if err != nil {
				return err
			}
			e.Defer(network.close)
			e.Values[networkKey{}] = network
			e.Setenv("URL", network.coordinator.URL)
			e.Setenv("SECOND", network.second.URL)
			e.Setenv("GATEWAY", network.gateway.URL)
			e.Setenv("SHA256", network.fingerprint)
			e.Setenv("TOKEN", fakeToken)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			// wallet.json is a wallet's key, and $WALLET its address.
			key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
			e.Setenv("WALLET", string(chain.AddressOf(key.Public().(ed25519.PublicKey))))
			if err := solana.WriteKey(e.WorkDir+"/wallet.json", key); err != nil {
				return err
			}
			return os.WriteFile(e.WorkDir+"/ca.pem", network.caPEM, 0o600)
		},
	})
}

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"raylink": main})
}

// TestSessions plays the sessions in testdata: read them aloud. Each has a network of its own, which is a fake; $URL is its
// coordinator, $SHA256 its CA's fingerprint, $TOKEN an access token.
func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			network, err := startFake()
			if err != nil {
				return err
			}
			e.Defer(network.close)
			e.Setenv("URL", network.coordinator.URL)
			e.Setenv("GATEWAY", network.gateway.URL)
			e.Setenv("SHA256", network.fingerprint)
			e.Setenv("TOKEN", fakeToken)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			return os.WriteFile(e.WorkDir+"/ca.pem", network.caPEM, 0o600)
		},
	})
}

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// What the sources of the price of IO are asked for.
const (
	pythFeed    = "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a"
	jupiterMint = "BZLbGTNCSFfoth2GYDtwr7e4imWzpR5jqcUuGEwr646K"
)

// startSources opens two sources of the price of IO: $PYTH says 0.25 for $FEED, $JUPITER 0.252 for $MINT, in the words of the real ones.
func startSources(e *testscript.Env) {
	pyth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"binary":{"encoding":"hex","data":[]},"parsed":[{"id":%q,"price":{"price":"25000000","conf":"10000","expo":-8,"publish_time":%d}}]}`,
			r.URL.Query().Get("ids[]"), time.Now().Unix())
	}))
	jupiter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{%q:{"usdPrice":0.252,"blockId":%d,"decimals":8}}`, r.URL.Query().Get("ids"), time.Now().Unix())
	}))
	e.Defer(pyth.Close)
	e.Defer(jupiter.Close)
	for name, value := range map[string]string{"FEED": pythFeed, "MINT": jupiterMint, "PYTH": pyth.URL, "JUPITER": jupiter.URL} {
		e.Setenv(name, value)
	}
}

// becomes TEXT COMMAND... runs a command until it says the text.
func becomes(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(soon(func() error {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		if said := ts.ReadFile("stdout"); !strings.Contains(said, args[0]) {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	}))
}

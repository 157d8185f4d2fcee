package api

import (
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestNoClusterBeyondTheCap: while the account's cap for today has no minute of it left a quote is not accepted, and nothing is held for it; a higher cap is
// all that it takes.
func TestNoClusterBeyondTheCap(t *testing.T) {
	r := newRig(t)
	r.apply(time.Now(), &state.SetCap{Account: id[raylink.AccountID]("acc", "ada"), PerDay: 1})
	before := len(r.group.s.Clusters)
	a := r.call("ada", "POST", "/v1/clusters", wire.CreateRequest{Quote: quote})
	if text := string(a.body); a.status != 402 || !strings.Contains(text, "cap of 0.000001 USD a day") || !strings.Contains(text, "raylink budget set") {
		t.Errorf("%d %s", a.status, text)
	}
	if after := len(r.group.s.Clusters); after != before || r.group.s.Quotes[quote].Accepted != "" {
		t.Errorf("%d clusters, there were %d", after, before)
	}
	r.apply(time.Now(), &state.SetCap{Account: id[raylink.AccountID]("acc", "ada"), PerDay: 40_000_000})
	if a := r.call("ada", "POST", "/v1/clusters", wire.CreateRequest{Quote: quote}); a.status >= 300 {
		t.Errorf("with a higher cap: %d %s", a.status, a.body)
	}
}

package state

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// texts are what a name must never be.
func texts() map[string]string {
	return map[string]string{"NUL": "a\x00b", "right to left": "a\u202eb", "zero width": "a\u200bb", "new line": "a\nb", "escape": "a\x1b[31mb",
		"100 KB": strings.Repeat("a", 100<<10), "not UTF-8": "a\xffb"}
}

// TestBadTexts puts each bad text into each field that somebody outside fills.
func TestBadTexts(t *testing.T) {
	w, tenant := small(t, "10")
	w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", "free"), Kind: JoinKindMachine, Account: tenant, Hash: hashOf("join new"), TTL: time.Hour},
		&IssueJoinToken{ID: id[raylink.TokenID]("tok", "freeg"), Kind: JoinKindGateway, Hash: hashOf("join newg"), TTL: time.Hour},
		&IssueJoinToken{ID: id[raylink.TokenID]("tok", "freec"), Kind: JoinKindCoordinator, Hash: hashOf("join newc"), TTL: time.Hour})
	for what, bad := range texts() {
		label, value, custom, accelerator := offerOf(1, 1, "1"), offerOf(1, 1, "1"), offerOf(1, 1, "1"), offerOf(1, 1, "1")
		label.Labels, value.Labels = map[string]string{bad: "x"}, map[string]string{"x": bad}
		custom.Resources.Custom, accelerator.Accelerator = map[string]int64{bad: 1}, bad
		arch := offerOf(1, 1, "1")
		arch.Arch = bad
		m, g := *w.joinMachine("new", offerOf(1, 1, "1")), JoinGateway{TokenHash: hashOf("join newg"), ID: gatewayID("newg"),
			PublicKey: identity.EncodeKey(publicOf("newg")), Name: "newg", URL: "https://newg"}
		named, keyed, idd, gnamed, gurl, gkeyed := m, m, m, g, g, g
		named.Name, keyed.PublicKey, idd.ID, gnamed.Name, gurl.URL, gkeyed.PublicKey = bad, bad, raylink.MachineID(bad), bad, "https://"+bad, bad
		for field, c := range map[string]Command{
			"account name":   &OpenAccount{ID: id[raylink.AccountID]("acc", "z"), Name: bad},
			"account id":     &OpenAccount{ID: raylink.AccountID("acc-" + bad), Name: "z"},
			"token label":    &IssueToken{ID: id[raylink.TokenID]("tok", "z"), Account: tenant, Role: raylink.RoleTenant, Hash: hashOf("z"), Label: bad},
			"token role":     &IssueToken{ID: id[raylink.TokenID]("tok", "z"), Account: tenant, Role: raylink.Role(bad), Hash: hashOf("z")},
			"token hash":     &IssueToken{ID: id[raylink.TokenID]("tok", "z"), Account: tenant, Role: raylink.RoleTenant, Hash: bad},
			"token account":  &IssueToken{ID: id[raylink.TokenID]("tok", "z"), Account: raylink.AccountID(bad), Role: raylink.RoleTenant, Hash: hashOf("z")},
			"join kind":      &IssueJoinToken{ID: id[raylink.TokenID]("tok", "z"), Kind: bad, Hash: hashOf("z"), TTL: time.Hour},
			"join id":        &IssueJoinToken{ID: raylink.TokenID(bad), Kind: JoinKindGateway, Hash: hashOf("z"), TTL: time.Hour},
			"grant reason":   &GrantCredit{ID: "g", Account: tenant, Amount: usd("1"), Reason: bad},
			"grant id":       &GrantCredit{ID: bad, Account: tenant, Amount: usd("1"), Reason: "x"},
			"machine name":   &named,
			"machine key":    &keyed,
			"machine id":     &idd,
			"offer label":    &SetOffer{ID: machineID("mone"), Offer: label},
			"offer value":    &SetOffer{ID: machineID("mone"), Offer: value},
			"offer custom":   &SetOffer{ID: machineID("mone"), Offer: custom},
			"offer device":   &SetOffer{ID: machineID("mone"), Offer: accelerator},
			"offer arch":     &SetOffer{ID: machineID("mone"), Offer: arch},
			"machine state":  &SetMachine{ID: machineID("mone"), State: bad},
			"machine reason": &SetMachine{ID: machineID("mone"), State: MachineBanned, Reason: bad},
			"gateway name":   &gnamed,
			"gateway url":    &gurl,
			"gateway key":    &gkeyed,
			"new url":        &SetGatewayURL{ID: gatewayID("gone"), URL: "https://" + bad},
			"member id":      &JoinMember{TokenHash: hashOf("join newc"), ID: bad, Raft: "a:1", API: "https://a"},
			"member raft":    &JoinMember{TokenHash: hashOf("join newc"), ID: "a", Raft: bad, API: "https://a"},
			"member api":     &JoinMember{TokenHash: hashOf("join newc"), ID: "a", Raft: "a:1", API: bad},
			"phase":          &AdvanceCluster{ID: raylink.ClusterID(bad), Phase: raylink.Phase(bad)},
			"stage":          &RecordLeases{Facts: []LeaseFact{{Lease: "l-x", Stage: raylink.Stage(bad)}}},
			"quote id":       &MakeQuote{ID: raylink.QuoteID(bad), Owner: tenant},
		} {
			before := contents(w.t, w.s)
			err := w.try(c)
			if err == nil {
				t.Errorf("%s in the %s was taken", what, field)
			} else if e := raylink.AsError(err); e.Code == raylink.CodeInternal {
				t.Errorf("%s in the %s: %v", what, field, err)
			}
			if contents(w.t, w.s) != before {
				t.Errorf("%s in the %s: the refusal changed the state", what, field)
			}
		}
	}
}

// TestBadNumbers does the same for quantities.
func TestBadNumbers(t *testing.T) {
	w, tenant := small(t, "10")
	offer := func(change func(*raylink.Offer)) *SetOffer {
		o := offerOf(1, 1, "1")
		change(&o)
		return &SetOffer{ID: machineID("mone"), Offer: o}
	}
	quote := func(change func(*QuoteNode)) *MakeQuote {
		q := w.quoteOf("bad", tenant, 1, "mone")
		change(&q.Nodes[0])
		return q
	}
	w.must(offer(func(o *raylink.Offer) { o.CPUHour = 0 }))
	for what, c := range map[string]Command{
		"no cores":          offer(func(o *raylink.Offer) { o.Resources.CPU = 0 }),
		"negative cores":    offer(func(o *raylink.Offer) { o.Resources.CPU = -1 }),
		"too many cores":    offer(func(o *raylink.Offer) { o.Resources.CPU = math.MaxInt64 }),
		"no memory":         offer(func(o *raylink.Offer) { o.Resources.Memory = 0 }),
		"too much memory":   offer(func(o *raylink.Offer) { o.Resources.Memory = math.MaxInt64 }),
		"half a GPU":        offer(func(o *raylink.Offer) { o.Resources.GPU = raylink.Unit / 2 }),
		"too many GPUs":     offer(func(o *raylink.Offer) { o.Resources.GPU = math.MaxInt64 / raylink.Unit * raylink.Unit }),
		"dear":              offer(func(o *raylink.Offer) { o.CPUHour = math.MaxInt64 }),
		"negative custom":   offer(func(o *raylink.Offer) { o.Resources.Custom = map[string]int64{"x": -1} }),
		"quote: all cores":  quote(func(n *QuoteNode) { n.Resources.CPU = math.MaxInt64 }),
		"quote: no cores":   quote(func(n *QuoteNode) { n.Resources.CPU = -1 }),
		"quote: all memory": quote(func(n *QuoteNode) { n.Resources.Memory = math.MaxInt64 }),
		"quote: no memory":  quote(func(n *QuoteNode) { n.Resources.Memory = -1 }),
		"quote: no GPUs":    quote(func(n *QuoteNode) { n.Resources.GPU = -1 }),
		"quote: other rate": quote(func(n *QuoteNode) { n.Rate = 1 }),
		"quote: nowhere":    quote(func(n *QuoteNode) { n.Machine = "m-aaaaaaaaaa" }),
		"grant: all":        &GrantCredit{ID: "g", Account: tenant, Amount: money.MicroUSD(math.MaxInt64), Reason: "x"},
		"grant: least":      &GrantCredit{ID: "g", Account: tenant, Amount: money.MicroUSD(math.MinInt64), Reason: "x"},
		"grant: other":      &GrantCredit{ID: "g", Account: tenant, Amount: money.Amount{Minor: 1, Asset: "IO"}, Reason: "x"},
		"token: -1 ns":      &IssueToken{ID: id[raylink.TokenID]("tok", "z"), Account: tenant, Role: raylink.RoleTenant, Hash: hashOf("z"), TTL: -1},
		"token: for ever":   &IssueToken{ID: id[raylink.TokenID]("tok", "z"), Account: tenant, Role: raylink.RoleTenant, Hash: hashOf("z"), TTL: math.MaxInt64},
		"join: 0":           &IssueJoinToken{ID: id[raylink.TokenID]("tok", "z"), Kind: JoinKindGateway, Hash: hashOf("z")},
		"join: for ever":    &IssueJoinToken{ID: id[raylink.TokenID]("tok", "z"), Kind: JoinKindGateway, Hash: hashOf("z"), TTL: math.MaxInt64},
		"join: twice":       &IssueJoinToken{ID: id[raylink.TokenID]("tok", "z"), Kind: JoinKindMachine, Account: tenant, Hash: hashOf("join mone"), TTL: time.Hour},
		"minutes: many":     &SettleMinutes{Minutes: make([]SettleMinute, MaxMinutes+1)},
	} {
		before := contents(w.t, w.s)
		if err := w.try(c); err == nil || raylink.AsError(err).Code == raylink.CodeInternal {
			t.Errorf("%s: %v", what, err)
		}
		if contents(w.t, w.s) != before {
			t.Errorf("%s: the refusal changed the state", what)
		}
	}
}

// TestFarTimes stamps entries with absurd times: the clock never goes back, never leaves what can be written, and every replica can be saved.
func TestFarTimes(t *testing.T) {
	w, tenant := small(t, "10")
	for _, at := range []time.Time{noon, {}, time.Unix(0, math.MinInt64), noon.Add(-time.Hour), time.Unix(math.MaxInt32, 0),
		time.Date(2199, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		before := w.s.Now
		w.now = at
		name := fmt.Sprint("far", w.index)
		w.must(&IssueToken{ID: raylink.TokenID(fmt.Sprintf("tok-aaaaaaa%c%c%c", 'a'+w.index/400, 'a'+w.index/20%20, 'a'+w.index%20)), Account: tenant,
			Role: raylink.RoleTenant, Hash: hashOf(name), TTL: maxTokenTTL})
		w.must(&GrantCredit{ID: name, Account: tenant, Amount: usd("1"), Reason: "x"})
		if w.s.Now.Before(before) || w.s.Now.Year() > lastYear {
			t.Errorf("an entry of %s puts the clock from %s to %s", at, before, w.s.Now)
		}
		reload(t, w.s)
	}
}

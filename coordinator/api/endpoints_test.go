package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// A group of two coordinators on one machine, as `raylink dev` makes it: dashboards on 127.0.0.1, a gateway beside each under localhost. Whichever is
// asked names the endpoint beside itself first, though no host name of a gateway is one of a coordinator; and both name all.
func TestTheEndpointBesideWhoAnswersComesFirst(t *testing.T) {
	r := newRig(t)
	hash := identity.HashToken("join next")
	next := gatewayID("next")
	r.apply(time.Now(), &state.JoinMember{ID: "b", Raft: "127.0.0.1:2", API: "https://127.0.0.1:7453"},
		&state.IssueJoinToken{ID: id[raylink.TokenID]("tok", "next"), Kind: state.JoinKindGateway, Hash: hash, TTL: time.Hour},
		&state.JoinGateway{TokenHash: hash, ID: next, PublicKey: identity.EncodeKey(publicOf("next")), Name: "next", URL: "http://localhost:8444"},
		&state.RecordGateway{Cluster: cluster, Gateway: gatewayID("gate"), PublicKey: "key"}, &state.RecordGateway{Cluster: cluster, Gateway: next, PublicKey: "key"})
	r.client("next", r.certificate("next", identity.Gateway, "127.0.0.1"))
	other := &Server{ID: "b", Group: r.group, Roster: r.group, Authority: r.auth, Log: r.server.Log}
	atGate, atNext := "http://localhost:8443/c/"+string(cluster), "http://localhost:8444/c/"+string(cluster)
	endpoints := func(s *Server) []string {
		v, err := s.Cluster(id[raylink.AccountID]("acc", "ada"), raylink.RoleTenant, "ready")
		if err != nil {
			t.Fatal(err)
		}
		return v.Endpoints
	}
	for _, row := range []struct{ gate, next, first string }{ // beside whom they stand, and what coordinator b names first
		{"a", "b", atNext},
		{"b", "a", atGate}, // they changed places
		{"", "", atGate},   // gateways of an earlier release do not say
		{"not an id", "b", atNext},
	} {
		for caller, say := range map[string]wire.GatewayReport{"gateway": {URL: "http://localhost:8443", Beside: row.gate}, "next": {URL: "http://localhost:8444", Beside: row.next}} {
			if got := r.call(caller, "POST", "/v1/gateway/report", say); got.status != 200 && got.status != 204 {
				t.Fatalf("%s's report: %d %s", caller, got.status, got.body)
			}
		}
		told(r)
		got := endpoints(other)
		if len(got) != 2 || got[0] != row.first || !slices.Contains(got, atGate) || !slices.Contains(got, atNext) {
			t.Errorf("beside %q and %q: b names %q", row.gate, row.next, got)
		}
		if own := endpoints(r.server); row.next == "b" && own[0] != atGate || row.gate == "b" && own[0] != atNext {
			t.Errorf("beside %q and %q: a names %q", row.gate, row.next, own)
		}
	}
	var status wire.Status
	r.call("", "GET", "/v1/status", nil).into(t, &status)
	for _, g := range status.Gateways {
		if g.ID == next && g.Beside != "b" || g.Warning != "" {
			t.Errorf("the status says %+v", g)
		}
	}
}

// told lets the leader act on what gateways said of themselves, until it has nothing left to do.
func told(r *rig) {
	r.t.Helper()
	for range 2 {
		var changes []state.Command
		r.group.Read(func(s *state.State) {
			for _, step := range plan.Next(s, r.memory.Seen(), time.Now()) {
				if _, ok := step.(*state.SetGatewayURL); ok {
					changes = append(changes, step)
				}
			}
		})
		r.apply(time.Now(), changes...)
		if len(changes) == 0 {
			return
		}
	}
	r.t.Error("the leader never comes to rest")
}

// Cookies ignore ports: endpoints under a dashboard's host name are warned of, whatever the port and the case, and no others are.
func TestAGatewayUnderADashboardsHostNameIsWarnedOf(t *testing.T) {
	r := newRig(t)
	for url, warned := range map[string]bool{"https://127.0.0.1:8443": true, "https://LocalHost:8443": false, "https://b.example.org": true, "https://B.Example.org:1": true, "https://c.b.example.org:7443": false} {
		r.apply(time.Now(), &state.JoinMember{ID: "b", Raft: "b:1", API: "https://b.example.org:7443"}, &state.SetGatewayURL{ID: gatewayID("gate"), URL: url, Beside: "a"})
		var status wire.Status
		r.call("", "GET", "/v1/status", nil).into(t, &status)
		g := status.Gateways[0]
		if (g.Warning != "") != warned || warned && !strings.Contains(g.Warning, "--public-url") || g.Beside != "a" {
			t.Errorf("%s: %+v", url, g)
		}
	}
}

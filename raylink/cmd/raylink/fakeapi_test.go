package main

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"net/http"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

func (f *fake) getStatus(*http.Request) (any, *raylink.Error) {
	return wire.Status{ID: "a", Leader: "a", Index: 42, Digest: "0123456789abcdef", Now: time.Now(), CASHA256: f.fingerprint, Version: "devel",
		Members:  []wire.Member{{ID: "a", API: f.coordinator.URL, Leader: true, Voter: true}, {ID: "b", API: "https://127.0.0.1:1", Voter: true}},
		Gateways: []wire.Gateway{{ID: "g-aaaaaaaaaa", URL: f.gateway.URL, Beside: "a", Warning: "its endpoints have the host name of a's dashboard"}}}, nil
}

func (f *fake) getMe(*http.Request) (any, *raylink.Error) {
	return wire.WhoAmI{Account: "acc-aaaaaaaaaa", Name: "Ann", Role: raylink.RoleAdmin, Coordinators: f.known()}, nil
}

// known are the coordinators that answers name; the caller holds the lock.
func (f *fake) known() []string {
	if f.grown {
		return []string{f.coordinator.URL, f.second.URL}
	}
	return []string{f.coordinator.URL}
}

func (f *fake) grow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grown = true
}

func (f *fake) getBalance(*http.Request) (any, *raylink.Error) {
	return wire.Balance{Account: "acc-aaaaaaaaaa", Name: "Ann", Free: wire.Sums{f.free}, Held: wire.Sums{money.MicroUSD(0)}, Earned: wire.Sums{money.MicroUSD(0)}, Cap: f.money.cap,
		Purses: []wire.Purse{{Purse: "grant", Free: f.free, Held: money.MicroUSD(0), RunsOutAt: runsAt(3)}, {Purse: "usdc", Free: money.Amount{Minor: 5_000_000, Asset: money.USDC}, Held: money.Amount{Asset: money.USDC}}}}, nil
}

func (f *fake) getMachines(*http.Request) (any, *raylink.Error) {
	return []wire.Machine{f.machine}, nil
}

func (f *fake) getMachine(r *http.Request) (any, *raylink.Error) {
	if r.PathValue("id") != string(f.machine.ID) {
		return nil, raylink.Errorf(raylink.CodeNotFound, "there is no machine %s", r.PathValue("id")).WithHint("`raylink machine list` shows them")
	}
	m := f.machine
	if isMachine(r) {
		m.Standing = f.stands
		if f.silent {
			m.Standing.State, m.Standing.Reason = raylink.MachineDown, raylink.ReasonSilent
		}
	}
	return m, nil
}

func (f *fake) postMachine(r *http.Request) (any, *raylink.Error) {
	f.machine.State = map[string]string{"drain": "draining", "resume": "up", "ban": "banned"}[r.PathValue("verb")]
	if notice := read[wire.MachineAction](r).Notice; notice != "" {
		leaves := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
		f.machine.Standing.State, f.machine.Standing.Reason, f.machine.Standing.Detail, f.machine.Standing.Leaves = raylink.MachineDraining, raylink.ReasonNotice, notice, &leaves
	}
	return f.getMachine(r)
}

func (f *fake) getVersions(*http.Request) (any, *raylink.Error) { return f.versions, nil }

func (f *fake) putVersions(r *http.Request) (any, *raylink.Error) {
	v := read[wire.Versions](r)
	key, ok := identity.DecodeKey(v.Operator)
	if !ok || !identity.Verify(key, identity.VersionsBytes(v.Minimum, v.SignedAt), v.Signature) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "no operator has signed these versions")
	}
	v.Below = 2
	f.versions = v
	return v, nil
}

func (f *fake) postQuote(r *http.Request) (any, *raylink.Error) {
	f.asked = read[wire.QuoteRequest](r)
	f.manifest, f.asked.Pay = f.asked.Manifest, cmp.Or(f.asked.Pay, "grant")
	if f.asked.Budget == nil {
		f.asked.Budget = &f.free
	}
	if !strings.Contains(f.manifest, "kind: RayCluster") {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the manifest is not a RayCluster").WithHint("it begins with `apiVersion: ray.io/v1` and `kind: RayCluster`")
	}
	node := wire.QuoteNode{Node: "first-job-head", Role: raylink.NodeHead, Group: "headgroup", Machine: f.machine.ID, Supplier: "bob", Rate: 120_000,
		Resources: raylink.Resources{CPU: 10_000, Memory: 2 << 30}}
	return contracted(wire.Quote{ID: "q-aaaaaaaaaa", Name: "first-job", ImageAsked: "rayproject/ray:2.60.0-py311", Image: "raylink/worker:2.60.0-py311", RayVersion: "2.60.0",
		Nodes: []wire.QuoteNode{node}, PerHour: money.MicroUSD(120_000), Fee: money.MicroUSD(2400), Hold: money.MicroUSD(122_400), Balance: f.free, Pay: f.asked.Pay, Maximum: f.asked.Budget,
		PriceIO: 250_000_000_000, ExpiresAt: time.Now().UTC().Add(5 * time.Minute), Notes: []string{"serviceType is not used here"}}), nil
}

func (f *fake) postCluster(r *http.Request) (any, *raylink.Error) {
	if strings.Contains(f.manifest, "poor") {
		return nil, raylink.Errorf(raylink.CodeFunds, "the hold is 0.1224 USD and 0.00 USD are free").WithHint("ask an admin for credit")
	}
	created := time.Now()
	usd := money.MicroUSD(0)
	c := &wire.Cluster{ID: "c-aaaaaaaaaa", Name: "first-job", Owner: "acc-aaaaaaaaaa", Phase: raylink.PhasePlaced, Endpoints: []string{},
		Stages: []wire.StageTime{{Phase: raylink.PhasePlaced, At: created}}, PerHour: money.MicroUSD(120_000), Hold: money.MicroUSD(122_400), Spent: usd, Pay: f.asked.Pay, Maximum: f.asked.Budget, Alarm: 80,
		Image: "raylink/worker:2.60.0-py311", RayVersion: "2.60.0", Subnet: "10.77.0.0/24", CreatedAt: created,
		Nodes: []wire.Node{{Lease: "l-aaaaaaaaaa", Node: "first-job-head", Role: raylink.NodeHead, Machine: f.machine.ID, Address: "10.77.0.2", Rate: 120_000}}}
	f.clusters = []*wire.Cluster{c} // its name and id are always the same
	return c, nil
}

// runsAt is a predicted time, so many hours behind a fixed one.
func runsAt(hours int) *time.Time {
	at := fakeTime().Add(time.Duration(hours) * time.Hour)
	return &at
}

// step takes a cluster one stage further.
func (f *fake) step(c *wire.Cluster) {
	phases := raylink.Phases()
	if strings.Contains(f.manifest, "broken") && c.Phase == raylink.PhaseImage {
		c.Phase = raylink.PhaseFailed
		c.Failure = &raylink.Failure{Stage: "image", Machine: f.machine.ID, Reason: "no space left on the disk", Hint: "the supplier has to free some GB"}
		return
	}
	if at := c.Phase.Order(); at >= 0 && at+1 < len(phases) {
		c.Phase = phases[at+1]
		when := c.CreatedAt.Add(time.Duration(at+1) * 400 * time.Millisecond)
		c.Stages = append(c.Stages, wire.StageTime{Phase: c.Phase, At: when})
		if c.Phase == raylink.PhaseReady {
			c.RunsOutAt = runsAt(2)
			c.ReadyAt, c.Endpoints = &when, []string{f.gateway.URL + "/c/" + string(c.ID)}
			if strings.Contains(f.manifest, "secure") {
				c.Endpoints = []string{"https://a.example.org:8443/c/" + string(c.ID), "https://b.example.org:8443/c/" + string(c.ID)}
			}
		}
	}
}

func (f *fake) getClusters(*http.Request) (any, *raylink.Error) {
	list := []wire.Cluster{}
	for _, c := range f.clusters {
		list = append(list, *c)
	}
	return list, nil
}

func (f *fake) find(r *http.Request) (*wire.Cluster, *raylink.Error) {
	for _, c := range f.clusters {
		if r.PathValue("id") == string(c.ID) || r.PathValue("id") == c.Name {
			return c, nil
		}
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "there is no cluster %s", r.PathValue("id")).WithHint("`raylink cluster list` shows yours")
}

func (f *fake) getCluster(r *http.Request) (any, *raylink.Error) {
	c, e := f.find(r)
	if e == nil {
		f.step(c)
	}
	return c, e
}

func (f *fake) deleteCluster(r *http.Request) (any, *raylink.Error) {
	c, e := f.find(r)
	if e == nil {
		c.Phase = raylink.PhaseEnding
	}
	return c, e
}

func (f *fake) getBill(r *http.Request) (any, *raylink.Error) {
	c, e := f.find(r)
	if e != nil {
		return nil, e
	}
	usd := money.MicroUSD
	minutes := []wire.BillMinute{
		{Ordinal: 0, Outcome: "charged", AgentSeconds: 60, GatewaySeconds: 55, Gateway: "g-aaaaaaaaaa", Amount: usd(2000), Fee: usd(40), Paid: usd(2040), Entry: 7},
		{Ordinal: 1, Outcome: "waived", Reason: "the gateway saw 10 of 60 seconds", AgentSeconds: 60, GatewaySeconds: 10, Gateway: "g-aaaaaaaaaa", Amount: usd(0), Fee: usd(0), Paid: usd(0), Entry: 8},
	}
	return wire.Bill{Cluster: c.ID, Name: c.Name, Maximum: c.Maximum, Use: usd(2000), FeePercent: "2", Fee: usd(40), Total: usd(2040), Pay: "grant", Paid: usd(2040), Held: usd(120_360), BalanceBefore: f.free,
		BalanceNow: usd(9_877_600), From: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), To: time.Date(2026, 1, 2, 3, 6, 5, 0, time.UTC),
		Lines: []wire.BillLine{{Lease: "l-aaaaaaaaaa", Node: "first-job-head", Machine: f.machine.ID, Rate: 120_000, Charged: 1, Waived: 1, Use: usd(2000), Fee: usd(40), Paid: usd(2040), Minutes: minutes}}}, nil
}

func (f *fake) postToken(r *http.Request) (any, *raylink.Error) {
	q := read[wire.TokenRequest](r)
	t := wire.Token{ID: "tok-aaaaaaaaaa", Account: "acc-aaaaaaaaaa", Role: q.Role, Label: q.Label, CreatedAt: time.Now()}
	f.tokens = append(f.tokens, t)
	return wire.TokenAnswer{Token: t, Secret: fakeToken}, nil
}

func (f *fake) getTokens(*http.Request) (any, *raylink.Error) { return f.tokens, nil }

func (f *fake) deleteToken(r *http.Request) (any, *raylink.Error) {
	for i := range f.tokens {
		if r.PathValue("id") == string(f.tokens[i].ID) {
			now := time.Now()
			f.tokens[i].RevokedAt = &now
			return f.tokens[i], nil
		}
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "there is no token %s", r.PathValue("id"))
}

func (f *fake) postJoinToken(*http.Request) (any, *raylink.Error) {
	return wire.JoinTokenAnswer{ID: "tok-bbbbbbbbbb", Secret: "rl_join_" + fakeToken[10:] + "." + f.fingerprint, ExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (f *fake) account() wire.Account {
	return wire.Account{ID: "acc-aaaaaaaaaa", Name: "Ann", Free: wire.Sums{f.free}, Held: wire.Sums{money.MicroUSD(0)}, Earned: wire.Sums{money.MicroUSD(0)}, CreatedAt: time.Now()}
}

func (f *fake) postAccount(*http.Request) (any, *raylink.Error) { return f.account(), nil }
func (f *fake) getAccounts(*http.Request) (any, *raylink.Error) {
	return []wire.Account{f.account()}, nil
}

func (f *fake) postGrant(r *http.Request) (any, *raylink.Error) {
	sum, err := f.free.Add(read[wire.GrantRequest](r).Amount)
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err)
	}
	f.free = sum
	return f.account(), nil
}

// contracted is a quote with the fake group's signature.
func contracted(q wire.Quote) wire.Quote {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{'G'}, ed25519.SeedSize))
	text, err := wire.QuoteBytes(q)
	if err != nil {
		panic(err)
	}
	q.Contract = &wire.Contract{Key: key.Public().(ed25519.PublicKey), Signature: ed25519.Sign(key, text)}
	return q
}

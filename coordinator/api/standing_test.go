package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/billing/price"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// secretHost has something in every field that tenants do not see.
func secretHost() raylink.Host {
	return raylink.Host{OS: "Debian", Kernel: "secret-kernel", Arch: "amd64", Memory: 64 << 30, Versions: map[string]string{"runc": "secret-version"},
		Isolation: []raylink.Isolation{raylink.IsolationContainer},
		Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "Ryzen"},
			{ID: "secret-uuid", Kind: raylink.DeviceGPU, Name: "RTX 4090", Memory: 24 << 30, Bus: "secret-bus", Fault: "secret-fault"}}}
}

// TestWhatTenantsSee: where a machine stands, why and what it is, but no UUID, bus, version or word about others; its owner and admins see all.
func TestWhatTenantsSee(t *testing.T) {
	r := newRig(t)
	id := machineID("mone")
	r.memory.Agent(id, wire.AgentReport{Images: []string{"raylink/worker:1", strings.Repeat("x", 300)}})
	r.apply(time.Now(), &state.SetHost{ID: id, Host: secretHost()}, &state.QuarantineMachine{ID: id, Reason: raylink.ReasonDuplicate, Detail: "secret-detail"})
	for who, whole := range map[string]bool{"ada": false, "bob": false, "sam": true, "admin": true} {
		for _, path := range []string{"/v1/machines", "/v1/machines/" + string(id)} {
			got := r.call(who, "GET", path, nil)
			for _, secret := range []string{"secret-kernel", "secret-version", "secret-uuid", "secret-bus", "secret-fault", "secret-detail"} {
				if strings.Contains(string(got.body), secret) != whole {
					t.Errorf("%s sees of %s: %s, in %s", who, path, secret, got.body)
				}
			}
			for _, open := range []string{`"state":"quarantined","reason":"duplicate"`, "RTX 4090", `"images":["raylink/worker:1"]`} {
				if !strings.Contains(string(got.body), open) {
					t.Errorf("%s misses of %s: %s in %s", who, path, open, got.body)
				}
			}
		}
	}
	var kept *raylink.Host
	r.group.Read(func(s *state.State) { kept = s.Machines[id].Host })
	if kept.Devices[1].ID != "secret-uuid" {
		t.Error("what was hidden from a tenant is gone from the state")
	}
}

// TestAgentsView: the agent is told how the group sees it, and its poll wakes when that changes, not when time passes.
func TestAgentsView(t *testing.T) {
	r := newRig(t)
	ask := func() (a wire.Assignment) {
		if got := r.call("machine", "GET", "/v1/agent/assignment", nil); json.Unmarshal(got.body, &a) != nil || got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return a
	}
	first := ask()
	r.memory.Agent(machineID("mone"), wire.AgentReport{})
	if again := ask(); again.Revision != first.Revision || first.Standing.Reason != raylink.ReasonNoInventory {
		t.Errorf("%s, then %s: %+v", first.Revision, again.Revision, first.Standing)
	}
	r.apply(time.Now(), &state.QuarantineMachine{ID: machineID("mone"), Reason: raylink.ReasonDeviceFault})
	if now := ask(); now.Revision == first.Revision || now.Standing.Reason != raylink.ReasonDeviceFault {
		t.Errorf("%+v", now.Standing)
	}
}

// TestNotice: an owner gives notice of so long, and takes it back; who drains is known; a repeated request is the same one.
func TestNotice(t *testing.T) {
	r := newRig(t)
	r.memory.Agent(machineID("mone"), wire.AgentReport{})
	do := func(who, action, notice string, status int) (m wire.Machine) {
		t.Helper()
		got := r.call(who, "POST", "/v1/machines/mone/"+action, wire.MachineAction{Notice: notice}, "Idempotency-Key", fmt.Sprint(who, action, notice))
		if got.status != status || (status == 200 && json.Unmarshal(got.body, &m) != nil) {
			t.Errorf("%s %s %s: %d %s", who, action, notice, got.status, got.body)
		}
		return m
	}
	first := do("sam", "drain", "24h", 200)
	if s := first.Standing; s.Reason != raylink.ReasonNotice || s.Leaves == nil || time.Until(*s.Leaves).Round(time.Hour) != 24*time.Hour {
		t.Errorf("%+v", s)
	}
	if again := do("sam", "drain", "24h", 200); !again.Standing.Leaves.Equal(*first.Standing.Leaves) {
		t.Errorf("asked for again it leaves at %s", again.Standing.Leaves)
	}
	for _, bad := range []string{"soon", "-1h", "0s", "2000h"} {
		do("sam", "drain", bad, 400)
	}
	do("sam", "resume", "1h", 400)
	if m := do("sam", "resume", "", 200); m.Standing.Reason == raylink.ReasonNotice || m.Standing.Leaves != nil {
		t.Errorf("%+v", m.Standing)
	}
	if m := do("admin", "drain", "", 200); m.Standing.Reason != raylink.ReasonAdminDrain {
		t.Errorf("%+v", m.Standing)
	}
}

// TestVersionsAreSigned: an admin alone cannot set them; with an operator's signature they stop what is below, and say so.
func TestVersionsAreSigned(t *testing.T) {
	r := newRig(t)
	r.memory.Agent(machineID("mone"), wire.AgentReport{})
	host := secretHost()
	host.Versions = map[string]string{"kernel": "5.10"}
	v := wire.Versions{Minimum: map[string]string{"kernel": "6.1"}, SignedAt: time.Now().UTC(), Operator: base64.StdEncoding.EncodeToString(publicOf("oracle"))}
	v.Signature = identity.Sign(keyOf("oracle"), identity.VersionsBytes(v.Minimum, v.SignedAt))
	if got := r.call("admin", "PUT", "/v1/policy/versions", v); got.status != 403 {
		t.Errorf("by a key that nobody knows: %d %s", got.status, got.body)
	}
	policy := price.Default()
	policy.Operators = []string{v.Operator}
	r.apply(time.Now(), &state.SetPricePolicy{Policy: policy}, &state.SetHost{ID: machineID("mone"), Host: host})
	forged := v
	forged.Minimum = map[string]string{"kernel": "1"}
	for _, c := range []struct {
		what   string
		policy wire.Versions
		status int
	}{{"forged", forged, 403}, {"signed", v, 200}, {"again", v, 409}} {
		if got := r.call("admin", "PUT", "/v1/policy/versions", c.policy); got.status != c.status {
			t.Errorf("%s: %d %s", c.what, got.status, got.body)
		}
	}
	for who, want := range map[string]string{"sam": "kernel 5.10 is older than 6.1", "ada": `"reason":"below-minimum"`} {
		if got := r.call(who, "GET", "/v1/machines/mone", nil); !strings.Contains(string(got.body), want) || strings.Contains(string(got.body), "5.10") != (who == "sam") {
			t.Errorf("%s: %s", who, got.body)
		}
	}
}

// TestMassLossAlarm: when many machines vanish at once every coordinator says so, and each of them stands as lost with the others.
func TestMassLossAlarm(t *testing.T) {
	r := newRig(t)
	seen := SeenAnswer{Machines: map[raylink.MachineID]time.Time{}, Since: time.Now().Add(-time.Hour)}
	r.group.mu.Lock()
	for i := range 10 {
		id := raylink.MachineID(fmt.Sprintf("m-%010d", i))
		r.group.s.Machines[id] = &state.Machine{ID: id, Name: string(id), State: state.MachineActive}
		seen.Machines[id] = time.Now().Add(-time.Minute)
	}
	r.group.mu.Unlock()
	r.group.calls[MethodSeen] = func(_ context.Context, _ []byte) ([]byte, error) { return json.Marshal(seen) }
	if got := r.call("", "GET", "/v1/status", nil); !strings.Contains(string(got.body), "10 of 10 machines fell silent together") {
		t.Errorf("%s", got.body)
	}
	if got := r.call("admin", "GET", "/v1/machines/m-0000000003", nil); !strings.Contains(string(got.body), `"reason":"mass-loss"`) {
		t.Errorf("%s", got.body)
	}
}

// TestQuoteShowsReliability: it is shown before renting, and is no part of what is signed.
func TestQuoteShowsReliability(t *testing.T) {
	r := newRig(t)
	read := func() (q wire.Quote) {
		if got := r.call("ada", "GET", "/v1/quotes/"+string(quote), nil); json.Unmarshal(got.body, &q) != nil || got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return q
	}
	before := read()
	r.group.mu.Lock()
	r.group.s.Machines[before.Nodes[0].Machine].Record = state.Record{Served: 9990, Lost: 10}
	r.group.mu.Unlock()
	after := read()
	if n := after.Nodes[0]; before.Nodes[0].Reliability != nil || n.Reliability == nil || *n.Reliability != 9990 || string(after.Contract.Signature) != string(before.Contract.Signature) {
		t.Errorf("%+v", n)
	}
}

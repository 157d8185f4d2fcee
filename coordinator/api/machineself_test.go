package api

import (
	"net/http"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// TestMachineActsForItself: a machine's certificate drains and resumes that machine, as its owner would, and no other; it bans nothing.
func TestMachineActsForItself(t *testing.T) {
	r := newRig(t)
	r.client("thief", r.certificate("mtwo", identity.Machine))
	own := "/v1/machines/" + string(machineID("mone"))
	for _, c := range []struct {
		who, path string
		want      int
		state     string
	}{
		{"machine", own + "/drain", http.StatusOK, "draining"},
		{"machine", own + "/resume", http.StatusOK, "up"},
		{"machine", own + "/ban", http.StatusForbidden, ""},
		{"machine", "/v1/machines/" + string(machineID("mtwo")) + "/drain", http.StatusForbidden, ""},
		{"machine", "/v1/machines/mone/drain", http.StatusForbidden, ""},
		{"thief", own + "/drain", http.StatusForbidden, ""},
	} {
		got := r.call(c.who, "POST", c.path, wire.MachineAction{Reason: "mine"})
		if got.status != c.want {
			t.Errorf("%s posts %s: %d %s, wanted %d", c.who, c.path, got.status, got.body, c.want)
			continue
		}
		if c.state == "" {
			continue
		}
		var m wire.Machine
		if got.into(t, &m); m.State != c.state {
			t.Errorf("%s posts %s: it is %q", c.who, c.path, m.State)
		}
	}
}

// TestMachineSeesWhetherItIsHeard: a machine that asks for itself is told what the leader has heard of it, which its assignment cannot tell; and all that its
// owner sees, of itself alone.
func TestMachineSeesWhetherItIsHeard(t *testing.T) {
	r := newRig(t)
	r.client("silent", r.certificate("mthree", identity.Machine))
	hash := identity.HashToken("join mthree")
	r.apply(time.Now(), &state.IssueJoinToken{ID: id[raylink.TokenID]("tok", "mthree"), Kind: state.JoinKindMachine, Account: id[raylink.AccountID]("acc", "sue"), Hash: hash, TTL: time.Hour},
		&state.JoinMachine{TokenHash: hash, ID: machineID("mthree"), PublicKey: identity.EncodeKey(publicOf("mthree")), Name: "mthree", Offer: raylink.Offer{Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Arch: "amd64"}})
	r.call("machine", "POST", "/v1/agent/report", wire.AgentReport{Paused: raylink.ReasonPaused})
	for who, want := range map[string]raylink.Reason{"machine": raylink.ReasonPaused, "silent": raylink.ReasonSilent} {
		name := map[string]string{"machine": "mone", "silent": "mthree"}[who]
		var m wire.Machine
		r.call(who, "GET", "/v1/machines/"+string(machineID(name)), nil).into(t, &m)
		if m.ID != machineID(name) || m.Standing.Reason != want || m.Standing.State != want.State() {
			t.Errorf("%s is told that %s is %s for %q, and it is %q", who, m.ID, m.Standing.State, m.Standing.Reason, want)
		}
		var a wire.Assignment
		if r.call(who, "GET", "/v1/agent/assignment", nil).into(t, &a); a.Standing.Reason == want {
			t.Errorf("the assignment of %s says %q, which is not in the log", who, want)
		}
	}
}

package api

import (
	"net/http"
	"testing"

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

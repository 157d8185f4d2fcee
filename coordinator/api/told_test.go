package api

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/coordinator/consensus"
	"raylink/coordinator/plan"
	"raylink/coordinator/reconcile"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// pair is a leader and another coordinator of one state. Where they remember what machines told, each does so by itself.
type pair struct {
	memory *reconcile.Memory
	doors  []http.Handler // the leader's, and the other's
	leader *fake
}

func newPair(r *rig, remember bool) pair {
	p := pair{memory: reconcile.NewMemory(), leader: &fake{s: r.group.s, moved: make(chan struct{}), calls: map[string]consensus.Handler{}}}
	var here, there *Told
	if remember {
		here, there = &Told{}, &Told{}
	}
	(&Leader{Group: p.leader, Memory: p.memory, Told: here}).Register(func(method string, h consensus.Handler) { p.leader.calls[method] = h })
	own := &Server{ID: "a", Group: p.leader, Roster: r.group, Authority: r.auth, Log: r.server.Log, Told: here}
	other := &Server{ID: "b", Group: p.leader, Roster: r.group, Authority: r.auth, Log: r.server.Log, Told: there}
	p.doors = []http.Handler{own.Handler(), other.Handler()}
	return p
}

// oldWord is how a coordinator that reads every report anew hands it to the leader.
type oldWord struct {
	ID     raylink.MachineID `json:"id"`
	Report wire.AgentReport  `json:"report"`
}

// TestTheLeaderHearsTheSame: whichever coordinator hears a report, whether it is remembered there or read, and whether the coordinator is of an earlier
// release, the leader has the same of it as one that reads each anew; and what is refused is refused alike.
func TestTheLeaderHearsTheSame(t *testing.T) {
	f := newFleet(t, 2)
	texts := reportTexts(t)
	rapid.Check(t, func(t *rapid.T) {
		clever, dumb := newPair(f.rig, true), newPair(f.rig, false)
		for range rapid.IntRange(1, 12).Draw(t, "reports") {
			who, text := rapid.IntRange(0, 1).Draw(t, "machine"), rapid.SampledFrom(texts).Draw(t, "text")
			door := rapid.IntRange(0, 3).Draw(t, "door")
			if door == 3 { // a new term of leadership begins
				clever.memory.Reset()
				dumb.memory.Reset()
				continue
			}
			want := tell(dumb.doors[0], f.certs[who], text)
			if door == 2 {
				tellOld(t, clever.leader, f.ids[who], text)
			} else if got := tell(clever.doors[door], f.certs[who], text); got.Code != want.Code || got.Body.String() != want.Body.String() {
				t.Errorf("%s at %d: %d %s, wanted %d %s", text, door, got.Code, got.Body, want.Code, want.Body)
			}
			got, have := clever.memory.Seen().Machines, dumb.memory.Seen().Machines
			if a, b := heard(t, got), heard(t, have); a != b {
				t.Errorf("after %s at %d the leader has\n%s, wanted\n%s", text, door, a, b)
			}
		}
	})
}

// reportTexts are bodies of reports: of idle machines and busy ones, the same said in other words, and what is no report.
func reportTexts(t *testing.T) []string {
	began := time.Date(2026, 3, 1, 12, 0, 0, 5, time.FixedZone("", 3600))
	idle := idleReport(began, "GPU-a")
	other, paused, busy := idleReport(began, "GPU-b"), idle, idle
	paused.Paused, paused.Leaves, paused.Host = raylink.ReasonPaused, &began, nil
	busy.Leases = []wire.LeaseReport{{Lease: "l-one", Stage: raylink.StageRunning, Blocked: []string{"<&>"}, Minutes: []wire.MinuteRecord{{Lease: "l-one", Ordinal: 3, Seconds: 60}}}}
	large := idle
	large.Images = []string{strings.Repeat("x", toldMost)}
	texts := []string{"", "null", "{}", `{"leases":[]}`, " {\n} ", `{"leases":[],"images":[]}`, `{"offer":{},"offer":{"arch":"arm64"},"leases":null}`, "{} {}", "{}}", `{"nobody":1}`, "[]", "{", "\u00a0{}",
		`{"leases":[]},"id":"m-other","x":{}`, `{"images":["\"} ,\"report\":{\"images\":[\"y\"]}"]}`, `{"started":"2026-03-01T12:00:00+01:00","leases":[{"lease":"l-one","endpoint":"1.2.3.4:5"}]}`}
	for _, r := range []wire.AgentReport{idle, other, paused, busy, large} {
		texts = append(texts, textOf(t, r), " "+textOf(t, r)+"\n")
	}
	return texts
}

func textOf(t *testing.T, r wire.AgentReport) string {
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// idleReport is what the agent of a machine with one GPU reports while nothing runs there: all of it, each time.
func idleReport(started time.Time, gpu string) wire.AgentReport {
	return wire.AgentReport{Started: started, Leases: []wire.LeaseReport{}, Images: []string{"raylink/worker:2.60.0-py311"},
		Offer: &raylink.Offer{Resources: raylink.Resources{CPU: 16 * raylink.Unit, Memory: 60 << 30, GPU: raylink.Unit}, Arch: "amd64", Accelerator: "RTX-4090", CPUHour: 60_000, GPUHour: 400_000},
		Host: &raylink.Host{OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-18-amd64", Arch: "amd64", Memory: 64 << 30, Isolation: []raylink.Isolation{raylink.IsolationContainer},
			Versions: map[string]string{raylink.VersionAgent: "1.0.0", raylink.VersionKernel: "6.1.76", raylink.VersionDocker: "27.3.1", raylink.VersionRunc: "1.1.14", raylink.VersionDriver: "550.90.07",
				raylink.VersionToolkit: "1.16.2"},
			Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Vendor: "amd", Name: "AMD Ryzen 9 5950X 16-Core Processor", Cores: 16, Threads: 32, Cache: 64 << 20,
				Features: []string{"avx2", "fma", "sha_ni", "vaes"}},
				{ID: gpu, Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: "NVIDIA GeForce RTX 4090", Model: "RTX-4090", Memory: 24564 << 20, Bus: "00000000:01:00.0"}}}}
}

func tell(door http.Handler, cert *x509.Certificate, text string) *httptest.ResponseRecorder {
	got := httptest.NewRecorder()
	door.ServeHTTP(got, proven(cert, httptest.NewRequest("POST", "/v1/agent/report", strings.NewReader(text))))
	return got
}

// tellOld is what a coordinator of an earlier release does with a report.
func tellOld(t *rapid.T, leader *fake, id raylink.MachineID, text string) {
	word := oldWord{ID: id}
	if strictly([]byte(text), &word.Report) != nil {
		return
	}
	raw, err := json.Marshal(word)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leader.CallLeader(t.Context(), MethodAgent, raw); err != nil {
		t.Error(err)
	}
}

// heard is what the leader has of all machines, but for the moments.
func heard(t *rapid.T, machines map[raylink.MachineID]plan.MachineSeen) string {
	reports := map[raylink.MachineID]wire.AgentReport{}
	for id, m := range machines {
		reports[id] = m.Report
	}
	raw, err := json.Marshal(reports)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestTheSameBytesAreReadOnce: of an idle machine's reports only the first is decoded, at the leader itself and on the way there; another text is another report.
func TestTheSameBytesAreReadOnce(t *testing.T) {
	f := newFleet(t, 2)
	p := newPair(f.rig, true)
	first, second := textOf(t, idleReport(time.Now(), "GPU-a")), textOf(t, idleReport(time.Now(), "GPU-b"))
	said := func(door int, text string) *raylink.Host {
		if got := tell(p.doors[door], f.certs[0], text); got.Code != http.StatusNoContent {
			t.Fatalf("%d: %s", got.Code, got.Body)
		}
		return p.memory.Seen().Machines[f.ids[0]].Report.Host
	}
	for door := range p.doors {
		one := said(door, first)
		if again := said(door, first); again != one {
			t.Errorf("by %d: the same text was decoded again", door)
		}
		if padded := said(door, " "+first+"\n"); padded != one {
			t.Errorf("by %d: white space makes another report", door)
		}
		if other := said(door, second); other == one || reflect.DeepEqual(other, one) {
			t.Errorf("by %d: another text is taken for the same", door)
		}
		tell(p.doors[door], f.certs[1], first)
		if theirs := p.memory.Seen().Machines[f.ids[1]].Report.Host; theirs == one || !reflect.DeepEqual(theirs, one) {
			t.Errorf("by %d: one machine's report is another's", door)
		}
	}
}

// TestLittleIsRemembered: of a report that takes little to say and much to keep nothing is kept, nor of one that is never said twice.
func TestLittleIsRemembered(t *testing.T) {
	idle := idleReport(time.Now(), "GPU-a")
	many, hired := idle, idle
	many.Host = &raylink.Host{Devices: make([]raylink.Device, toldDevices+1)}
	hired.Leases = []wire.LeaseReport{{Lease: "l-aaaaaaaaaa"}}
	for what, x := range map[string]struct {
		report wire.AgentReport
		kept   int
	}{"idle": {idle, 1}, "very many devices": {many, 0}, "a lease": {hired, 0}} {
		told := &Told{}
		if _, err := told.read("m-aaaaaaaaaa", []byte(textOf(t, x.report)), true); err != nil || len(told.last) != x.kept {
			t.Errorf("%s: %d kept, %v", what, len(told.last), err)
		}
	}
}

// TestALeaderIsLenient: a field of a later release is refused where an agent sends it, and read over where a coordinator of that release passes it on; the one does not
// open the door for the other.
func TestALeaderIsLenient(t *testing.T) {
	f := newFleet(t, 1)
	p := newPair(f.rig, true)
	text := `{"leases":[],"paused":"paused","later":{"x":1}}`
	for range 2 {
		if got := tell(p.doors[0], f.certs[0], text); got.Code != http.StatusBadRequest {
			t.Errorf("%d: %s", got.Code, got.Body)
		}
		if _, err := p.leader.CallLeader(t.Context(), MethodAgent, agentWord(f.ids[0], []byte(text))); err != nil {
			t.Error(err)
		}
		if got := p.memory.Seen().Machines[f.ids[0]].Report.Paused; got != raylink.ReasonPaused {
			t.Errorf("the leader heard %q", got)
		}
	}
	// And a word of theirs may hold more than an id and a report.
	word := `{"id":"` + string(f.ids[0]) + `","report":{"leases":[],"paused":"notice"},"later":{"y":2}}`
	for range 2 {
		if _, err := p.leader.CallLeader(t.Context(), MethodAgent, []byte(word)); err != nil {
			t.Error(err)
		}
		if got := p.memory.Seen().Machines[f.ids[0]].Report.Paused; got != raylink.ReasonNotice {
			t.Errorf("the leader heard %q", got)
		}
	}
}

// TestBannedMachinesStayUnheard: that a report is known does not let a machine in that is banned since.
func TestBannedMachinesStayUnheard(t *testing.T) {
	f := newFleet(t, 1)
	p := newPair(f.rig, true)
	if got := tell(p.doors[0], f.certs[0], "{}"); got.Code != http.StatusNoContent {
		t.Fatalf("%d: %s", got.Code, got.Body)
	}
	f.group.s.Machines[f.ids[0]].State = state.MachineBanned
	for door := range p.doors {
		if got := tell(p.doors[door], f.certs[0], "{}"); got.Code != http.StatusForbidden {
			t.Errorf("by %d: %d: %s", door, got.Code, got.Body)
		}
	}
}

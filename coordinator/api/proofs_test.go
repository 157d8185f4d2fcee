package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// shelf keeps transcripts in memory.
type shelf struct {
	mu    sync.Mutex
	texts map[string][]byte
}

func (s *shelf) Keep(sha256 string, text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[sha256] = text
	return nil
}

func (s *shelf) Text(sha256 string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.texts[sha256]; ok {
		return text, nil
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "kept no more").WithHint("export it in time")
}

func proofID(name string) raylink.ProofID { return id[raylink.ProofID]("p", name) }

// opening is a small proof of sam's machine.
func opening(name string, walk bool) *state.OpenProof {
	c := &state.OpenProof{ID: proofID(name), Machine: machineID("mone"), Device: raylink.CPUDevice, Claim: state.Claim{Kind: raylink.DeviceCPU}, Why: state.WhyDue,
		Task: challenge.Task{Version: 1, Size: 64, Tile: 16, Links: 2, Openings: 8}}
	if walk {
		c.Task.Memory, c.Task.Segments, c.Task.Steps, c.Task.Checks = 4*challenge.Block, 4, 64, 2
	}
	return c
}

// proving is a rig with a policy and a judge.
func proving(t *testing.T) (*rig, *shelf) {
	t.Helper()
	r := newRig(t)
	kept := &shelf{texts: map[string][]byte{}}
	r.server.Judge = &Judge{Transcripts: kept, Multiplier: challenge.Plain{}}
	r.apply(time.Now(), &state.SetProofPolicy{Policy: state.DefaultProofPolicy()})
	r.client("mtwo", r.certificate("mtwo", identity.Machine))
	return r, kept
}

func path(name, step string) string { return "/v1/agent/proofs/" + string(proofID(name)) + "/" + step }

// answered goes through a proof up to its answer, which spoil may change.
func (r *rig) answered(t *testing.T, name string, spoil func(*challenge.Answer)) answer {
	t.Helper()
	var begun wire.ProofBegun
	r.call("machine", "POST", path(name, "begin"), struct{}{}).into(t, &begun)
	h := &honest{}
	c := h.compute(begun.Task, begun.Seed)
	var walk wire.ProofWalk
	r.call("machine", "POST", path(name, "commit"), wire.ProofCommit{Commitment: c}).into(t, &walk)
	root := h.wander(walk.Entropy)
	var open wire.ProofOpen
	r.call("machine", "POST", path(name, "walked"), wire.ProofWalked{Root: root}).into(t, &open)
	a := h.open(open.Entropy, c, root)
	if spoil != nil {
		spoil(&a)
	}
	return r.call("machine", "POST", path(name, "answer"), wire.ProofAnswer{Answer: a})
}

// TestProofOverTheWire proves a device with and without its memory, and verifies the transcript as a stranger would.
func TestProofOverTheWire(t *testing.T) {
	r, _ := proving(t)
	for _, walk := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "walked"}[walk]
		r.apply(time.Now(), opening(name, walk))
		var a wire.Assignment
		r.call("machine", "GET", "/v1/agent/assignment", nil).into(t, &a)
		if len(a.Proofs) != 1 || a.Proofs[0].ID != proofID(name) || a.Proofs[0].By != "" {
			t.Fatalf("the assignment says %+v", a.Proofs)
		}
		var p wire.Proof
		r.answered(t, name, nil).into(t, &p)
		if p.State != state.ProofPassed || p.Judge != "a" || p.SHA256 == "" || p.Why != state.WhyDue {
			t.Fatalf("%+v", p)
		}
		var again wire.Proof
		r.call("machine", "POST", path(name, "answer"), wire.ProofAnswer{}).into(t, &again)
		if again.State != state.ProofPassed || again.SHA256 != p.SHA256 {
			t.Errorf("a second answer makes of it %+v", again)
		}
		for who, want := range map[string]int{"sam": 200, "admin": 200, "sue": 404, "ada": 404, "": 401, "machine": 401} {
			if got := r.call(who, "GET", "/v1/proofs/"+string(p.ID)+"/transcript", nil); got.status != want {
				t.Errorf("%q gets %d for the transcript", who, got.status)
			}
		}
		text := r.call("sam", "GET", "/v1/proofs/"+string(p.ID)+"/transcript", nil).body
		sum := sha256.Sum256(text)
		transcript, err := challenge.Decode(text)
		if err != nil || hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Fatalf("%v, %x for %s", err, sum, p.SHA256)
		}
		if err := challenge.Verify(transcript, challenge.Plain{}); err != nil || transcript.Machine != string(machineID("mone")) || transcript.Judge != "a" {
			t.Errorf("%v: %+v", err, transcript)
		}
	}
	var list []wire.Proof
	r.call("sam", "GET", "/v1/proofs?machine=mone", nil).into(t, &list)
	if len(list) != 2 {
		t.Errorf("sam sees %d proofs", len(list))
	}
	r.call("sue", "GET", "/v1/proofs", nil).into(t, &list)
	if len(list) != 0 {
		t.Errorf("sue sees %+v", list)
	}
}

// TestCheats: a wrong answer fails, with words of what is wrong; what no device can do fails as well.
func TestCheats(t *testing.T) {
	r, kept := proving(t)
	for name, c := range map[string]struct {
		walk  bool
		spoil func(*challenge.Answer)
		most  int64
	}{
		"path":    {false, func(a *challenge.Answer) { a.Tiles[3].Path[0][0] ^= 1 }, 0},
		"fewer":   {false, func(a *challenge.Answer) { a.Tiles = a.Tiles[1:] }, 0},
		"nothing": {true, func(a *challenge.Answer) { *a = challenge.Answer{} }, 0},
		"lane":    {true, func(a *challenge.Answer) { a.Segments[1].End++ }, 0},
		"magic":   {false, nil, 1},
	} {
		r.reset()
		r.apply(time.Now(), &state.SetProofPolicy{Policy: state.DefaultProofPolicy()}, opening(name, c.walk))
		r.server.Judge.Band = nil
		if c.most > 0 {
			r.server.Judge.Band = func(state.Claim) (int64, int64) { return 0, c.most }
		}
		var p wire.Proof
		r.answered(t, name, c.spoil).into(t, &p)
		if p.State != state.ProofFailed || p.Detail == "" || p.SHA256 == "" {
			t.Errorf("%s: %+v", name, p)
		}
		if _, err := kept.Text(p.SHA256); err != nil {
			t.Errorf("%s: the proof of the failure is not kept: %v", name, err)
		}
		r.group.Read(func(s *state.State) {
			if why, _ := s.Unproven(s.Machines[machineID("mone")], s.Now); why != raylink.ReasonProofFailed {
				t.Errorf("%s: the machine stands as %q", name, why)
			}
		})
	}
}

// TestWalksAreBounded: how long a walk may take is the judge's word, from what the device claims to be and the task that it was given; and the time that counts is
// the group's own.
func TestWalksAreBounded(t *testing.T) {
	r, kept := proving(t)
	asked := state.Claim{}
	r.server.Judge.Reads = func(c state.Claim) int64 { asked = c; return 1 }
	claim := state.Claim{Kind: raylink.DeviceGPU, Name: "a GPU", Memory: 4 * challenge.Block}
	at := time.Now()
	p := state.Proof{ID: proofID("timed"), Machine: machineID("mone"), Device: "GPU-1", Claim: claim, Task: opening("timed", true).Task, BegunAt: &at, CommittedAt: &at, WalkedAt: &at}
	h := &honest{}
	p.Commitment = h.compute(p.Task, challenge.Bind(p.Nonce, string(p.ID), string(p.Machine), p.Device, p.Task))
	p.WalkRoot = h.wander(p.WalkDraw)
	v, err := r.server.Judge.judge(t.Context(), "a", p, h.open(p.OpenDraw, p.Commitment, p.WalkRoot))
	if err != nil || !v.Right || asked != claim || v.WalkMost != challenge.WalkMost(p.Task, 1) || v.WalkMost == 0 {
		t.Errorf("%v, %+v of %+v", err, v, asked)
	}
	if len(kept.texts) != 1 {
		t.Error("the transcript is not kept")
	}
	p.Task = opening("timed", false).Task
	if v, err := r.server.Judge.judge(t.Context(), "a", p, challenge.Answer{}); err != nil || v.WalkMost != 0 {
		t.Errorf("a walk that there is not is bounded: %v, %+v", err, v)
	}
}

// TestStolen: with another machine's certificate, ids in headers and bodies changed as one likes, nothing of a proof can be seen or done.
func TestStolen(t *testing.T) {
	r, _ := proving(t)
	r.apply(time.Now(), opening("mine", false))
	mone := string(machineID("mone"))
	headers := []string{"X-Machine", mone, "X-Forwarded-For", "127.0.0.1", "X-Raylink-Machine", mone, "Authorization", "Bearer " + r.tokens["sam"]}
	bodies := map[string]any{"begin": struct{}{}, "commit": wire.ProofCommit{}, "walked": wire.ProofWalked{}, "answer": wire.ProofAnswer{}}
	for step, body := range bodies {
		if got := r.call("mtwo", "POST", path("mine", step), body, headers...); got.status != http.StatusNotFound {
			t.Errorf("%s with another machine's certificate: %d %s", step, got.status, got.body)
		}
		if got := r.call("sam", "POST", path("mine", step), body); got.status != http.StatusUnauthorized {
			t.Errorf("%s with its owner's access token: %d", step, got.status)
		}
		if got := r.call("machine", "POST", path("mine", step), `{"machine":"`+mone+`"}`); step != "begin" && got.status != http.StatusBadRequest {
			t.Errorf("%s with a machine in its body: %d", step, got.status)
		}
	}
}

// TestReplayed: seeds, commitments and answers of another proof, or of another time, fit nowhere.
func TestReplayed(t *testing.T) {
	r, _ := proving(t)
	r.apply(time.Now(), opening("first", false))
	var begun wire.ProofBegun
	var open wire.ProofOpen
	r.call("machine", "POST", path("first", "begin"), struct{}{}).into(t, &begun)
	var again wire.ProofBegun
	r.call("machine", "POST", path("first", "begin"), struct{}{}).into(t, &again)
	if again.Seed != begun.Seed {
		t.Error("asking again gives another seed: one could choose")
	}
	h := &honest{}
	c := h.compute(begun.Task, begun.Seed)
	r.call("machine", "POST", path("first", "commit"), wire.ProofCommit{Commitment: c}).into(t, &wire.ProofWalk{})
	other := challenge.Commitment{Roots: []challenge.Hash{c.Roots[0], {1}}}
	if got := r.call("machine", "POST", path("first", "commit"), wire.ProofCommit{Commitment: other}); got.status != http.StatusConflict {
		t.Errorf("a second commitment: %d", got.status)
	}
	r.call("machine", "POST", path("first", "walked"), wire.ProofWalked{}).into(t, &open)
	var twice wire.ProofOpen
	r.call("machine", "POST", path("first", "walked"), wire.ProofWalked{}).into(t, &twice)
	if twice.Entropy != open.Entropy {
		t.Error("asking again draws other openings: one could choose")
	}
	a := h.open(open.Entropy, c, challenge.Hash{})
	var p wire.Proof
	r.call("machine", "POST", path("first", "answer"), wire.ProofAnswer{Answer: a}).into(t, &p)
	if p.State != state.ProofPassed {
		t.Fatalf("%+v", p)
	}
	r.apply(time.Now(), opening("second", false))
	r.call("machine", "POST", path("second", "begin"), struct{}{}).into(t, &begun)
	r.call("machine", "POST", path("second", "commit"), wire.ProofCommit{Commitment: c}).into(t, &wire.ProofWalk{})
	r.call("machine", "POST", path("second", "walked"), wire.ProofWalked{}).into(t, &open)
	r.call("machine", "POST", path("second", "answer"), wire.ProofAnswer{Answer: h.open(open.Entropy, c, challenge.Hash{})}).into(t, &p)
	if p.State != state.ProofFailed {
		t.Errorf("the first proof's results pass as the second's: %+v", p)
	}
}

// TestLateAnswer: what comes after its deadline is not judged.
func TestLateAnswer(t *testing.T) {
	r, _ := proving(t)
	r.apply(time.Now(), opening("late", false))
	r.call("machine", "POST", path("late", "begin"), struct{}{}).into(t, &wire.ProofBegun{})
	r.apply(time.Now().Add(time.Minute), &state.SetProofPolicy{Policy: state.DefaultProofPolicy()}) // the group's clock goes on
	commit := wire.ProofCommit{Commitment: challenge.Commitment{Roots: make([]challenge.Hash, 2)}}
	got := r.call("machine", "POST", path("late", "commit"), commit)
	if e := got.refusal(t); got.status != http.StatusConflict || !strings.Contains(e.Message, "was to go on by") || e.Hint == "" {
		t.Errorf("%d %+v", got.status, e)
	}
}

// TestAppealOverTheWire: what one judge held against a machine another one judges anew; no other coordinator does, and the owner alone may ask.
func TestAppealOverTheWire(t *testing.T) {
	r, _ := proving(t)
	if got := r.call("sam", "POST", "/v1/machines/mone/appeal", wire.MachineAction{}); got.status != http.StatusConflict {
		t.Errorf("an appeal against nothing: %d %s", got.status, got.body)
	}
	r.apply(time.Now(), &state.JoinMember{ID: "b", Raft: "b:1", API: "https://b:1"}, opening("bad", false))
	r.answered(t, "bad", func(a *challenge.Answer) { a.Tiles[0].Tile ^= 1 })
	if got := r.call("sue", "POST", "/v1/machines/"+string(machineID("mone"))+"/appeal", wire.MachineAction{}); got.status != http.StatusNotFound {
		t.Errorf("somebody else appeals: %d", got.status)
	}
	if got := r.call("sam", "POST", "/v1/machines/mone/appeal", wire.MachineAction{}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a group with no other voter: %d %s", got.status, got.body)
	}
	appeal := opening("appeal", false)
	appeal.Why, appeal.By, appeal.Of = state.WhyAppeal, "b", proofID("bad")
	r.apply(time.Now(), appeal)
	var a wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment", nil).into(t, &a)
	if len(a.Proofs) != 1 || a.Proofs[0].By != "https://b:1" {
		t.Errorf("%+v", a.Proofs)
	}
	if got := r.answered(t, "appeal", nil); got.status != http.StatusServiceUnavailable || !strings.Contains(got.refusal(t).Message, "only coordinator b") {
		t.Errorf("the first judge judges again: %d %s", got.status, got.body)
	}
	r.reset()
	r.apply(time.Now(), &state.SetProofPolicy{Policy: state.DefaultProofPolicy()}, &state.JoinMember{ID: "b", Raft: "b:1", API: "https://b:1"}, opening("bad", false))
	m := machineID("mone")
	r.apply(time.Now(), &state.BeginProof{ID: proofID("bad"), Machine: m}, &state.CommitProof{ID: proofID("bad"), Machine: m, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, 2)}},
		&state.WalkProof{ID: proofID("bad"), Machine: m}, &state.JudgeProof{ID: proofID("bad"), Machine: m, Judge: "b", SHA256: strings.Repeat("0", 64)})
	if got := r.call("sam", "GET", "/v1/proofs/"+string(proofID("bad"))+"/transcript", nil); got.status != http.StatusServiceUnavailable || !strings.Contains(got.refusal(t).Hint, "https://b:1") {
		t.Errorf("a transcript that another keeps: %d %s", got.status, got.body)
	}
	r.call("sam", "POST", "/v1/machines/mone/appeal", wire.MachineAction{}, "Idempotency-Key", "k").into(t, &wire.Machine{})
	r.call("sam", "POST", "/v1/machines/mone/appeal", wire.MachineAction{}, "Idempotency-Key", "k").into(t, &wire.Machine{})
	var list []wire.Proof
	r.call("sam", "GET", "/v1/proofs", nil).into(t, &list)
	if len(list) != 2 || list[0].Why != state.WhyAppeal {
		t.Fatalf("%+v", list)
	}
	r.group.Read(func(s *state.State) {
		if p := s.Proofs[list[0].ID]; p.By != "a" || p.Task != opening("bad", false).Task {
			t.Errorf("%+v", p)
		}
	})
}

// TestProveUnderLease: the tenant asks, sees what came of it, and nobody else does; the budget ends it.
func TestProveUnderLease(t *testing.T) {
	r, _ := proving(t)
	if got := r.call("ada", "POST", "/v1/clusters/ready/prove", struct{}{}); got.status != http.StatusConflict {
		t.Errorf("nothing is known of its devices: %d", got.status)
	}
	r.apply(time.Now(), opening("idle", false))
	r.answered(t, "idle", nil)
	var done wire.Proved
	r.call("ada", "POST", "/v1/clusters/ready/prove", struct{}{}).into(t, &done)
	if len(done.Proofs) != 1 || done.Proofs[0].Why != state.WhyAsked || done.Proofs[0].Lease == "" {
		t.Fatalf("%+v", done)
	}
	for who, want := range map[string]int{"ada": 200, "sam": 200, "bob": 404, "sue": 404, "admin": 200} {
		if got := r.call(who, "GET", "/v1/proofs/"+string(done.Proofs[0].ID), nil); got.status != want {
			t.Errorf("%s gets %d", who, got.status)
		}
	}
	if got := r.call("ada", "POST", "/v1/clusters/ready/prove", struct{}{}); got.status != http.StatusConflict {
		t.Errorf("one is open already: %d %s", got.status, got.body)
	}
	r.call("sam", "POST", "/v1/machines/mone/prove", wire.MachineAction{}).refusal(t)
}

// TestProofPolicy changes what is given and leaves the rest.
func TestProofPolicy(t *testing.T) {
	r := newRig(t)
	var p wire.ProofPolicy
	r.call("ada", "GET", "/v1/proofs/policy", nil).into(t, &p)
	if *p.Required {
		t.Error("a group without a policy has one")
	}
	r.call("admin", "PUT", "/v1/proofs/policy", `{"required":true,"least":"30m","lottery":7}`).into(t, &p)
	if !*p.Required || p.Least != "30m0s" || p.Most != "6h0m0s" || *p.Lottery != 7 || p.Budget != "20s" {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{`{"budget":"21s"}`, `{"least":"soon"}`, `{"openings":0}`, `{"unheard":1}`} {
		if got := r.call("admin", "PUT", "/v1/proofs/policy", bad); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
}

// TestRoundIsHeld: who begins before his round does is told the seed when it begins, and not before; the clock runs from then.
func TestRoundIsHeld(t *testing.T) {
	r, _ := proving(t)
	c := opening("held", false)
	starts := time.Now().Add(300 * time.Millisecond).UTC()
	c.Round = &state.Round{Starts: starts, Of: 2}
	r.apply(time.Now(), c)
	var a wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment", nil).into(t, &a)
	if len(a.Proofs) != 1 || a.Proofs[0].Starts == nil || !a.Proofs[0].Starts.Equal(starts) || a.Proofs[0].Deadline.Before(starts.Add(30*time.Second)) {
		t.Fatalf("the assignment says %+v", a.Proofs)
	}
	entries := func() (n uint64) {
		r.group.Read(func(s *state.State) { n = s.Index })
		return n
	}
	before := entries()
	var p wire.Proof
	r.answered(t, "held", nil).into(t, &p)
	if n := entries() - before; n != 4 { // begin, commit, walked and the verdict: a begin that is held is no entry before its time
		t.Errorf("a proof whose begin was held is %d entries of the log", n)
	}
	if p.State != state.ProofPassed || p.Round != 2 || p.BegunAt == nil || !p.BegunAt.Equal(starts) {
		t.Errorf("%+v", p)
	}
	if !time.Now().After(starts) {
		t.Error("the round's proof ended before it began")
	}
}

// TestARoundIsHeldByTheLeadersClock: whose coordinator's clock is behind is given the seed when the log says that the round has begun, and whose is ahead fills
// the log with no begins meanwhile. What the log says is the leader's time.
func TestARoundIsHeldByTheLeadersClock(t *testing.T) {
	for what, ahead := range map[string]time.Duration{"the leader's clock is ahead of this coordinator's": 20 * time.Second, "it is behind": -time.Second} {
		r, _ := proving(t)
		r.group.ahead = ahead
		leaders := func() time.Time { return time.Now().Add(ahead) }
		c := opening("held", false)
		c.Round = &state.Round{Starts: time.Now().Add(max(ahead, 0) + 300*time.Millisecond).UTC(), Of: 2}
		r.apply(leaders(), c)
		index := func() (n uint64) {
			r.group.Read(func(s *state.State) { n = s.Index })
			return n
		}
		before := index()
		r.call("machine", "POST", path("held", "begin"), struct{}{}).into(t, &wire.ProofBegun{})
		if late := leaders().Sub(c.Round.Starts); late < 0 || late > 2*time.Second {
			t.Errorf("%s: the seed is given out %s after the round's begin", what, late)
		}
		if entries := index() - before; entries > 8 {
			t.Errorf("%s: one begin was %d entries of the log", what, entries)
		}
	}
}

package client

import (
	"net/http"
	"slices"
	"testing"

	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/wire"
)

// A proof's four steps go to whichever coordinator answers; those of an appeal to its judge alone, even if he is not known or has no time.
func TestProofsGoToTheirJudge(t *testing.T) {
	ca := newAuthority(t)
	var asked notes
	serve := func(name string, busy bool) string {
		return ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.add(name + " " + r.Method + " " + r.URL.Path)
			if busy {
				refuse(w, raylink.Errorf(raylink.CodeConflict, "the proof is over"))
				return
			}
			reply(w, map[string]any{"entropy": challenge.Seed{7}, "seed": challenge.Seed{7}, "state": "passed"})
		})).URL
	}
	all, judge, full := serve("any", false), serve("judge", false), serve("full", true)
	c, err := New(Config{Coordinators: []string{all}, CAPEM: ca.pem(), Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"", judge} {
		begun, err := c.BeginProof(t.Context(), by, "p-aaaaaaaaaa")
		if err != nil || begun.Seed != (challenge.Seed{7}) {
			t.Fatal(begun, err)
		}
		if walk, err := c.CommitProof(t.Context(), by, "p-aaaaaaaaaa", wire.ProofCommit{}); err != nil || walk.Entropy != (challenge.Seed{7}) {
			t.Fatal(walk, err)
		}
		if open, err := c.WalkedProof(t.Context(), by, "p-aaaaaaaaaa", wire.ProofWalked{}); err != nil || open.Entropy != (challenge.Seed{7}) {
			t.Fatal(open, err)
		}
		if proof, err := c.AnswerProof(t.Context(), by, "p-aaaaaaaaaa", wire.ProofAnswer{}); err != nil || proof.State != "passed" {
			t.Fatal(proof, err)
		}
	}
	if _, err := c.BeginProof(t.Context(), full, "p-aaaaaaaaaa"); raylink.AsError(err).Code != raylink.CodeConflict {
		t.Fatal(err)
	}
	if _, err := c.BeginProof(t.Context(), "http://plain", "p-aaaaaaaaaa"); err == nil {
		t.Fatal("plain HTTP was spoken to")
	}
	const path = " POST /v1/agent/proofs/p-aaaaaaaaaa/"
	want := []string{"any" + path + "begin", "any" + path + "commit", "any" + path + "walked", "any" + path + "answer",
		"judge" + path + "begin", "judge" + path + "commit", "judge" + path + "walked", "judge" + path + "answer", "full" + path + "begin"}
	if got := asked.all(); !slices.Equal(got, want) {
		t.Fatalf("asked %q", got)
	}
	if len(c.Coordinators()) != 1 {
		t.Fatalf("a judge became one of all: %q", c.Coordinators())
	}
}

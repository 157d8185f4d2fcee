package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
)

const fakeTranscript = `{"proof":"p-aaaaaaaaaa"}`

// proofRoutes are the fake network's ways of proofs: one that passed, and one whose transcript was changed.
func (f *fake) proofRoutes() map[string]handler {
	sum := sha256.Sum256([]byte(fakeTranscript))
	opened := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	begun, ended := opened.Add(time.Second), opened.Add(4*time.Second)
	good := wire.Proof{ID: "p-aaaaaaaaaa", Machine: f.machine.ID, Device: raylink.CPUDevice, Why: "joined", State: "passed", OpenedAt: opened, BegunAt: &begun, EndedAt: &ended,
		Millis: 1500, Rate: 41_234, Judge: "a", SHA256: hex.EncodeToString(sum[:])}
	forged := good
	forged.ID, forged.SHA256 = "p-bbbbbbbbbb", hex.EncodeToString(make([]byte, 32))
	required, lottery, openings, rounds, memory := true, int64(50), 64, 3, true
	policy := wire.ProofPolicy{Required: &required, Least: "1h0m0s", Most: "6h0m0s", Work: "1.5s", Openings: &openings, Lottery: &lottery, Begin: "2m0s", Compute: "8s", Walk: "4s",
		Answer: "30s", Budget: "20s", Rounds: &rounds, Memory: &memory, Retry: "10m0s", Appeals: "6h0m0s"}
	byID := func(r *http.Request) (wire.Proof, *raylink.Error) {
		for _, p := range []wire.Proof{good, forged} {
			if string(p.ID) == r.PathValue("id") {
				return p, nil
			}
		}
		return good, raylink.Errorf(raylink.CodeNotFound, "no proof %q", r.PathValue("id")).WithHint("see `raylink challenge list`")
	}
	return map[string]handler{
		"GET /v1/proofs": func(r *http.Request) (any, *raylink.Error) {
			if r.URL.Query().Get("machine") == "none" {
				return []wire.Proof{}, nil
			}
			return []wire.Proof{good, forged}, nil
		},
		"GET /v1/proofs/{id}": func(r *http.Request) (any, *raylink.Error) { return byID(r) },
		"GET /v1/proofs/{id}/transcript": func(r *http.Request) (any, *raylink.Error) {
			if _, err := byID(r); err != nil {
				return nil, err
			}
			return map[string]string{"proof": "p-aaaaaaaaaa"}, nil
		},
		"GET /v1/proofs/policy": func(*http.Request) (any, *raylink.Error) { return policy, nil },
		"PUT /v1/proofs/policy": func(r *http.Request) (any, *raylink.Error) {
			asked := read[wire.ProofPolicy](r)
			if asked.Required != nil {
				required = *asked.Required
			}
			if asked.Lottery != nil {
				lottery = *asked.Lottery
			}
			return policy, nil
		},
		"POST /v1/clusters/{id}/prove": func(*http.Request) (any, *raylink.Error) {
			return wire.Proved{Proofs: []wire.Proof{good}, Refused: []string{"GPU-1 of machine m-x: it had its 20 s"}}, nil
		},
	}
}

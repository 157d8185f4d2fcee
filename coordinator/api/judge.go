package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
)

// Transcripts keeps what was said in proofs, by the SHA-256 of its text.
type Transcripts interface {
	Keep(sha256 string, text []byte) error
	// Text is what was kept, or an error of code not_found.
	Text(sha256 string) ([]byte, error)
}

// Judge checks answers to challenges, a few at a time.
type Judge struct {
	Transcripts Transcripts
	Multiplier  challenge.Multiplier
	Band        func(state.Claim) (least, most int64) // millions of int8 multiply-adds in a second that such a device does; 0 is not known; nil knows none
	Reads       func(state.Claim) int64               // millions of random reads of its memory in a second that such a device does at least; as above

	once  sync.Once
	turns chan struct{}
	mu    sync.Mutex
	busy  map[raylink.ProofID]bool
}

// judgesAtOnce is how many answers are checked at once: each takes a processor for a while, and the coordinator has other work.
const judgesAtOnce = 2

// maxWords is how many bytes of what is wrong with an answer are kept.
const maxWords = 300

// judge checks an answer, keeps the transcript, and gives the verdict to be proposed. It holds no lock of the state.
func (j *Judge) judge(ctx context.Context, id string, p state.Proof, answer challenge.Answer) (*state.JudgeProof, error) {
	j.once.Do(func() { j.turns, j.busy = make(chan struct{}, judgesAtOnce), map[raylink.ProofID]bool{} })
	if !j.enter(p.ID) {
		return nil, raylink.Errorf(raylink.CodeConflict, "an answer of proof %s is being judged", p.ID).WithHint("the first counts: wait for it")
	}
	defer j.leave(p.ID)
	select {
	case j.turns <- struct{}{}:
		defer func() { <-j.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t := transcript(id, p, answer)
	wrong := challenge.Verify(t, j.Multiplier)
	if wrong != nil && !errors.Is(wrong, challenge.ErrWrong) {
		return nil, fmt.Errorf("proof %s cannot be judged: %w", p.ID, wrong)
	}
	text, err := t.Encode()
	if err != nil {
		return nil, fmt.Errorf("encoding the transcript of proof %s: %w", p.ID, err)
	}
	sum := sha256.Sum256(text)
	v := &state.JudgeProof{ID: p.ID, Machine: p.Machine, Right: wrong == nil, Judge: id, SHA256: hex.EncodeToString(sum[:]), Draw: draw()}
	if wrong != nil {
		v.Detail = words(wrong.Error())
	}
	if j.Band != nil {
		v.Least, v.Most = j.Band(p.Claim)
	}
	if j.Reads != nil {
		v.WalkMost = challenge.WalkMost(p.Task, j.Reads(p.Claim))
	}
	return v, j.Transcripts.Keep(v.SHA256, text)
}

func (j *Judge) enter(id raylink.ProofID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.busy[id] {
		return false
	}
	j.busy[id] = true
	return true
}

func (j *Judge) leave(id raylink.ProofID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.busy, id)
}

// words makes of an error what the log takes: printable, and not long. It may quote what the machine sent.
func words(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, text)
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "")
	}
	return text
}

// transcript is all that was said in a proof that waits for its verdict.
func transcript(judge string, p state.Proof, answer challenge.Answer) challenge.Transcript {
	t := challenge.Transcript{Proof: string(p.ID), Machine: string(p.Machine), Device: p.Device, Judge: judge, Task: p.Task, Nonce: p.Nonce, Commitment: p.Commitment,
		Entropy: p.OpenDraw, Answer: answer, Begun: at(p.BegunAt), Committed: at(p.CommittedAt)}
	if p.Task.Walks() {
		t.Walk, t.WalkRoot, t.Walked = p.WalkDraw, p.WalkRoot, at(p.WalkedAt)
	}
	return t
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

package api

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// maxAnswer is how long an agent's answer to a challenge may be, in bytes: 1,024 openings with their paths are about 1 MiB.
const maxAnswer = 4 << 20

// prover is the machine that a request comes from, by its certificate alone, and the proof that it names.
func (s *Server) prover(c *gin.Context) (raylink.MachineID, raylink.ProofID, error) {
	id, err := s.peer(c, identity.Machine)
	if err != nil {
		return "", "", err
	}
	return raylink.MachineID(id), raylink.ProofID(c.Param("id")), s.standing(identity.Machine, id)
}

// draw mints a seed. It is always new: what a machine may know beforehand it can prepare for, so nothing is derived from keys here.
func draw() challenge.Seed {
	var seed challenge.Seed
	rand.Read(seed[:])
	return seed
}

// proofOf is a copy of a machine's proof as this coordinator knows it now.
func (s *Server) proofOf(m raylink.MachineID, id raylink.ProofID) (state.Proof, error) {
	var p state.Proof
	err := error(raylink.Errorf(raylink.CodeNotFound, "no proof %.40q of machine %s", id, m).WithHint("the assignment names those that are open"))
	s.Group.Read(func(st *state.State) {
		if known, ok := st.Proofs[id]; ok && known.Machine == m {
			p, err = *known, nil
		}
	})
	return p, err
}

func (s *Server) postProofBegin(c *gin.Context) (any, error) {
	m, id, err := s.prover(c)
	if err != nil {
		return nil, err
	}
	err = s.holdBegin(c.Request.Context(), m, id, time.Now())
	for early := true; err == nil && early; {
		err = s.propose(c, "machine:"+string(m), "", &state.BeginProof{ID: id, Machine: m, Nonce: draw()}, nil)
		if early = err != nil && raylink.AsError(err).Code == raylink.CodeConflict && s.left(m, id) > 0; early {
			err = s.holdBegin(c.Request.Context(), m, id, time.Time{}) // this coordinator's clock is ahead of the leader's, whose time the log has since
		}
	}
	if err != nil {
		return nil, err
	}
	p, err := s.proofOf(m, id)
	if err != nil {
		return nil, err
	}
	return wire.ProofBegun{Task: p.Task, Seed: challenge.Bind(p.Nonce, string(p.ID), string(m), p.Device, p.Task)}, nil
}

// holdLook is how often a begin that is held is held against the log's time.
const holdLook = 50 * time.Millisecond

// holdBegin keeps a request that came before its round begins, so that all of a round are given their seeds at that moment: by this coordinator's clock, which
// says that it is now (a zero one says nothing), or earlier by the log's time, which is the leader's and is behind it at most. A clock that is behind
// would otherwise take from the machines that ask here the time that they are measured by.
func (s *Server) holdBegin(ctx context.Context, m raylink.MachineID, id raylink.ProofID, now time.Time) error {
	p, err := s.proofOf(m, id)
	if err != nil || p.Round == nil { // what is wrong with it the log says
		return nil
	}
	rest := state.MaxRoundLead
	if !now.IsZero() {
		rest = min(rest, p.Round.Starts.Sub(now))
	}
	for begun := time.Now(); ; {
		held := time.Since(begun)
		rest = min(rest, held+s.left(m, id))
		if rest <= held {
			return nil
		}
		if err := pause(ctx, min(rest-held, holdLook)); err != nil {
			return err
		}
	}
}

// left is how long it is at most until a proof's round begins; 0 where it may begin, or is none that waits.
func (s *Server) left(m raylink.MachineID, id raylink.ProofID) (d time.Duration) {
	s.Group.Read(func(st *state.State) {
		if p, ok := st.Proofs[id]; ok && p.Machine == m && p.State == state.ProofOpen && p.Round != nil {
			d = max(p.Round.Starts.Sub(st.Now), 0)
		}
	})
	return d
}

func pause(ctx context.Context, d time.Duration) error {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) postProofCommit(c *gin.Context) (any, error) {
	m, id, err := s.prover(c)
	if err != nil {
		return nil, err
	}
	var r wire.ProofCommit
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	if len(r.Commitment.Roots) > state.MaxProofLinks {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a commitment of %d links; at most %d are asked for", len(r.Commitment.Roots), state.MaxProofLinks)
	}
	if err := s.propose(c, "machine:"+string(m), "", &state.CommitProof{ID: id, Machine: m, Commitment: r.Commitment, Walk: draw()}, nil); err != nil {
		return nil, err
	}
	p, err := s.proofOf(m, id)
	return wire.ProofWalk{Entropy: p.WalkDraw}, err
}

func (s *Server) postProofWalked(c *gin.Context) (any, error) {
	m, id, err := s.prover(c)
	if err != nil {
		return nil, err
	}
	var r wire.ProofWalked
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	if err := s.propose(c, "machine:"+string(m), "", &state.WalkProof{ID: id, Machine: m, Root: r.Root, Open: draw()}, nil); err != nil {
		return nil, err
	}
	p, err := s.proofOf(m, id)
	return wire.ProofOpen{Entropy: p.OpenDraw}, err
}

// postProofAnswer judges an answer here, unless an appeal names another judge.
func (s *Server) postProofAnswer(c *gin.Context) (any, error) {
	m, id, err := s.prover(c)
	if err != nil {
		return nil, err
	}
	came := time.Now()
	var r wire.ProofAnswer
	if err := body(c, maxAnswer, &r); err != nil {
		return nil, err
	}
	p, err := s.proofOf(m, id)
	if err != nil || (!p.Ended() && p.State != state.ProofWalked) { // another coordinator may have heard of the walk a moment ago
		if err := s.barrier(c.Request.Context()); err != nil {
			return nil, err
		}
		if p, err = s.proofOf(m, id); err != nil {
			return nil, err
		}
	}
	switch {
	case p.Ended():
		return s.proofSeen(id)
	case p.State != state.ProofWalked:
		return nil, raylink.Errorf(raylink.CodeConflict, "proof %s is %s", id, p.State).WithHint("begin, commit, walked, answer: each once, and in this order")
	case p.By != "" && p.By != s.ID:
		return nil, raylink.Errorf(raylink.CodeUnavailable, "only coordinator %s judges this appeal", p.By).WithHint("send it to the address in the assignment")
	case came.After(p.Deadline):
		return nil, raylink.Errorf(raylink.CodeConflict, "proof %s was to be answered by %s", id, p.Deadline.Format("15:04:05.000")).WithHint("it is too late; the device is tried again by itself")
	case s.Judge == nil:
		return nil, raylink.Errorf(raylink.CodeUnavailable, "this coordinator judges no proofs").WithHint("send it to another one")
	}
	verdict, err := s.Judge.judge(c.Request.Context(), s.ID, p, r.Answer)
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, "coordinator:"+s.ID, "", verdict, nil); err != nil {
		if p, known := s.proofOf(m, id); known == nil && p.Ended() { // another answer was judged meanwhile: the first counts
			return s.proofSeen(id)
		}
		return nil, err
	}
	return s.proofSeen(id)
}

func (s *Server) proofSeen(id raylink.ProofID) (any, error) {
	var v any
	err := error(raylink.Errorf(raylink.CodeNotFound, "no proof %.40q", id).WithHint("see `raylink challenge list`"))
	s.Group.Read(func(st *state.State) {
		if p, ok := st.Proofs[id]; ok {
			v, err = proofView(p), nil
		}
	})
	return v, err
}

package api

import (
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func (s *Server) getProofPolicy(c *gin.Context) (any, error) {
	if _, err := s.user(c); err != nil {
		return nil, err
	}
	return s.proofPolicy(), nil
}

func (s *Server) proofPolicy() wire.ProofPolicy {
	var p state.ProofPolicy
	s.Group.Read(func(st *state.State) { p = st.Proving })
	return wire.ProofPolicy{Required: &p.Required, Least: p.Least.String(), Most: p.Most.String(), Work: p.Work.String(), Openings: &p.Openings, Lottery: &p.Lottery,
		Begin: p.Begin.String(), Compute: p.Compute.String(), Walk: p.Walk.String(), Answer: p.Answer.String(), Budget: p.Budget.String(), Rounds: &p.Rounds, Memory: &p.Memory,
		Retry: p.Retry.String(), Appeals: p.Appeals.String()}
}

// putProofPolicy changes what is given and leaves the rest; a group that never had a policy begins with the default one.
func (s *Server) putProofPolicy(c *gin.Context) (any, error) {
	var r wire.ProofPolicy
	who, _, err := s.asked(c, &r, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	var p state.ProofPolicy
	s.Group.Read(func(st *state.State) { p = st.Proving })
	if p == (state.ProofPolicy{}) {
		p = state.DefaultProofPolicy()
		p.Required = false
	}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
	}{{"least", r.Least, &p.Least}, {"most", r.Most, &p.Most}, {"work", r.Work, &p.Work}, {"begin", r.Begin, &p.Begin}, {"compute", r.Compute, &p.Compute}, {"walk", r.Walk, &p.Walk},
		{"answer", r.Answer, &p.Answer}, {"budget", r.Budget, &p.Budget}, {"retry", r.Retry, &p.Retry}, {"appeals", r.Appeals, &p.Appeals}} {
		if d.text == "" {
			continue
		}
		if *d.into, err = time.ParseDuration(d.text); err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%s: %.40q is no duration", d.name, d.text).WithHint("such as 90s, 10m or 6h")
		}
	}
	given(&p.Required, r.Required)
	given(&p.Memory, r.Memory)
	given(&p.Openings, r.Openings)
	given(&p.Rounds, r.Rounds)
	given(&p.Lottery, r.Lottery)
	if err := s.propose(c, who.by(), idempotency(c), &state.SetProofPolicy{Policy: p}, nil); err != nil {
		return nil, err
	}
	return s.proofPolicy(), nil
}

func given[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}

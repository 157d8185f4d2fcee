package testbed

import (
	"fmt"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/wire"
)

// TestProofs lets three agents with the real prover prove their processors, at tiny sizes: before that nothing is placed. Then a leader dies in the midst of
// a proof under a lease, and what was said goes on under the next one.
func TestProofs(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.askProofs()
		b.plenty()
		if _, err := b.Tenant.CreateQuote(b.ctx(), wire.QuoteRequest{Manifest: fmt.Sprintf(manifest, "early", 1)}); raylink.AsError(err).Code != raylink.CodeCapacity {
			t.Errorf("nothing is proven yet, and a quote says %v", err)
		}
		b.tellHosts()
		b.Until("all machines are proven", time.Minute, func() bool {
			proven := 0
			b.Read(func(s *state.State) {
				for _, m := range s.Machines {
					if why, _ := s.Unproven(m, s.Now); why == raylink.ReasonNone {
						proven++
					}
				}
			})
			return proven == 3
		})
		list, err := b.Admin.Proofs(b.ctx(), "")
		b.must(err)
		for _, p := range list {
			text, err := b.Admin.Transcript(b.ctx(), p.ID) // whichever coordinator keeps it
			b.must(err)
			transcript, err := challenge.Decode(text)
			b.must(err)
			b.must(challenge.Verify(transcript, challenge.Plain{}))
		}
		if len(list) != 3 {
			t.Errorf("%d proofs: %+v", len(list), list)
		}
		id := b.Create("proven", 2)
		b.Ready(id)
		b.midProof(id)
	})
}

// askProofs asks for proofs of tiny sizes, for which the deadlines of a busy test machine suffice.
func (b *Bed) askProofs() {
	b.t.Helper()
	on, memory := true, false
	_, err := b.Admin.SetProofPolicy(b.ctx(), wire.ProofPolicy{Required: &on, Memory: &memory, Work: "1ms", Compute: "14s", Walk: "5s"})
	b.must(err)
}

// tellHosts lets every machine say that it has a processor, which is to be proven then.
func (b *Bed) tellHosts() {
	b.t.Helper()
	for _, id := range b.machines {
		b.Propose(&state.SetHost{ID: id, Host: raylink.Host{OS: "a system", Arch: "amd64", Memory: 16 << 30, Devices: []raylink.Device{
			{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "a processor", Cores: 4, Threads: 8}}}})
	}
}

// midProof kills the leader while proofs are under way.
func (b *Bed) midProof(id raylink.ClusterID) {
	asked, err := b.Tenant.ProveCluster(b.ctx(), string(id))
	b.must(err)
	if len(asked.Proofs) == 0 {
		b.t.Fatalf("%+v", asked)
	}
	b.Kill(b.Leader())
	b.Until("the proofs have ended under another leader", 3*time.Minute, func() bool {
		for _, p := range asked.Proofs {
			now, err := b.Tenant.Proof(b.ctx(), p.ID)
			if err != nil || now.EndedAt == nil {
				return false
			}
			if now.State != state.ProofPassed && now.State != state.ProofLate {
				b.t.Errorf("%+v", now)
			}
		}
		return true
	})
	b.Read(func(s *state.State) {
		for _, m := range s.Machines {
			if why, device := m.Trouble(); why != raylink.ReasonNone {
				b.t.Errorf("machine %s pays for a leader's death: %s of %s", m.ID, why, device)
			}
		}
	})
}

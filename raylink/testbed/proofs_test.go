package testbed

import (
	"fmt"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
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

// TestRelay has an owner of eight machines that are nothing but agents, and one device that answers for all of them as fast as one such machine should.
// Before there were rounds all eight stood in the market. Now most are found to be slow within three rounds; eight real ones are not.
func TestRelay(t *testing.T) {
	t.Parallel()
	for _, real := range []bool{true, false} {
		Run(t, 3, 1, func(b *Bed) {
			const n = 8
			host := raylink.Host{OS: "a system", Arch: "amd64", Memory: 16 << 30, Devices: []raylink.Device{
				{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "AMD Ryzen 9 7950X 16-Core Processor", Cores: 1, Threads: 1}}}
			least, _, _ := catalogue.Band(host.Devices[0])
			if rate := least * 13 / 10; real {
				b.Devices(rate)
			} else {
				b.Relay(rate)
			}
			on, memory := true, false
			_, err := b.Admin.SetProofPolicy(b.ctx(), wire.ProofPolicy{Required: &on, Memory: &memory, Work: "500ms", Compute: "2s", Walk: "1s", Least: "1m", Most: "2m", Retry: "20s"})
			b.must(err)
			account, err := b.Admin.CreateAccount(b.ctx(), wire.AccountRequest{Name: "sam"})
			b.must(err)
			for i := range n {
				b.addMachine(fmt.Sprint("sam", i), account.ID)
			}
			b.Until("all are heard", time.Minute, func() bool { return b.Up() == n+1 })
			for i := range n {
				b.Propose(&state.SetHost{ID: b.machines[fmt.Sprint("sam", i)], Host: host})
			}
			count := func() (ready, slow, rounds int) {
				for i := range n {
					m, err := b.Admin.Machine(b.ctx(), b.machines[fmt.Sprint("sam", i)])
					b.must(err)
					switch st := m.Standing; {
					case st.Reason == raylink.ReasonProofSlow:
						slow++
					case st.State == raylink.MachineReady:
						ready++
					}
				}
				list, err := b.Admin.Proofs(b.ctx(), "")
				b.must(err)
				for _, p := range list {
					rounds = max(rounds, p.Round)
				}
				return ready, slow, rounds
			}
			b.Advance(12 * time.Minute)
			ready, slow, rounds := count()
			t.Logf("real: %v; %d are ready, %d slow; the largest round had %d", real, ready, slow, rounds)
			switch {
			case rounds != n:
				t.Errorf("the largest round had %d of %d", rounds, n)
			case real && (ready != n || slow > 0):
				t.Errorf("of %d real machines %d are ready, %d slow", n, ready, slow)
			case !real && slow < n/2:
				t.Errorf("one device keeps %d of %d machines out of quarantine", n-slow, n)
			}
		})
	}
}

package api

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// shownProofs is how many a list shows, the newest first.
const shownProofs = 500

func proofView(p *state.Proof) wire.Proof {
	v := wire.Proof{ID: p.ID, Machine: p.Machine, Device: p.Device, Why: p.Why, State: p.State, Detail: p.Detail, Lease: p.Lease, OpenedAt: p.OpenedAt, BegunAt: p.BegunAt,
		EndedAt: p.EndedAt, Millis: p.Millis(), WalkMs: p.WalkMillis(), Rate: p.Rate, Judge: p.Judge, SHA256: p.SHA256}
	if p.Round != nil {
		v.Round = p.Round.Of
	}
	return v
}

// mayProof says whether a caller may see a proof: its machine's owner, an admin, and the tenant under whose lease it ran.
func mayProof(st *state.State, who caller, p *state.Proof) bool {
	if m := st.Machines[p.Machine]; who.role == raylink.RoleAdmin || (m != nil && m.Owner == who.account) {
		return true
	}
	l := st.Leases[p.Lease]
	return l != nil && st.Clusters[l.Cluster] != nil && st.Clusters[l.Cluster].Owner == who.account
}

func (s *Server) getProofs(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	of := raylink.MachineID(c.Query("machine"))
	list := []wire.Proof{}
	s.Group.Read(func(st *state.State) {
		for _, p := range st.Proofs {
			if (of == "" || p.Machine == of || st.Machines[p.Machine].Name == string(of)) && mayProof(st, who, p) {
				list = append(list, proofView(p))
			}
		}
	})
	slices.SortFunc(list, func(a, b wire.Proof) int { return cmp.Or(b.OpenedAt.Compare(a.OpenedAt), cmp.Compare(a.ID, b.ID)) })
	return list[:min(len(list), shownProofs)], nil
}

func (s *Server) getProof(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	return s.proofFor(who, raylink.ProofID(c.Param("id")))
}

func (s *Server) proofFor(who caller, id raylink.ProofID) (wire.Proof, error) {
	var v wire.Proof
	err := error(raylink.Errorf(raylink.CodeNotFound, "no proof %.40q", id).WithHint("see `raylink challenge list`: the last few of each device are kept"))
	s.Group.Read(func(st *state.State) {
		if p, ok := st.Proofs[id]; ok && mayProof(st, who, p) {
			v, err = proofView(p), nil
		}
	})
	return v, err
}

// getTranscript gives a transcript out where it was judged. Elsewhere it says where, as `unavailable`: clients then ask the next coordinator.
func (s *Server) getTranscript(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	p, err := s.proofFor(who, raylink.ProofID(c.Param("id")))
	if err != nil {
		return nil, err
	}
	if p.State == state.ProofWalked { // its judge may have judged it a moment ago: who has read so there is not to be told otherwise here
		if err := s.barrier(c.Request.Context()); err != nil {
			return nil, err
		}
		if p, err = s.proofFor(who, p.ID); err != nil {
			return nil, err
		}
	}
	if p.SHA256 == "" {
		return nil, raylink.Errorf(raylink.CodeConflict, "proof %s is %s: nothing was judged", p.ID, p.State).WithHint("a transcript is there once an answer was judged")
	}
	if p.Judge != s.ID || s.Judge == nil {
		url := ""
		s.Group.Read(func(st *state.State) {
			if m, ok := st.Members[p.Judge]; ok {
				url = m.API
			}
		})
		return nil, raylink.Errorf(raylink.CodeUnavailable, "coordinator %s judged proof %s and keeps its transcript", p.Judge, p.ID).WithHint("ask it: %s", url)
	}
	text, err := s.Judge.Transcripts.Text(p.SHA256)
	if err != nil {
		return nil, err
	}
	c.Data(http.StatusOK, "application/json", text)
	return nil, nil
}

// postProve opens proofs under the leases of a tenant's cluster.
func (s *Server) postProve(c *gin.Context) (any, error) {
	var r struct{}
	who, entropy, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	var wanted []*state.OpenProof
	s.Group.Read(func(st *state.State) {
		seen := map[raylink.MachineID]bool{}
		for _, l := range st.ClusterLeases(cl.ID) {
			if !l.Gone && !seen[l.Machine] {
				wanted = append(wanted, proofsOf(st, st.Machines[l.Machine], l, "")...)
				seen[l.Machine] = true
			}
		}
	})
	done := wire.Proved{Proofs: []wire.Proof{}}
	var last error
	for _, cmd := range wanted {
		v, err := s.openProof(c, who, entropy, cmd)
		if err != nil {
			last = err
			done.Refused = append(done.Refused, fmt.Sprintf("%s of machine %s: %s", cmd.Device, cmd.Machine, raylink.AsError(err).Message))
			continue
		}
		done.Proofs = append(done.Proofs, v)
	}
	if len(done.Proofs) == 0 && last != nil {
		return nil, last
	}
	if len(wanted) == 0 {
		return nil, raylink.Errorf(raylink.CodeConflict, "no machine of cluster %s has a device to prove now", cl.Name).WithHint("a cluster that has ended has none; without a policy nothing is proven")
	}
	return done, nil
}

// proofsOf are proofs of a machine's devices that somebody asks for: under a lease those that it works on, otherwise all, or the one named.
func proofsOf(st *state.State, m *state.Machine, l *state.Lease, device string) []*state.OpenProof {
	var list []*state.OpenProof
	for _, id := range slices.Sorted(maps.Keys(m.Proven)) {
		known := m.Proven[id]
		if (device != "" && id != device) || (l != nil && known.Claim.Kind == raylink.DeviceGPU && !slices.Contains(l.Devices, id)) {
			continue
		}
		c := &state.OpenProof{Machine: m.ID, Device: id, Claim: known.Claim, Why: state.WhyAsked, Spot: true, Task: plan.ProofTask(st, m, known, known.Claim, false)}
		if l != nil {
			c.Lease = l.ID
		}
		list = append(list, c)
	}
	return list
}

func (s *Server) openProof(c *gin.Context, who caller, entropy io.Reader, cmd *state.OpenProof) (wire.Proof, error) {
	id, err := raylink.NewID[raylink.ProofID](entropy, "p")
	if err != nil {
		return wire.Proof{}, err
	}
	if v, err := s.proofFor(who, id); err == nil { // the same request once more
		return v, nil
	}
	cmd.ID = id
	if err := s.propose(c, who.by(), "", cmd, nil); err != nil {
		return wire.Proof{}, err
	}
	return s.proofFor(who, id)
}

// machineProof does what an owner or admin asks of a machine's proofs: appeal has what was held against it judged again, by another coordinator; prove
// tries its devices at once. It is false for other actions.
func (s *Server) machineProof(c *gin.Context, who caller, m raylink.MachineID) (bool, error) {
	action := c.Param("action")
	if action != "appeal" && action != "prove" {
		return false, nil
	}
	entropy, err := s.mint(c, who)
	if err != nil {
		return true, err
	}
	voters := s.Roster.Voters()
	var wanted []*state.OpenProof
	s.Group.Read(func(st *state.State) {
		known, ok := st.Machines[m]
		if !ok {
			return
		}
		if action == "appeal" {
			wanted, err = s.appeals(st, known, voters)
			return
		}
		var under *state.Lease
		if leases := st.LeasesOn(m); len(leases) > 0 {
			under = slices.MinFunc(leases, func(a, b *state.Lease) int { return cmp.Compare(a.ID, b.ID) })
		}
		wanted = proofsOf(st, known, under, "")
	})
	if err == nil && len(wanted) == 0 {
		err = raylink.Errorf(raylink.CodeConflict, "machine %s has nothing to %s", m, action).WithHint("`raylink challenge list --machine %s` shows its proofs; the first one comes by itself", m)
	}
	opened := 0
	for _, cmd := range wanted {
		_, refused := s.openProof(c, who, entropy, cmd)
		if refused == nil {
			opened++
		} else if err == nil {
			err = refused
		}
	}
	if opened > 0 {
		return true, nil
	}
	return true, err
}

// appeals repeat what a machine has failed, for another judge: this coordinator, if it was not the judge, else any other.
func (s *Server) appeals(st *state.State, m *state.Machine, voters map[string]bool) ([]*state.OpenProof, error) {
	var list []*state.OpenProof
	for _, device := range slices.Sorted(maps.Keys(m.Proven)) {
		known := m.Proven[device]
		before := st.Proofs[known.Last()]
		if before == nil || known.State == "" || known.State == state.ProofPassed {
			continue
		}
		other := ""
		for _, id := range append([]string{s.ID}, slices.Sorted(maps.Keys(st.Members))...) {
			if id != before.Judge && (voters[id] || id == s.ID) {
				other = id
				break
			}
		}
		if other == "" {
			return nil, raylink.Errorf(raylink.CodeUnsupported, "an appeal is judged by another coordinator, and this group has one").
				WithHint("the device is tried again by itself at %s", known.Next.Format(time.RFC3339))
		}
		list = append(list, &state.OpenProof{Machine: m.ID, Device: device, Claim: known.Claim, Why: state.WhyAppeal, Task: before.Task, By: other, Of: before.ID})
	}
	return list, nil
}

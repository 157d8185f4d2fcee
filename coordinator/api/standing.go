package api

import (
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Said is what a machine's agent told the leader and the log does not keep, as far as it bears on where the machine stands.
type Said struct {
	Leaves *time.Time     `json:"leaves,omitempty"`
	Paused raylink.Reason `json:"paused,omitempty"`
	Images []string       `json:"images,omitempty"`
	Gap    time.Time      `json:"gap,omitzero"`
	Back   time.Time      `json:"back,omitzero"`
}

// maxImages is how many images of a machine are shown, maxImage how long the name of one is.
const (
	maxImages = 16
	maxImage  = 256
)

func saidOf(m plan.MachineSeen) (Said, bool) {
	s := Said{Leaves: m.Report.Leaves, Paused: m.Report.Paused, Gap: m.Gap, Back: m.Back}
	if s.Paused.State() != raylink.MachineDraining {
		s.Paused = raylink.ReasonNone
	}
	for _, image := range m.Report.Images {
		if len(image) <= maxImage && len(s.Images) < maxImages {
			s.Images = append(s.Images, image)
		}
	}
	return s, s.Leaves != nil || s.Paused != raylink.ReasonNone || len(s.Images) > 0 || !s.Gap.IsZero()
}

// plan is what the leader has seen, as another coordinator knows it from its answer.
func (a SeenAnswer) plan() plan.Seen {
	seen := plan.Seen{Since: a.Since, Machines: map[raylink.MachineID]plan.MachineSeen{}}
	for id, at := range a.Machines {
		said := a.Said[id]
		seen.Machines[id] = plan.MachineSeen{At: at, Gap: said.Gap, Back: said.Back,
			Report: wire.AgentReport{Leaves: said.Leaves, Paused: said.Paused, Images: said.Images}}
	}
	return seen
}

// insight is how much of a machine somebody may see.
type insight bool

// whole is for its owner and for admins; a tenant sees no UUID, no address of a bus, no version, and no words about others' machines.
const (
	forTenants insight = false
	whole      insight = true
)

func insightOf(who caller, m *state.Machine) insight {
	return insight(who.role == raylink.RoleAdmin || who.role == raylink.RoleSupplier && m.Owner == who.account)
}

// stand fills in where a machine stands, what it is, and how leases failed on it.
func stand(v *wire.Machine, m *state.Machine, at plan.Standings, said Said, sees insight) {
	v.Standing, v.Images = at.Of(m.ID), said.Images
	if sees == whole {
		v.Host = m.Host
		for _, r := range m.Record.Stages {
			v.Failures = append(v.Failures, wire.FailureCount{Stage: r.Stage, Reason: r.Reason, Count: r.Count, LastAt: r.LastAt})
		}
		return
	}
	if r := v.Standing.Reason; r != raylink.ReasonNotice && r != raylink.ReasonHours {
		v.Standing.Detail = ""
	}
	if m.Host == nil {
		return
	}
	host := *m.Host
	host.Kernel, host.Versions, host.Devices = "", nil, slices.Clone(host.Devices)
	for i := range host.Devices {
		d := &host.Devices[i]
		if d.Kind == raylink.DeviceGPU {
			d.ID = ""
		}
		d.Bus, d.Fault = "", ""
	}
	v.Host = &host
}

func (s *Server) getVersions(c *gin.Context) (any, error) {
	if _, err := s.user(c); err != nil {
		return nil, err
	}
	return s.versions(), nil
}

func (s *Server) versions() wire.Versions {
	var v wire.Versions
	s.Group.Read(func(st *state.State) {
		v = wire.Versions{Minimum: st.Versions.Minimum, SignedAt: st.Versions.SignedAt, Operator: st.Versions.Operator}
		for _, m := range st.Machines {
			if m.State != state.MachineBanned && st.Versions.Below(m.Host) != "" {
				v.Below++
			}
		}
	})
	return v
}

func (s *Server) putVersions(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	var r wire.Versions
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	cmd := &state.SetVersions{Minimum: r.Minimum, SignedAt: r.SignedAt, Operator: r.Operator, Signature: r.Signature}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.versions(), nil
}

// reliability is what is known of the machines of a quote, filled in when it is shown: it is no part of the contract.
func reliability(st *state.State, q *wire.Quote) {
	for i := range q.Nodes {
		if m, ok := st.Machines[q.Nodes[i].Machine]; ok {
			q.Nodes[i].Reliability = m.Record.Reliability()
		}
	}
}

// alarm is what the leader knows of a mass loss.
func (s *Server) alarm(seen SeenAnswer) string {
	text := ""
	s.Group.Read(func(st *state.State) { text = plan.LossOf(st, seen.plan(), time.Now()).Alarm() })
	return text
}

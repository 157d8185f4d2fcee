package api

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"raylink/billing/exchange"
	"raylink/billing/money"
	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/manifest"
	"raylink/raylink/wire"
)

func (s *Server) postQuote(c *gin.Context) (any, error) {
	var r wire.QuoteRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	spec, notes, err := manifest.Parse([]byte(r.Manifest))
	if err != nil {
		return nil, err
	}
	// A guess, which refuses an image that is not known; what runs depends on where the nodes are placed.
	image, _, err := manifest.Image(spec.Image, cmp.Or(spec.Head.Require[raylink.LabelArch], "amd64"))
	if err != nil {
		return nil, err
	}
	id, err := raylink.NewID[raylink.QuoteID](entropy, "q")
	if err != nil {
		return nil, err
	}
	cmd := &state.MakeQuote{ID: id, Owner: who.account, Spec: spec, Purse: exchange.Purse(r.Pay)}
	if r.Budget != nil {
		if r.Budget.Asset != money.USD || r.Budget.Minor <= 0 {
			return nil, raylink.Errorf(raylink.CodeInvalid, "a budget is a positive amount of USD, not %s", *r.Budget).WithHint("such as `--budget 5`")
		}
		cmd.Budget = r.Budget.Minor
	}
	cmd.Bounded = r.Budget == nil
	// A repeated request gets the quote that the first one made: the market may have moved since.
	if q, err := s.repeated(who, id, cmd); q != nil || err != nil {
		return q, err
	}
	var p Placement
	if err := s.leader(c.Request.Context(), MethodPlace, Wish{spec, image}, &p); err != nil {
		return nil, err
	}
	cmd.Nodes, cmd.Image, cmd.Notes = p.Nodes, cmp.Or(p.Image, image), append(notes, p.Notes...)
	if err := s.propose(c, who.by(), "", cmd, nil); err != nil {
		if q, again := s.repeated(who, id, cmd); q != nil || again != nil { // the first one was made on another coordinator
			return q, again
		}
		return nil, err
	}
	return s.quote(who, id)
}

// repeated is the quote that an earlier request with the same Idempotency-Key made; nil if there is none. Another manifest, purse or budget is a conflict.
func (s *Server) repeated(who caller, id raylink.QuoteID, asked *state.MakeQuote) (any, error) {
	v, err := s.quote(who, id)
	if err != nil {
		return nil, nil // not known here
	}
	same := false
	s.Group.Read(func(st *state.State) {
		q, ok := st.Quotes[id]
		budget := ok && q.Budget == asked.Budget && !q.Bounded
		if ok && asked.Bounded {
			budget = q.Bounded || q.Budget == 0 // the second is of a coordinator that was older
		}
		same = budget && reflect.DeepEqual(plain(q.Spec), plain(asked.Spec)) && (asked.Purse == "" || q.Purse == asked.Purse)
	})
	if !same {
		return nil, raylink.Errorf(raylink.CodeConflict, "the idempotency key was used for another manifest, purse or budget").WithHint("make a new key for a new request")
	}
	return v, nil
}

// plain is a value as it comes out of the log: what JSON does not tell apart is the same.
func plain(v any) any {
	var out any
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return err
	}
	return out
}

func (s *Server) getQuote(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	return s.quote(who, raylink.QuoteID(c.Param("id")))
}

func (s *Server) quote(who caller, id raylink.QuoteID) (wire.Quote, error) {
	var v wire.Quote
	err := error(raylink.Errorf(raylink.CodeNotFound, "no quote %q", id).WithHint("ask for one: `raylink quote -f cluster.yaml`"))
	s.Group.Read(func(st *state.State) {
		q, ok := st.Quotes[id]
		if !ok || (q.Owner != who.account && who.role != raylink.RoleAdmin) {
			return
		}
		fee, ferr := money.Fee(q.PerHour, q.Purse.FeeBasisPoints())
		v = wire.Quote{ID: q.ID, Name: q.Spec.Name, ImageAsked: q.Spec.Image, Image: q.Image, RayVersion: q.Spec.RayVersion, PerHour: money.MicroUSD(q.PerHour),
			Fee: money.MicroUSD(fee), Hold: money.Amount{Minor: q.Hold, Asset: q.Purse.Asset()}, Balance: st.Free(q.Owner, q.Purse), Pay: string(q.Purse), PriceIO: q.Price,
			CreatedAt: q.CreatedAt, ExpiresAt: q.ExpiresAt, Notes: q.Notes}
		for _, n := range q.Nodes {
			v.Nodes = append(v.Nodes, wire.QuoteNode{Node: n.Node, Role: n.Role, Group: n.Group, Machine: n.Machine, Supplier: supplierOf(st, n.Machine), Resources: n.Resources, Rate: n.Rate})
		}
		if q.Budget > 0 {
			most := money.MicroUSD(q.Budget)
			v.Maximum = &most
		}
		reliability(st, &v)
		err = ferr
	})
	if err == nil {
		v.Contract, err = s.contract(v)
	}
	return v, err
}

// contract signs a quote with the group's key.
func (s *Server) contract(q wire.Quote) (*wire.Contract, error) {
	key, err := s.Authority.SigningKey()
	if err != nil {
		return nil, err
	}
	text, err := wire.QuoteBytes(q)
	if err != nil {
		return nil, err
	}
	return &wire.Contract{Key: key.Public().(ed25519.PublicKey), Signature: ed25519.Sign(key, text)}, nil
}

func supplierOf(st *state.State, id raylink.MachineID) string {
	if m, ok := st.Machines[id]; ok {
		if a, ok := st.Accounts[m.Owner]; ok {
			return a.Name
		}
	}
	return ""
}

func (s *Server) postCluster(c *gin.Context) (any, error) {
	var r wire.CreateRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cmd := &state.CreateCluster{Owner: who.account, Quote: r.Quote, Capped: true}
	if cmd.ID, err = raylink.NewID[raylink.ClusterID](entropy, "c"); err != nil {
		return nil, err
	}
	// As many as a cluster may have: this coordinator may not know the quote yet, or no more, and a repeated request must look the same.
	for range state.MaxNodes {
		id, err := raylink.NewID[raylink.LeaseID](entropy, "l")
		if err != nil {
			return nil, err
		}
		cmd.Leases = append(cmd.Leases, id)
	}
	var id raylink.ClusterID
	if err := s.propose(c, who.by(), idempotency(c), cmd, &id); err != nil {
		return nil, err
	}
	return s.Cluster(who.account, who.role, string(id))
}

func (s *Server) getClusters(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	return s.Clusters(who.account, who.role), nil
}

// Clusters are an account's clusters, the newest first; an admin's are all.
func (s *Server) Clusters(account raylink.AccountID, role raylink.Role) []wire.Cluster {
	list := []wire.Cluster{}
	s.Group.Read(func(st *state.State) {
		for _, cl := range st.Clusters {
			if cl.Owner == account || role == raylink.RoleAdmin {
				list = append(list, s.clusterView(st, cl))
			}
		}
	})
	slices.SortFunc(list, func(a, b wire.Cluster) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (s *Server) getCluster(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	return s.Fetching(c.Request.Context(), cl), nil
}

// Cluster finds one by id, or by name: the living one of that name, else the last. An admin's own come before other people's, of which a
// living one is found only where it is the only one of that name.
func (s *Server) Cluster(account raylink.AccountID, role raylink.Role, ref string) (wire.Cluster, error) {
	var best *wire.Cluster
	rank := func(cl *wire.Cluster) int { // own living, own ended, others' living, others' ended
		n := 0
		if cl.Owner != account {
			n += 2
		}
		if cl.Phase.Over() {
			n++
		}
		return n
	}
	rivals := 0
	for _, cl := range s.Clusters(account, role) {
		if string(cl.ID) == ref {
			return cl, nil
		}
		if cl.Name != ref {
			continue
		}
		if rank(&cl) == 2 {
			rivals++
		}
		if best == nil || rank(&cl) < rank(best) {
			best = &cl
		}
	}
	if best != nil && rank(best) == 2 && rivals > 1 {
		return wire.Cluster{}, raylink.Errorf(raylink.CodeConflict, "%d accounts have a cluster named %q", rivals, ref).WithHint("name one by its id: `raylink cluster list`")
	}
	if best == nil {
		return wire.Cluster{}, raylink.Errorf(raylink.CodeNotFound, "no cluster %q", ref).WithHint("see `raylink cluster list`")
	}
	return *best, nil
}

func (s *Server) deleteCluster(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	// It may have been created a moment ago, on another coordinator; and of a name the newest is meant.
	if err := s.barrier(c.Request.Context()); err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.EndCluster{ID: cl.ID, Reason: "deleted by " + who.name}, nil); err != nil {
		return nil, err
	}
	return s.Cluster(who.account, who.role, string(cl.ID))
}

func (s *Server) clusterView(st *state.State, cl *state.Cluster) wire.Cluster {
	v := wire.Cluster{ID: cl.ID, Name: cl.Spec.Name, Owner: cl.Owner, Phase: cl.Phase, Detail: plan.Detail(st, cl), Failure: cl.Failure, Warning: cl.Warning,
		Image: cl.Image, RayVersion: cl.Spec.RayVersion, CreatedAt: cl.CreatedAt, ReadyAt: cl.ReadyAt, EndedAt: cl.EndedAt, Endpoints: []string{},
		Hold: st.Held(cl), Pay: string(state.PurseOf(cl)), Alarm: cl.AlarmAt(), RunsOutAt: st.RunsOut(cl)}
	if cl.Budget > 0 {
		most := money.MicroUSD(cl.Budget)
		v.Maximum = &most
	}
	for _, t := range cl.Stages {
		v.Stages = append(v.Stages, wire.StageTime{Phase: t.Phase, At: t.At})
	}
	var perHour, spent int64
	for i, l := range st.ClusterLeases(cl.ID) {
		if i == 0 {
			v.Subnet = fmt.Sprintf("%s/24", strings.TrimSuffix(l.Address.String(), ".2")+".0")
		}
		if m := st.Machines[l.Machine]; l.Role == raylink.NodeHead && m != nil {
			v.Image = plan.ImageFor(cl, m.Offer.Arch)
		}
		perHour += int64(l.Meter.Rate)
		spent += l.Meter.Accrued + l.Meter.Fees
		v.Minutes += l.Meter.Charged
		v.Nodes = append(v.Nodes, wire.Node{Lease: l.ID, Node: l.Node, Role: l.Role, Group: l.Group, Machine: l.Machine, Address: l.Address.String(), Stage: l.Stage,
			RayNode: l.RayNode, Rate: l.Meter.Rate, Restarts: l.Restarts, Failure: l.Failure})
	}
	v.PerHour, v.Spent = money.MicroUSD(perHour), money.MicroUSD(spent)
	if cl.Phase.Over() {
		return v
	}
	v.Endpoints = s.endpoints(st, cl)
	return v
}

// endpoints are a cluster's URLs, the one beside this coordinator first. Who stands beside whom is said by the gateways: their host names are
// other ones than the coordinators'.
func (s *Server) endpoints(st *state.State, cl *state.Cluster) []string {
	near, far := []string{}, []string{}
	for _, g := range cl.Gateways {
		gateway, ok := st.Gateways[g.Gateway]
		if !ok || g.PublicKey == "" {
			continue
		}
		endpoint := strings.TrimSuffix(gateway.URL, "/") + "/c/" + string(cl.ID)
		if gateway.Beside == s.ID {
			near = append(near, endpoint)
		} else {
			far = append(far, endpoint)
		}
	}
	return append(near, far...)
}

package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"raylink/raylink"
	"raylink/raylink/overlay/memory"
	"raylink/raylink/ray"
	"raylink/supplier/runtime"
)

// rays plays Ray in every lease's container: what a gateway asks of a head and of a node's agent. A node is alive while its container runs,
// was let go and does not sleep instead, and can be reached while its data plane answers.
type rays struct {
	b      *Bed
	server *http.Server
	served sync.WaitGroup

	mu     sync.Mutex
	asleep map[raylink.LeaseID]bool // their containers run `sleep`
}

type leaseKey struct{}

// rayConn is a gateway's connection to one lease.
type rayConn struct {
	net.Conn
	lease raylink.LeaseID
}

func newRays(b *Bed) *rays {
	r := &rays{b: b, asleep: map[raylink.LeaseID]bool{}}
	r.server = &http.Server{Handler: r, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, leaseKey{}, c.(*rayConn).lease)
	}}
	return r
}

// hear serves who comes to a lease through its overlay, as long as its data plane is a member.
func (r *rays) hear(spec runtime.PlaneSpec, member *memory.Member) {
	for _, port := range []uint16{ray.DashboardPort, ray.AgentPort} {
		listener, err := member.Listen(port)
		if err != nil {
			r.b.t.Error(err)
			return
		}
		r.served.Go(func() { _ = r.server.Serve(&rayListener{listener, spec.Lease}) }) // ends with the member, or when closed
	}
}

// rayListener says of each connection which lease it came to.
type rayListener struct {
	net.Listener
	lease raylink.LeaseID
}

func (l *rayListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &rayConn{conn, l.lease}, nil
}

func (r *rays) close() {
	_ = r.server.Close() // in memory: nothing can go wrong
	r.served.Wait()
}

// node is a lease's Ray as it is now.
type node struct {
	spec      runtime.Spec
	id        string // Ray's
	address   netip.Addr
	runs      bool // the container runs and was let go, and Ray runs in it
	reachable bool // the data plane answers
}

// sleep makes a lease's container run `sleep` in Ray's place, from its start or from now on.
func (r *rays) sleep(lease raylink.LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep[lease] = true
}

func (r *rays) sleeps(lease raylink.LeaseID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asleep[lease]
}

func (r *rays) node(lease raylink.LeaseID) (n node) {
	var known bool
	if n.spec, known = r.b.host.Spec(lease); !known {
		return n
	}
	list, err := r.b.host.For(n.spec.Machine).List(context.Background())
	if err != nil {
		return n
	}
	for _, in := range list {
		if in.Lease == lease && in.Running {
			_, err := os.Stat(filepath.Join(n.spec.Dir, "go"))
			n.runs = err == nil && !r.sleeps(lease)
			sum := sha256.Sum256([]byte(string(lease) + in.StartedAt.String()))
			n.id = hex.EncodeToString(sum[:28])
		}
	}
	mesh, _ := r.b.host.Mesh(lease)
	n.address = mesh.Address.Addr()
	if plane, err := r.b.host.Planes(n.spec.Machine).Adopt(context.Background(), lease); err == nil {
		_, err = plane.Status(context.Background())
		n.reachable = err == nil
	}
	return n
}

// ServeHTTP answers as Ray 2.60 does, as far as gateways look.
func (r *rays) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	n := r.node(request.Context().Value(leaseKey{}).(raylink.LeaseID))
	if !n.reachable {
		<-request.Context().Done() // packets vanish
		return
	}
	if !n.runs {
		panic(http.ErrAbortHandler) // nobody there to answer any more
	}
	answer := any(map[string]any{"result": true})
	switch path := request.URL.Path; path {
	case ray.AgentHealthPath, ray.HeadHealthPath:
		_, _ = w.Write([]byte("success")) // the gateway's loss
		return
	default:
		token, err := os.ReadFile(filepath.Join(n.spec.Dir, "token"))
		if err != nil || request.Header.Get("Authorization") != "Bearer "+strings.TrimSpace(string(token)) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		switch path {
		case ray.VersionPath:
			answer = map[string]string{"version": "4", "ray_version": "2.60.0", "ray_commit": "b7f4259e944b", "session_name": "session_1"}
		case strings.Split(ray.NodesPath, "?")[0]:
			answer = map[string]any{"result": true, "msg": "", "data": map[string]any{"result": map[string]any{"result": r.view(n)}}}
		default:
			http.NotFound(w, request)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the gateway's loss
}

// view is a head's own view of its cluster: every node that runs.
func (r *rays) view(head node) []map[string]any {
	rows := []map[string]any{}
	for _, machine := range r.b.machines {
		list, err := r.b.host.For(machine).List(context.Background())
		if err != nil {
			continue
		}
		for _, in := range list {
			n := r.node(in.Lease)
			if n.runs && n.spec.Cluster == head.spec.Cluster {
				rows = append(rows, map[string]any{"node_id": n.id, "node_ip": n.address.String(), "is_head_node": n.address == head.address, "state": "ALIVE"})
			}
		}
	}
	return rows
}

package dataplane

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"raylink/raylink/overlay/wireguard"
	"raylink/supplier/egress"
)

// EgressPort is the TCP port of 127.0.0.1 in the lease's namespace on which the proxy answers.
const EgressPort = 6398

// Egress says how much may pass the proxy.
type Egress struct {
	Bytes int64      `json:"bytes,omitempty"` // both ways together, over the lease's life; 0 is no limit
	Used  int64      `json:"used,omitempty"`  // of Bytes, by an earlier data plane of the lease
	Host  netip.Addr `json:"host,omitzero"`   // under which the machine is known outside: it is not reached either
	// Closed is why nothing may pass, as the tenant is told; empty where something may.
	Closed string `json:"closed,omitempty"`
}

// outlet is the lease's way to the Internet, if it has one: the proxy, and why it does not work.
type outlet struct {
	listen func() (net.Listener, error) // in the lease's namespace
	log    *slog.Logger
	life   context.Context
	wait   sync.WaitGroup
	host   atomic.Pointer[netip.Addr]

	mu      sync.Mutex
	proxy   *egress.Proxy // nil where there never was one that listened
	trouble string
}

func newOutlet(space *namespace, log *slog.Logger) *outlet {
	return &outlet{log: log, listen: func() (listener net.Listener, err error) {
		err = wireguard.InNetns(space.path, func() (err error) {
			listener, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(EgressPort)))
			return err
		})
		return listener, err
	}}
}

// open begins with what the configuration says. The proxy ends with the context, and close waits for that.
func (o *outlet) open(ctx context.Context, e *Egress) {
	o.life = ctx
	o.set(e)
}

// set is open's work, and that of an agent which allows something else than its predecessor. A proxy listens within the lease's namespace, and
// what it dials, it dials from the machine's own. Without Egress none is begun, and one that is there lets nothing pass. A tenant who took
// the port while no data plane ran has no proxy: that is no reason to end the overlay, but the status says it; the next set tries again.
func (o *outlet) set(e *Egress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	works := o.proxy != nil && o.trouble == ""
	switch {
	case e == nil && !works:
		o.trouble = ""
	case e == nil:
		o.proxy.Set(0, 0, "this lease has no way to the Internet any more")
	case works:
		o.host.Store(&e.Host)
		o.proxy.Set(e.Bytes, e.Used, e.Closed)
	default:
		o.serve(*e)
	}
}

// serve begins a proxy. The caller holds the lock.
func (o *outlet) serve(e Egress) {
	listener, err := o.listen()
	if err != nil {
		o.fails("its proxy cannot listen in the lease's namespace: " + err.Error())
		return
	}
	if o.proxy != nil { // one that broke
		e.Used = max(e.Used, o.proxy.Count().Bytes)
	}
	o.host.Store(&e.Host)
	rules := egress.System(e.Bytes, e.Used, func() netip.Addr { return *o.host.Load() })
	rules.Closed = e.Closed
	proxy := egress.New(rules, o.log)
	o.proxy, o.trouble = proxy, ""
	o.wait.Go(func() {
		if err := proxy.Serve(o.life, listener); err != nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.fails("its proxy broke: " + err.Error())
		}
	})
}

// fails keeps why there is no way out. The caller holds the lock.
func (o *outlet) fails(trouble string) {
	o.trouble = trouble
	o.log.Error("the lease has no way to the Internet", "reason", trouble)
}

// close waits for the end of what open began.
func (o *outlet) close() { o.wait.Wait() }

// tell fills in a status: there is no count of a proxy that never listened, because it would look like one that nobody uses.
func (o *outlet) tell(status *Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	status.EgressTrouble = o.trouble
	if o.proxy != nil {
		count := o.proxy.Count()
		status.Egress = &count
	}
}

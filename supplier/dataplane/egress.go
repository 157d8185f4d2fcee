package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

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

// openEgress listens within the lease's namespace; what the proxy dials, it dials from the machine's own. Without Egress there is no proxy (nil).
// A tenant who took the port while no data plane ran has no proxy either: that is no reason to end the overlay. The proxy ends with the context,
// and done is closed then.
func openEgress(ctx context.Context, config Config, space *namespace, log *slog.Logger) (proxy *egress.Proxy, done <-chan struct{}) {
	ended := make(chan struct{})
	if config.Egress == nil {
		close(ended)
		return nil, ended
	}
	rules := egress.System(config.Egress.Bytes, config.Egress.Used, config.Egress.Host)
	rules.Closed = config.Egress.Closed
	proxy = egress.New(rules, log)
	var listener net.Listener
	err := wireguard.InNetns(space.path, func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(EgressPort)))
		return err
	})
	if err != nil {
		log.Error("the lease has no way to the Internet", "error", fmt.Errorf("listening in its namespace: %w", err))
		close(ended)
		return proxy, ended
	}
	go func() { // awaited by who reads done
		defer close(ended)
		if err := proxy.Serve(ctx, listener); err != nil {
			log.Error("the lease's way to the Internet broke", "error", err)
		}
	}()
	return proxy, ended
}

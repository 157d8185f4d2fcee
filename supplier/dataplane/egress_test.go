package dataplane

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// listenHere has a way out listen on this machine's loopback instead of a lease's.
func listenHere() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }

func told(o *outlet) Status {
	var status Status
	o.tell(&status)
	return status
}

// TestAProxyThatCannotListenHasNoCounters: they would look like those of one that nobody uses. The reason stands in their place.
func TestAProxyThatCannotListenHasNoCounters(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	taken := &outlet{log: quiet(), listen: func() (net.Listener, error) { return nil, errors.New("address already in use") }}
	taken.open(ctx, &Egress{Bytes: 7, Used: 3})
	if s := told(taken); s.Egress != nil || !strings.Contains(s.EgressTrouble, "cannot listen") || !strings.Contains(s.EgressTrouble, "address already in use") {
		t.Errorf("%+v", s)
	}
	taken.close()
	none := &outlet{log: quiet(), listen: listenHere}
	none.open(ctx, nil)
	if s := told(none); s.Egress != nil || s.EgressTrouble != "" {
		t.Errorf("%+v", s)
	}
	well := &outlet{log: quiet(), listen: listenHere}
	well.open(ctx, &Egress{Bytes: 7, Used: 3})
	if s := told(well); s.Egress == nil || s.Egress.Bytes != 3 || s.Egress.Limit != 7 || s.EgressTrouble != "" {
		t.Errorf("%+v", s)
	}
	cancel()
	well.close()
	if s := told(well); s.EgressTrouble != "" {
		t.Errorf("an end that was ordered is no trouble: %+v", s)
	}
}

// TestAProxyThatBreaksSaysSo: its listener is gone, the bytes that passed have passed.
func TestAProxyThatBreaksSaysSo(t *testing.T) {
	listener, err := listenHere()
	if err != nil {
		t.Fatal(err)
	}
	o := &outlet{log: quiet(), listen: func() (net.Listener, error) { return listener, nil }}
	o.open(t.Context(), &Egress{Used: 3})
	listener.Close()
	o.close()
	if s := told(o); s.Egress == nil || s.Egress.Bytes != 3 || !strings.Contains(s.EgressTrouble, "its proxy broke") {
		t.Errorf("%+v", s)
	}
}

// TestSetIsForTheNextAgent: bounds, begin and end of a way out, while the data plane runs.
func TestSetIsForTheNextAgent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	taken := errors.New("address already in use")
	o := &outlet{log: quiet(), listen: func() (net.Listener, error) {
		if taken != nil {
			return nil, taken
		}
		return listenHere()
	}}
	o.open(ctx, nil)
	o.set(&Egress{Bytes: 7, Used: 3, Host: netip.MustParseAddr("9.8.7.6")})
	if s := told(o); s.Egress != nil || s.EgressTrouble == "" {
		t.Errorf("the port is taken: %+v", s)
	}
	o.set(nil)
	if s := told(o); s.EgressTrouble != "" {
		t.Errorf("nothing is wanted any more: %+v", s)
	}
	taken = nil // whoever had the port has let go
	o.set(&Egress{Bytes: 7, Used: 3})
	if s := told(o); s.Egress == nil || s.Egress.Bytes != 3 || s.Egress.Limit != 7 || s.EgressTrouble != "" {
		t.Errorf("it is tried again: %+v", s)
	}
	proxy := o.proxy
	o.set(&Egress{Bytes: 9, Used: 1, Host: netip.MustParseAddr("9.8.7.5"), Closed: "no"})
	if s := told(o); o.proxy != proxy || s.Egress.Bytes != 3 || s.Egress.Limit != 9 || o.host.Load().String() != "9.8.7.5" {
		t.Errorf("%+v", s)
	}
	o.set(nil)
	if s := told(o); o.proxy != proxy || s.Egress == nil || s.Egress.Bytes != 3 {
		t.Errorf("%+v", s)
	}
	cancel()
	o.close()
}

package memory_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/memory"
	"raylink/raylink/overlay/overlaytest"
)

type network struct{ memory.Network }

func (n *network) Join(t *testing.T, private overlay.PrivateKey, address netip.Prefix) overlaytest.Node {
	member, err := n.Network.Join(private, address)
	if err != nil {
		t.Fatal(err)
	}
	return overlaytest.Node{Member: member, Sockets: member, Endpoint: member.Endpoint()}
}

func TestConformance(t *testing.T) { overlaytest.Run(t, new(network)) }

func TestSilenceLastsUntilTheDeadlineInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memory.Network
		a, err := n.Join(overlay.PrivateKey{1}, netip.MustParsePrefix("100.64.1.2/24"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		before := time.Now()
		if _, err := a.DialContext(ctx, "tcp", "100.64.1.10:1"); err == nil {
			t.Fatal("somebody answers at an address that nobody has")
		}
		if waited := time.Since(before); waited != time.Hour {
			t.Fatalf("the dial ended after %s", waited)
		}
	})
}

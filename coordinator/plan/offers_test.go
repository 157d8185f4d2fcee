package plan

import (
	"testing"

	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestOffersAreFollowed: what a machine asks is in the market a minute after its last offer at the latest, for leases to come; those that run keep their price. An offer
// that no machine can mean changes nothing.
func TestOffersAreFollowed(t *testing.T) {
	w, c, leases := alive(t, "10")
	one := machineID("mone")
	asks := func(perCore int64) []state.Command {
		offer := offerOf(2, 8, perCore)
		w.hear("mone", wire.AgentReport{Offer: &offer})
		return offers(w.s, w.seen, w.now)
	}
	w.now = w.now.Add(OfferRest - 1)
	if steps := asks(700_000); len(steps) != 0 {
		t.Errorf("an offer that is younger than a minute is changed: %+v", steps)
	}
	w.now = w.now.Add(1)
	w.apply(asks(700_000)...)
	if got := w.s.Machines[one].Offer.CPUHour; got != 700_000 {
		t.Errorf("it asks %s", got)
	}
	if steps := asks(700_000); len(steps) != 0 {
		t.Errorf("the same offer again: %+v", steps)
	}
	w.now = w.now.Add(OfferRest)
	for _, absurd := range []int64{-1, raylink.MaxRate + 1} {
		if steps := asks(absurd); len(steps) != 0 {
			t.Errorf("%s is taken: %+v", money.Rate(absurd), steps)
		}
	}
	nodes, err := Place(w.s, w.seen, w.now, specOf("later", 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if want := map[bool]money.Rate{true: 700_000, false: 600_000}[n.Machine == one]; n.Rate != want {
			t.Errorf("a lease to come costs %s on %s", n.Rate, n.Machine)
		}
	}
	for _, l := range leases {
		if got := w.s.Leases[l.ID].Meter.Rate; l.Cluster == c.ID && got != 600_000 {
			t.Errorf("a lease that runs costs %s now", got)
		}
	}
}

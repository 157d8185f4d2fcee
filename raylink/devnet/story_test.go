package devnet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestCaughtUp: a coordinator that only restored its own old snapshot and replayed the log has not shown that it can be sent one.
func TestCaughtUp(t *testing.T) {
	killed := fallen{id: "coordinator-a", index: 100}
	group := func(snapshot uint64, change func(all []wire.Status)) []wire.Status {
		all := []wire.Status{{ID: "coordinator-a", Index: 160, Digest: "d", Snapshot: snapshot}, {ID: "coordinator-b", Index: 160, Digest: "d", Snapshot: 140}, {ID: "coordinator-c", Index: 160, Digest: "d"}}
		change(all)
		return all
	}
	same := func([]wire.Status) {}
	for what, row := range map[string]struct {
		all  []wire.Status
		want string // of the error; empty for none
	}{
		"was sent one":         {group(140, same), ""},
		"its own":              {group(80, same), "without a snapshot of the others'"},
		"its own, just taken":  {group(100, same), "without a snapshot of the others'"},
		"none":                 {group(0, same), "without a snapshot of the others'"},
		"is late":              {group(140, func(all []wire.Status) { all[0].Index = 159 }), "is at index 160"},
		"has not begun":        {group(140, func(all []wire.Status) { all[0].Index, all[1].Index, all[2].Index = 150, 150, 150 }), "is at index 150"},
		"has another state":    {group(140, func(all []wire.Status) { all[0].Digest = "e" }), "digests differ at index 160"},
		"is not there at all":  {group(140, same)[1:], "without a snapshot of the others'"},
		"another was sent one": {group(0, func(all []wire.Status) { all[2].Snapshot = 150 }), "without a snapshot of the others'"},
	} {
		began, err := caughtUp(row.all, killed, 155)
		if row.want == "" && (err != nil || began != 140) || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %d, %v", what, began, err)
		}
	}
}

// TestTheHeadCameBack: the story says "at the same address" of what it has compared.
func TestTheHeadCameBack(t *testing.T) {
	old := wire.Node{Lease: "l-head", Role: raylink.NodeHead, Address: "100.64.0.2", RayNode: "first"}
	for want, now := range map[string]wire.Node{
		"":                            {Lease: "l-head", Role: raylink.NodeHead, Address: "100.64.0.2", RayNode: "second"},
		"Ray does not see a new head": old,
		"does not see a new head":     {Lease: "l-head", Role: raylink.NodeHead, Address: "100.64.0.2"},
		"at 100.64.0.3, and was":      {Lease: "l-head", Role: raylink.NodeHead, Address: "100.64.0.3", RayNode: "second"},
		"lease l-next at":             {Lease: "l-next", Role: raylink.NodeHead, Address: "100.64.0.2", RayNode: "second"},
		"no head any more":            {Lease: "l-head", Role: raylink.NodeWorker, Address: "100.64.0.2", RayNode: "second"},
	} {
		_, err := cameBack([]wire.Node{{Lease: "l-left", Role: raylink.NodeWorker, Address: "100.64.0.10", RayNode: "third"}, now}, old)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestTheKilledLeaderIsSentASnapshot plays that chapter of the demo alone: three coordinators, real processes, and no Docker.
func TestTheKilledLeaderIsSentASnapshot(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs the raylink binary: `make test` sets RAYLINK_REAL=1 and brings it")
	}
	ctx := t.Context()
	var out bytes.Buffer
	n, err := Start(ctx, Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 3, Fast: true, Scripted: true, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	s := &Story{Network: n}
	standsBeside(t, s)
	killed, err := s.behead(ctx)
	if err == nil {
		err = s.catchUp(ctx, killed)
	}
	if err != nil || !strings.Contains(out.String(), killed.id+" began at a snapshot that it was sent") {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

// standsBeside wants each gateway to stand beside the coordinator that it joined through, and nobody's endpoints under a dashboard's host name.
func standsBeside(t *testing.T, s *Story) {
	t.Helper()
	err := s.soon(t.Context(), "the log knows beside whom gateways stand", 20*time.Second, func(ctx context.Context) error {
		st, err := s.Network.status(ctx)
		if err != nil {
			return err
		}
		beside := map[string]string{} // whom, by the gateway's URL
		for _, g := range st.Gateways {
			if beside[g.URL] = g.Beside; g.Warning != "" {
				return fmt.Errorf("%s: %s", g.URL, g.Warning)
			}
		}
		for i, url := range s.Network.gateways {
			if beside[url] != coordinatorName(i) {
				return fmt.Errorf("%s stands beside %q", url, beside[url])
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAHoleInTheLogIsSeen: the last line alone does not show that the same client streamed the whole log.
func TestAHoleInTheLogIsSeen(t *testing.T) {
	for log, want := range map[string]string{
		"  │ epoch    1  loss 0.6\n  │ an object\n  │ epoch    2  loss 0.5\n  │ train.py: done\n": "",
		"  │ epoch    1  loss 0.6\n  │ epoch    3  loss 0.4\n  │ train.py: done\n":                "epoch 3 follows epoch 1",
		"  │ epoch    1  loss 0.6\n  │ epoch    1  loss 0.6\n":                                    "epoch 1 follows epoch 1",
		"  │ train.py: done\n": "no epoch",
	} {
		if err := everyEpoch(log); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", log, err)
		}
	}
}

// TestAWaivedMinuteIsSeen: a bill on which the leader's death cost somebody a minute does not pass for a whole one.
func TestAWaivedMinuteIsSeen(t *testing.T) {
	bill := func(outcomes ...string) wire.Bill {
		line := wire.BillLine{Node: "left"}
		for i, outcome := range outcomes {
			line.Minutes = append(line.Minutes, wire.BillMinute{Ordinal: int64(i), Outcome: outcome})
		}
		return wire.Bill{Lines: []wire.BillLine{line}, Total: money.MicroUSD(1)}
	}
	for want, b := range map[string]wire.Bill{
		"":                                bill("charged", "charged", "charged", "waived"),
		"minute 1 of node left is not":    bill("charged", "waived", "charged", "charged"),
		"minute 2 of node left is not ch": bill("charged", "charged"),
		"nothing was charged":             {},
	} {
		if err := nobodyLostAMinute(b, 3); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

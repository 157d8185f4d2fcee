package devnet

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// TestSizes: what makes no network, or would run over another one, is refused with the next step before anything is started.
func TestSizes(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Coordinators: 2, Suppliers: 1}, "2 coordinators make no group"},
		{Options{Coordinators: 0}, "0 coordinators make no group"},
		{Options{Coordinators: 1, Suppliers: 21}, "21 suppliers on one machine"},
		{Options{Coordinators: 1, Suppliers: -1}, "-1 suppliers on one machine"},
		{Options{Coordinators: 1, Suppliers: 1, Dir: full}, full + " is not empty"},
		{Options{Coordinators: 1, Suppliers: 0, Bench: true, Rounds: 1, Window: time.Minute}, "nothing to measure"},
		{Options{Coordinators: 1, Suppliers: 1, Bench: true, Rounds: 0, Window: time.Minute}, "nothing to measure"},
		{Options{Coordinators: 1, Suppliers: 1, Bench: true, Rounds: 1}, "nothing to measure"},
		{Options{Down: full}, "no kept network in " + full},
	} {
		var out bytes.Buffer
		err := Run(t.Context(), c.options, &out, slog.New(slog.DiscardHandler))
		said := raylink.AsError(err)
		if err == nil || said.Hint == "" || !strings.Contains(said.Message, c.want) {
			t.Errorf("%+v: %v, hint %q, wanted %q and a hint", c.options, err, said.Hint, c.want)
		}
	}
}

// TestKeepOfWhatNeverCameUp: a network that does not come up is ended, also if it was to be kept: nothing would say how to end it later.
func TestKeepOfWhatNeverCameUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	if _, err := Start(t.Context(), Config{Dir: dir, Binary: "/bin/false", Coordinators: 1, Keep: true, Out: t.Output()}); err == nil || !strings.Contains(err.Error(), "coordinator-a has ended") {
		t.Errorf("it ends with %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// TestKeep: what --keep leaves runs on when the one who started it is gone, answers,
// shows itself to a browser, and is ended by --down, which leaves nothing.
func TestKeep(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs the raylink binary and Chromium: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "net")
	var out bytes.Buffer
	n, err := Start(ctx, Config{Dir: dir, Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 1, Suppliers: 2, Cores: 1, Memory: "1Gi", Scripted: true, Keep: true, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range n.processes { // those that --down has not ended
			if err := p.kill(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := n.Stop(ctx); err != nil { // what is kept is not stopped
		t.Fatal(err)
	}
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	if list, err := n.machines(ctx); err != nil || len(list) != 2 {
		t.Fatalf("the kept network has %d machines: %v", len(list), err)
	}
	if err := n.browse(ctx, "admin", "/ui/machines", n.seeMachineDrained); err != nil { // what is kept shows it
		t.Error(err)
	}
	n.Addresses()
	for _, want := range []string{n.api[coordinatorName(0)] + "/ui", n.people["admin"].tokenFile, " login " + n.api[coordinatorName(0)], " cluster create -f "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed:\n%s", want, out.String())
		}
	}
	if err := Run(ctx, Options{Down: dir}, &out, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("--down leaves %s: %v", dir, err)
	}
	if err := living(n); err != nil { // "Ended" is said of what has ended
		t.Error(err)
	}
}

// living names a process of the network that still runs.
func living(n *Network) error {
	for _, p := range n.processes {
		if p.running() {
			return raylink.Errorf(raylink.CodeConflict, "%s still runs", p.name)
		}
	}
	return nil
}

// TestCoordinatorsJoin: those that come after the first join its group by `raylink coordinator join`; one that was killed is started again by the
// same line, long after its token was spent, and votes as before.
func TestCoordinatorsJoin(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs the raylink binary: `make test` sets RAYLINK_REAL=1 and brings it")
	}
	ctx, second := t.Context(), coordinatorName(1)
	n, err := Start(ctx, Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 3, Scripted: true, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	if line := n.processes[second].args; strings.Join(line[:3], " ") != "coordinator join "+n.api[coordinatorName(0)] {
		t.Fatalf("the second coordinator was started by %q", line)
	}
	if err := n.Kill(second); err != nil {
		t.Fatal(err)
	}
	if err := n.Restart(second); err != nil {
		t.Fatal(err)
	}
	if err := n.until(ctx, "starting it again", second, readyLimit, func(ctx context.Context) error { return n.votes(ctx, second) }); err != nil {
		t.Fatal(err)
	}
}

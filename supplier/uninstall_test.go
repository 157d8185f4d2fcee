package supplier

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/wire"
)

// scriptedConfig is what a verb gets of its flags.
func scriptedConfig(data string) Config {
	return Config{Data: data, Runtime: RuntimeScripted, DataPlanes: PlanesAuto, Name: "box"}
}

// tree names all files below a directory, with mode and size.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		row := path + " " + info.Mode().String()
		if !e.IsDir() {
			row += " " + info.ModTime().String()
		}
		out = append(out, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// used is a data directory as an agent leaves it behind, without an identity.
func used(t *testing.T, orders ...wire.LeaseOrder) string {
	t.Helper()
	f := files{root: filepath.Join(t.TempDir(), "supplier")}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	unlock, err := f.lock()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := f.saveAssignment(t.Context(), wire.Assignment{Leases: orders}); err != nil {
		t.Fatal(err)
	}
	if err := save(filepath.Join(f.root, viewFile), View{At: time.Now(), Machine: machine}); err != nil {
		t.Fatal(err)
	}
	for _, order := range orders {
		if err := os.MkdirAll(f.plane(order.Lease), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return f.root
}

// TestUninstallLeavesNothing: the file system is as before; what the agent did not make stays; twice is once.
func TestUninstallLeavesNothing(t *testing.T) {
	data := used(t)
	parent := filepath.Dir(data)
	if err := os.RemoveAll(data + ".x"); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	gone, err := Uninstall(t.Context(), scriptedConfig(data), false, log)
	if err != nil || gone.Machine != machine || len(gone.Left) != 0 {
		t.Fatalf("%+v, %v", gone, err)
	}
	if left := tree(t, parent); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	if gone, err = Uninstall(t.Context(), scriptedConfig(data), false, log); err != nil || gone.Leases != 0 {
		t.Errorf("the second time: %+v, %v", gone, err)
	}

	data = used(t)
	if err := os.WriteFile(filepath.Join(data, "thesis.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone, err = Uninstall(t.Context(), scriptedConfig(data), false, log)
	if err != nil || len(gone.Left) != 1 || !strings.Contains(gone.Left[0], "thesis.txt") {
		t.Errorf("a stranger's file: %+v, %v", gone, err)
	}
	if entries, _ := os.ReadDir(data); len(entries) != 1 {
		t.Errorf("left are %v", entries)
	}
}

// TestUninstallSparesOthersSockets: an owner who gave --data / or /etc has a run or a wireguard of his own there.
func TestUninstallSparesOthersSockets(t *testing.T) {
	data := used(t)
	for _, name := range []string{"run/docker.sock", "run/rlaaaa.sock", "run/rlaaaa.sock.lock", "wireguard/wg0.conf", "wireguard/rlaaaa.sock"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(data, name)), 0o700), os.WriteFile(filepath.Join(data, name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := Uninstall(t.Context(), scriptedConfig(data), false, slog.New(slog.DiscardHandler))
	if err != nil || len(gone.Left) != 2 {
		t.Errorf("%+v, %v", gone, err)
	}
	for _, name := range []string{"run", "wireguard"} {
		if entries, err := os.ReadDir(filepath.Join(data, name)); err != nil || len(entries) != 1 {
			t.Errorf("in %s there are %v (%v)", name, entries, err)
		}
	}
}

// TestUninstallWipesWithoutAnIdentity: whose leases they were nobody knows any more. What they wrote is overwritten all the same.
func TestUninstallWipesWithoutAnIdentity(t *testing.T) {
	data := used(t)
	file := filepath.Join(files{root: data}.plane(worker), "weights")
	if err := errors.Join(os.Remove(filepath.Join(data, viewFile)), os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("a tenant's"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var held []*os.File
	for _, path := range []string{file, files{root: data}.assignment()} {
		one, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer one.Close()
		held = append(held, one)
	}
	if gone, err := Uninstall(t.Context(), scriptedConfig(data), false, slog.New(slog.DiscardHandler)); err != nil || len(gone.Left) > 0 {
		t.Errorf("%+v, %v", gone, err)
	}
	for _, one := range held {
		if text, err := io.ReadAll(one); err != nil || len(bytes.Trim(text, "\x00")) > 0 {
			t.Errorf("%s still holds %q (%v)", one.Name(), text, err)
		}
	}
	if _, err := os.Lstat(data); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
}

// TestUninstallTouchesNoStrangers: a directory that is no agent's is refused, whatever is forced.
func TestUninstallTouchesNoStrangers(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	_, err := Uninstall(t.Context(), scriptedConfig(dir), true, slog.New(slog.DiscardHandler))
	if told := raylink.AsError(err); told == nil || told.Code != raylink.CodeInvalid || !slices.Equal(before, tree(t, dir)) {
		t.Errorf("%v", err)
	}
}

// TestUninstallAsksWhileSomebodyWouldLose: with a lease, or minutes that are not settled, it drains and refuses; --force goes on.
func TestUninstallAsksWhileSomebodyWouldLose(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	data := used(t, wire.LeaseOrder{Lease: head, Want: raylink.WantRun})
	f := files{root: data}
	if err := save(f.minutes(worker), tally{Records: []wire.MinuteRecord{{Lease: worker}, {Lease: worker, Ordinal: 1}}}); err != nil {
		t.Fatal(err)
	}
	_, err := Uninstall(t.Context(), scriptedConfig(data), false, log)
	told := raylink.AsError(err)
	if told == nil || told.Code != raylink.CodeConflict || !strings.Contains(told.Message, "1 lease(s)") || !strings.Contains(told.Message, "2 signed minute(s)") {
		t.Fatalf("%v", err)
	}
	if o, err := ReadOwner(data); err != nil || o.Drain == nil {
		t.Errorf("it is not drained: %+v %v", o, err)
	}
	gone, err := Uninstall(t.Context(), scriptedConfig(data), true, log)
	if err != nil || gone.Lost != 2 {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the directory is still there")
	}
}

// TestUninstallNeedsTheLock: where no agent runs and its directory cannot be locked, on a disk that is mounted read-only say, the reason is told.
func TestUninstallNeedsTheLock(t *testing.T) {
	data := used(t)
	lock := filepath.Join(data, "lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if gone, err := Uninstall(t.Context(), scriptedConfig(data), true, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "locking the agent's directory") {
		t.Errorf("%+v, %v", gone, err)
	}
}

// TestUninstallEndsTheAgent: an agent that runs elsewhere, in a container too, ends itself when its owner's settings say so, whatever stood in them.
func TestUninstallEndsTheAgent(t *testing.T) {
	for name, settings := range map[string]string{"of their own": `{"hours":"sat-sun"}`, "broken": "{"} {
		t.Run(name, func(t *testing.T) { uninstallEndsTheAgent(t, settings) })
	}
}

func uninstallEndsTheAgent(t *testing.T, settings string) {
	data := used(t)
	f := files{root: data}
	if err := os.WriteFile(filepath.Join(data, ownerFile), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	unlock, err := f.lock()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // an agent that looks at its owner's settings, as Agent.Run does
		defer close(done)
		defer unlock()
		for t.Context().Err() == nil {
			if o, err := ReadOwner(data); err == nil && o.Ends != nil {
				return
			}
			<-time.After(time.Millisecond)
		}
	}()
	if _, err := Uninstall(t.Context(), scriptedConfig(data), false, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestTheAgentEndsWhenItIsUninstalled(t *testing.T) {
	bubble(t, func(w *world) {
		w.stop()
		now := time.Now()
		if _, err := ChangeOwner(w.dir, func(o *Owner) error { o.Ends = &now; return nil }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		agent := New(Parts{Machine: machine, Key: w.key, DataDir: w.dir, Coordinator: w.coordinator, Runtime: w.host.For(machine), Planes: w.host.Planes(machine)}, slog.New(slog.DiscardHandler))
		if err := agent.Run(ctx); err != nil || ctx.Err() != nil {
			t.Errorf("it ended with %v, %v", err, ctx.Err())
		}
	})
}

// TestDryRunTellsOfTheInternet: what would be allowed, how much, and where the proxy would listen.
func TestDryRunTellsOfTheInternet(t *testing.T) {
	for _, c := range []struct {
		set  func(*Config)
		want []string
		not  string
	}{
		{func(c *Config) { c.Egress = 100 << 30 }, []string{"public addresses", "127.0.0.1:6398", "100Gi at most, both ways", "private and metadata"}, "refuses all"},
		{func(c *Config) {}, []string{"127.0.0.1:6398", "as many bytes as it likes"}, "at most"},
		{func(c *Config) { c.Egress, c.NoEgress = 100<<30, true }, []string{"nothing is reached", "127.0.0.1:6398", "refuses all and says why", "--no-egress"}, "100Gi"},
		{func(c *Config) { c.Runtime = RuntimeScripted }, []string{"none"}, "proxy"},
	} {
		config := scriptedConfig(filepath.Join(t.TempDir(), "supplier"))
		config.Runtime = RuntimeDocker
		c.set(&config)
		w, err := DryRun(t.Context(), config)
		i := slices.IndexFunc(w.Items, func(item WouldItem) bool { return item.What == "the Internet" })
		if err != nil || i < 0 {
			t.Fatalf("%+v, %v", w, err)
		}
		for _, want := range c.want {
			if !strings.Contains(w.Items[i].Then, want) {
				t.Errorf("%q is not in %q", want, w.Items[i].Then)
			}
		}
		if strings.Contains(w.Items[i].Then, c.not) {
			t.Errorf("%q is in %q", c.not, w.Items[i].Then)
		}
	}
}

// TestDryRunTellsOfTheDisk: how much of it a lease could hold, and what would stay free.
func TestDryRunTellsOfTheDisk(t *testing.T) {
	config := scriptedConfig(filepath.Join(t.TempDir(), "supplier"))
	config.LeaseDisk, config.DiskFloor = 64<<30, 5<<30
	w, err := DryRun(t.Context(), config)
	i := slices.IndexFunc(w.Items, func(item WouldItem) bool { return item.What == "files" })
	if err != nil || i < 0 || !strings.Contains(w.Items[i].Then, "64.0 GiB a lease at most (--lease-disk), leaving 5.0 GiB free (--disk-floor)") {
		t.Errorf("%+v, %v", w, err)
	}
}

// TestDryRunChangesNothing: not a file, not a time.
func TestDryRunChangesNothing(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1") // whoever asks the engine fails
	parent := t.TempDir()
	before := tree(t, parent)
	config := scriptedConfig(filepath.Join(parent, "supplier"))
	config.Runtime, config.Join = RuntimeDocker, "https://127.0.0.1:1"
	w, err := DryRun(t.Context(), config)
	if err != nil || len(w.Items) < 8 || w.Joined || w.Offer.Resources.CPU == 0 {
		t.Errorf("%+v, %v", w, err)
	}
	if after := tree(t, parent); !slices.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
	if told := refused(config, 1000); !strings.Contains(told, "sudo") {
		t.Errorf("a user who is not root is told %q", told)
	}
	config.Join = "nonsense"
	if _, err := DryRun(t.Context(), config); raylink.AsError(err).Code != raylink.CodeInvalid {
		t.Errorf("it would ask %q: %v", config.Join, err)
	}
	// What it says is what the agent will offer, by the same function.
	host := hostOf(t.Context(), RuntimeDocker, w.Offer, slog.New(slog.DiscardHandler))
	known, _ := catalogue.Match(host.Devices[0])
	if got := w.Offer.Labels[raylink.LabelProcessor]; got != known.Name {
		t.Errorf("it would offer the processor %q, which is %q", got, known.Name)
	}
}

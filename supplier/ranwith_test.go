package supplier

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raylink/raylink"
)

// TestWhatAnAgentRanWith: it is known from the disk, whatever the settings say; without a word there, by the process runtime's directory.
func TestWhatAnAgentRanWith(t *testing.T) {
	for _, c := range []struct {
		name     string
		ran      []string // one agent after another
		before   bool     // an agent of before the file has run leases as processes here
		settings string
		want     []string
		verbs    string
	}{
		{"nothing yet", nil, false, RuntimeDocker, []string{RuntimeDocker}, RuntimeDocker},
		{"nothing yet, other settings", nil, false, RuntimeProcess, []string{RuntimeProcess}, RuntimeProcess},
		{"processes, and a flag forgotten", []string{RuntimeProcess}, false, RuntimeDocker, []string{RuntimeProcess}, RuntimeProcess},
		{"the same again", []string{RuntimeProcess, RuntimeProcess}, false, RuntimeProcess, []string{RuntimeProcess}, RuntimeProcess},
		{"first the one, then the other", []string{RuntimeProcess, RuntimeDocker}, false, RuntimeDocker, []string{RuntimeProcess, RuntimeDocker}, RuntimeDocker},
		{"and back", []string{RuntimeDocker, RuntimeProcess, RuntimeDocker, RuntimeProcess}, false, RuntimeDocker, []string{RuntimeDocker, RuntimeProcess}, RuntimeProcess},
		{"an agent of before", nil, true, RuntimeDocker, []string{RuntimeProcess}, RuntimeProcess},
	} {
		f := files{root: t.TempDir()}
		for _, with := range c.ran {
			if err := f.remember(with); err != nil {
				t.Fatal(err)
			}
		}
		if c.before {
			if err := os.Mkdir(filepath.Join(f.root, processContainers), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.ranWith(c.settings); !slices.Equal(got, c.want) {
			t.Errorf("%s: it ran with %v, not %v", c.name, got, c.want)
		}
		if got := RunsWith(Config{Data: f.root, Runtime: c.settings}); got != c.verbs {
			t.Errorf("%s: verbs speak of %s, not of %s", c.name, got, c.verbs)
		}
	}
	f := files{root: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.root, runtimesFile), []byte(`["chroot"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := f.ranWith(RuntimeDocker); !slices.Equal(got, []string{RuntimeDocker}) {
		t.Errorf("a file that cannot be read: %v", got)
	}
}

// TestEraseWithoutAnEngine: images and what the runtime made go; a record of a lease that was not ended stays, and with it all that is needed to end it. A
// directory of these names beside an agent that never ran processes is somebody else's.
func TestEraseWithoutAnEngine(t *testing.T) {
	made := func(names ...string) files {
		f := files{root: filepath.Join(t.TempDir(), "supplier")}
		for _, name := range names {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(f.root, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(f.root, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	f := made("identity/key", "containers/l-aaaaaaaaaa/lock", "images/worker:1/bin/sh", "images/worker:1.tar", runtimesFile)
	if left := f.erase([]string{RuntimeScripted, RuntimeProcess}); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
	if _, err := os.Stat(f.root); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
	f = made("identity/key", "containers/l-aaaaaaaaaa/record.json", "images/worker:1.tar", runtimesFile)
	before := tree(t, f.root)
	if left := f.erase([]string{RuntimeProcess}); len(left) != 1 || !strings.Contains(left[0], "l-aaaaaaaaaa") || !slices.Equal(before, tree(t, f.root)) {
		t.Errorf("of a lease that was not ended it leaves %v", left)
	}
	f = made("identity/key", "images/holiday.jpg")
	if left := f.erase([]string{RuntimeScripted}); len(left) != 1 || !strings.Contains(left[0], "the agent did not make it") {
		t.Errorf("of an owner's own it leaves %v", left)
	}
}

// TestNoAgentOutsideLinux: it stops with what to do before it makes a file or uses up a join token. A dry run says the same and shows what there is.
func TestNoAgentOutsideLinux(t *testing.T) {
	defer func(own string) { system = own }(system)
	system = "darwin"
	asked := 0
	group := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer group.Close()
	for _, with := range []string{RuntimeDocker, RuntimeProcess} {
		config := scriptedConfig(filepath.Join(t.TempDir(), "supplier"))
		config.Runtime, config.Join, config.Token = with, group.URL, "rl_join_x"
		err := raylink.AsError(Run(t.Context(), config, slog.New(slog.DiscardHandler)))
		if err == nil || err.Code != raylink.CodeUnsupported || !strings.Contains(err.Message, "darwin") || !strings.Contains(err.Hint, "Linux VM") {
			t.Errorf("with %s: %+v", with, err)
		}
		if _, err := os.Stat(config.Data); !os.IsNotExist(err) || asked > 0 {
			t.Errorf("with %s it made something (%v), or asked %d times", with, err, asked)
		}
		w, dry := DryRun(t.Context(), config)
		if dry != nil || !strings.Contains(w.Refused, "Linux VM") || w.Offer.Resources.CPU == 0 {
			t.Errorf("a dry run with %s: %+v, %v", with, w, dry)
		}
	}
	if err := Refusal(Config{Runtime: RuntimeScripted}); err != nil {
		t.Errorf("pretended leases run anywhere: %v", err)
	}
}

// TestDryRunWithoutAnEngine: no container is promised and no image pulled; what is made in their place is told.
func TestDryRunWithoutAnEngine(t *testing.T) {
	config := scriptedConfig(filepath.Join(t.TempDir(), "supplier"))
	config.Runtime = RuntimeProcess
	w, err := DryRun(t.Context(), config)
	if err != nil || w.Refused != "" {
		t.Fatal(w.Refused, err)
	}
	told := map[string]WouldItem{}
	for _, item := range w.Items {
		told[item.What] = item
		for _, never := range []string{"raylink.machine", "docker", "pulled", "container's", "--data-planes"} {
			if strings.Contains(item.Now+item.Then+item.End, never) {
				t.Errorf("%s promises %q: %+v", item.What, never, item)
			}
		}
	}
	for what, says := range map[string]string{
		"processes": "user 1000", "control groups": "raylink/MACHINE/ID", "images": "nothing is fetched", "devices": "no GPU", "the Internet": "a proxy", "networks, bridges, firewall rules": "lease's own namespace",
	} {
		if !strings.Contains(told[what].Then, says) {
			t.Errorf("%s: %q is not in %+v", what, says, told[what])
		}
	}
	if _, containers := told["containers"]; containers {
		t.Error("it tells of containers")
	}
}

package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"raylink/raylink"
)

func writeWant(t *testing.T, name string, archive *txtar.Archive, got []byte) {
	t.Helper()
	last := &archive.Files[len(archive.Files)-1]
	if last.Name != "want.json" {
		archive.Files = append(archive.Files, txtar.File{Name: "want.json"})
		last = &archive.Files[len(archive.Files)-1]
	}
	last.Data = got
	if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMemInfoRefusals(t *testing.T) {
	for _, bad := range []string{"", "MemFree: 1 kB\n", "MemTotal: many kB\n", "MemTotal: 12\n", "MemTotal: -5 kB\n", "MemTotal: 9223372036854775807 kB\n"} {
		if got, err := ParseMemInfo(bad); err == nil {
			t.Errorf("%q reads as %d bytes", bad, got)
		}
	}
}

func TestLook(t *testing.T) {
	m, err := Look()
	if err != nil || m.Cores < 1 || m.Memory < 1<<20 || m.Arch == "" || m.Model == "" {
		t.Errorf("this machine is %+v (%v)", m, err)
	}
}

// TestProbeHere probes this machine, whatever it is: it must be told at all, and be bounded.
func TestProbeHere(t *testing.T) {
	host, _ := Probe(t.Context(), System())
	if len(host.Devices) < 1 || host.Devices[0].ID != raylink.CPUDevice || host.Devices[0].Threads < 1 || host.Memory < 1<<20 || host.OS == "" || host.Kernel == "" {
		t.Errorf("this machine is %+v", host)
	}
}

// TestNothing: a machine that tells nothing is no reason to fail, and each thing that is missing is told.
func TestNothing(t *testing.T) {
	none := errors.New("nothing here")
	s := Sources{Read: func(string) (string, error) { return "", none }, Glob: func(string) []string { return nil }, Arch: "amd64", Threads: 3,
		Docker: func(context.Context, string) (string, error) { return "", none },
		Run:    func(context.Context, string, ...string) (string, error) { return "", none }}
	host, notes := Probe(t.Context(), s)
	if len(host.Devices) != 1 || host.Devices[0].Threads != 3 || len(notes) != 3 {
		t.Errorf("it is %+v, with %v", host, notes)
	}
}

// TestNVIDIA: what the library says comes first, and its trouble is told where there is a GPU or a driver to have trouble with.
func TestNVIDIA(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/nvidia-without-library.txtar")
	if err != nil {
		t.Fatal(err)
	}
	trouble := errors.New("the driver does not answer")
	card := raylink.Device{ID: "GPU-1", Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: "NVIDIA GeForce RTX 3090", Memory: 24 << 30}
	many := make([]raylink.Device, 1000)
	for name, c := range map[string]struct {
		found   []raylink.Device
		err     error
		devices int
		notes   int
		fault   string
	}{
		"well":     {[]raylink.Device{card}, nil, 1, 0, ""},
		"hanging":  {nil, trouble, 1, 1, trouble.Error()},
		"half":     {[]raylink.Device{card}, trouble, 1, 1, ""},
		"too many": {many, nil, gpusLooked, 1, ""},
	} {
		s := recorded(archive, "amd64")
		s.NVIDIA = func(context.Context) (string, []raylink.Device, error) { return "999.1", c.found, c.err }
		host, notes := Probe(t.Context(), s)
		gpus := host.Devices[1:]
		if len(gpus) != c.devices || len(notes) != c.notes || gpus[0].Fault != c.fault || host.Versions[raylink.VersionDriver] != "999.1" {
			t.Errorf("%s: %d GPUs, the first of them %+v, notes %v, versions %v", name, len(gpus), gpus[0], notes, host.Versions)
		}
	}
}

// TestGVisorIsOfferedWhereItHasTheOverlay: that an engine knows the name runsc is not enough.
func TestGVisorIsOfferedWhereItHasTheOverlay(t *testing.T) {
	const script = "#!/bin/sh\nexec /usr/bin/runsc --network=host \"$@\"\n"
	for name, c := range map[string]struct {
		runtimes, file string
		want           bool
	}{
		"as runsc install alone writes it": {`{"runsc":{"path":"/usr/bin/runsc"}}`, "\x7fELF --network=host", false},
		"with the argument":                {`{"runsc":{"path":"/usr/bin/runsc","runtimeArgs":["--network=host"]}}`, "", true},
		"a script":                         {`{"runsc":{"path":"/run/runsc-lease"}}`, script, true},
		"a script that cannot be read":     {`{"runsc":{"path":"/run/runsc-lease"}}`, "", false},
		"as a shim":                        {`{"runsc":{"runtimeType":"io.containerd.runsc.v1"}}`, script, false},
		"another name":                     {`{"gvisor":{"path":"/usr/bin/runsc","runtimeArgs":["--network=host"]}}`, "", false},
	} {
		archive, err := txtar.ParseFile("testdata/hyperv.txtar")
		if err != nil {
			t.Fatal(err)
		}
		s := recorded(archive, "amd64")
		s.Docker = func(_ context.Context, path string) (string, error) {
			return `{"Version":"1","Runtimes":` + c.runtimes + `}`, nil
		}
		s.Host = func(string) (string, error) {
			if c.file == "" {
				return "", os.ErrPermission
			}
			return c.file, nil
		}
		host, _ := Probe(t.Context(), s)
		if got := slices.Contains(host.Isolation, raylink.IsolationGVisor); got != c.want {
			t.Errorf("%s: gVisor is offered: %v", name, got)
		}
	}
}

func TestToolVersions(t *testing.T) {
	for text, want := range map[string]string{
		"runsc version release-20221219.0-1\nspec: 1.0.2": "20221219.0-1", "NVIDIA Container Toolkit CLI version 1.17.8": "1.17.8", "runc version 1.1.5+ds1": "1.1.5+ds1",
		"v1.2.3": "1.2.3", "": "", "no version at all\n1.2.3": "",
	} {
		if got := ParseToolVersion(text); got != want {
			t.Errorf("%q has the version %q, wanted %q", text, got, want)
		}
	}
}

// FuzzParse: nothing that a system may say makes a parser panic, or tells a text that is long or not plain.
func FuzzParse(f *testing.F) {
	f.Add("processor\t: 0\nmodel name\t: \xff\x00\nCPU implementer : 0x61\nCPU part: " + strings.Repeat("9", 1000))
	f.Add(`{"Version":"1","Components":[{"Name":"runc","Version":"2"}],"Runtimes":{"runsc":{}}}`)
	f.Add("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  x\nModel: \t y\nGPU UUID: z")
	f.Fuzz(func(t *testing.T, text string) {
		p, d := ParseCPUInfo(text), ParseNVIDIAInformation(text)
		versions := map[string]string{"driver": ParseDriver(text), "tool": ParseToolVersion(text)}
		_ = ParseDockerVersion(text, versions)
		_, _ = ParseDockerRuntimes(text)
		_, _ = ParseMemInfo(text)
		if q, _, err := ParseSysctl(func(string) (string, bool) { return text, true }); err == nil && q.Threads < 1 {
			t.Errorf("a processor without threads: %+v", q)
		}
		for _, told := range append([]string{p.Name, p.Vendor, d.Name, d.ID, d.Bus, ParseOSRelease(text)}, fmt.Sprint(versions)) {
			if len(told) > 5*textLimit || !utf8.ValidString(told) || strings.ContainsAny(told, "\n\r\x00") {
				t.Errorf("%q is told", told)
			}
		}
		if p.Cores > p.Threads {
			t.Errorf("%d cores with %d threads", p.Cores, p.Threads)
		}
	})
}

// BenchmarkProbe is what an agent pays each time it looks: this machine, with everything that it has.
func BenchmarkProbe(b *testing.B) {
	s := System()
	for b.Loop() {
		Probe(b.Context(), s)
	}
}

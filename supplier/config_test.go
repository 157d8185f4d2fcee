package supplier

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/supplier/device"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/scripted"
)

func TestUnits(t *testing.T) {
	for text, want := range map[string]int64{"2": 20_000, "0.5": 5_000, "0.0001": 1, "1.25": 12_500} {
		var c Cores
		if err := c.UnmarshalText([]byte(text)); err != nil || int64(c) != want {
			t.Errorf("%q cores are %d (%v), wanted %d", text, c, err, want)
		}
		if back, err := c.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%q cores come back as %q (%v)", text, back, err)
		}
	}
	for text, want := range map[string]int64{"16Gi": 16 << 30, "512Mi": 512 << 20, "1000": 1000, "3Ti": 3 << 40} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || int64(b) != want {
			t.Errorf("%q is %d bytes (%v), wanted %d", text, b, err, want)
		}
		if back, err := b.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%q comes back as %q (%v)", text, back, err)
		}
	}
	for text, want := range map[string]money.Rate{"0.02": 20_000, "1 USD/h": 1_000_000, "0.000001": 1} {
		var p Price
		if err := p.UnmarshalText([]byte(text)); err != nil || money.Rate(p) != want {
			t.Errorf("%q is %v (%v), wanted %v", text, p, err, want)
		}
	}
	for _, bad := range []string{"", "0", "-1", "1.00001", "x", ".5", "1e3", "0.0"} {
		if err := new(Cores).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q reads as a number of cores", bad)
		}
	}
	for _, bad := range []string{"", "0", "-1Gi", "9999999999Ti", "1.5Gi", "16G"} {
		if err := new(Bytes).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q reads as a size", bad)
		}
	}
}

func TestOffer(t *testing.T) {
	has := device.Machine{Cores: 8, Memory: 100 << 30, Arch: "arm64"}
	whole, err := (&Config{CPUHour: 20_000, Labels: []string{"zone=a"}}).offer(has)
	if err != nil || whole.Resources.CPU != 80_000 || whole.Resources.Memory != 90<<30 || whole.Resources.GPU != 0 || whole.Arch != "arm64" || whole.Labels["zone"] != "a" {
		t.Errorf("the offer is %+v (%v)", whole, err)
	}
	if where, err := (&Config{Labels: []string{"ray.io/availability-zone=eu-1a"}}).offer(has); err != nil || where.Labels["ray.io/availability-zone"] != "eu-1a" {
		t.Errorf("the offer says that it is in %v (%v)", where.Labels, err)
	}
	part, err := (&Config{CPUs: 20_000, Memory: 4 << 30}).offer(has)
	if err != nil || part.Resources.CPU != 20_000 || part.Resources.Memory != 4<<30 {
		t.Errorf("the bounded offer is %+v (%v)", part, err)
	}
	for _, label := range []string{"zone", raylink.LabelAccelerator + "=H100", raylink.LabelArch + "=amd64", raylink.LabelMachine + "=m-a", raylink.LabelProcessor + "=M4", raylink.LabelEmulated + "=true", "ray.io/node-group=left", "ray.io/node-id=a"} {
		if _, err := (&Config{Labels: []string{label}}).offer(has); err == nil {
			t.Errorf("the label %q is taken", label)
		}
	}
}

// TestOfferThatNobodyTakes: coordinators take no notice of an offer that no machine can mean, so the agent refuses it before it begins.
func TestOfferThatNobodyTakes(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, spoil := range map[string]func(*Config){
		"nothing":      func(*Config) {},
		"a dear core":  func(c *Config) { c.CPUHour = raylink.MaxRate + 1 },
		"a dear GPU":   func(c *Config) { c.GPUHour = raylink.MaxRate + 1 },
		"a long label": func(c *Config) { c.Labels = []string{"zone=" + strings.Repeat("x", raylink.MaxLabel+1)} },
		"two lines":    func(c *Config) { c.Labels = []string{"zone=a\nb"} },
		"no memory":    func(c *Config) { c.Memory = 1 << 20 },
	} {
		config := Config{CPUs: raylink.Unit, Memory: 1 << 30}
		spoil(&config)
		offer, err := config.offer(device.Machine{Arch: "amd64"})
		if err == nil {
			err = config.whole(&offer, &raylink.Host{}, log)
		}
		if (err == nil) != (name == "nothing") || err != nil && raylink.AsError(err).Code != raylink.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	good := Config{Data: "/var/lib/raylink/supplier", Runtime: RuntimeScripted, DataPlanes: PlanesAuto, Name: "box"}
	if err := good.check(); err != nil {
		t.Errorf("a good configuration is refused: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"relative data": func(c *Config) { c.Data = "data" },
		"colon in data": func(c *Config) { c.Data = "/a:b" },
		"no such run":   func(c *Config) { c.Runtime = "podman" },
		"no such plane": func(c *Config) { c.DataPlanes = "thread" },
		"host name":     func(c *Config) { c.Address = "example.org" },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestRunSaysHowToJoin(t *testing.T) {
	config := Config{Data: t.TempDir(), Runtime: RuntimeScripted, DataPlanes: PlanesAuto, Name: "box"}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for range 2 { // the lock of the first is gone with it
		if told := raylink.AsError(Run(t.Context(), config, log)); told == nil || !strings.Contains(told.Hint, "--join") {
			t.Errorf("without a network Run says %+v", told)
		}
	}
	config.Join = "https://127.0.0.1:1"
	if told := raylink.AsError(Run(t.Context(), config, log)); told == nil || !strings.Contains(told.Hint, "--join-token-file") {
		t.Errorf("without a token Run says %+v", told)
	}
}

// TestNoEngineCostsNoToken: where no engine answers nobody is asked to let the machine in: a token is good once.
func TestNoEngineCostsNoToken(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	asked := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a coordinator was asked") }))
	defer asked.Close()
	config := Config{Data: t.TempDir(), Runtime: RuntimeDocker, Join: asked.URL, Token: "rl_join_" + strings.Repeat("A", 43) + "." + fmt.Sprintf("%x", sha256.Sum256(asked.Certificate().Raw))}
	_, err := join(t.Context(), &config, raylink.Offer{}, slog.New(slog.DiscardHandler))
	if told := raylink.AsError(err); told == nil || !strings.Contains(told.Message, "engine") {
		t.Errorf("it says %v", err)
	}
}

func TestOneAgentForADirectory(t *testing.T) {
	store := files{root: t.TempDir()}
	unlock, err := store.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.lock(); raylink.AsError(err) == nil || raylink.AsError(err).Code != raylink.CodeConflict {
		t.Errorf("a second agent is let in: %v", err)
	}
	unlock()
	again, err := store.lock()
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	again()
}

func TestRemoveAll(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		w.stop()
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		if err := removeAll(context.Background(), files{root: w.dir}, w.host.For(machine), w.host.Planes(machine), log); err != nil {
			t.Fatal(err)
		}
		present, _ := w.host.Count()
		_, plane := w.host.PlaneStatus(head)
		if left, err := os.ReadDir(filepath.Join(w.dir, "leases")); present != 0 || plane || err != nil || len(left) != 0 {
			t.Errorf("left are %d containers, a data plane: %v, directories %v (%v)", present, plane, left, err)
		}
	})
}

func TestFilesAreTheTenantsOnlyWhereTheyMustBe(t *testing.T) {
	store := files{root: t.TempDir()}
	if err := store.open(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, coordinator: newCoordinator()}
	order := w.order(head, raylink.WantMesh)
	tenant := runtime.IDs{User: 701_000, Group: 801_000} // as an engine maps him
	for range 2 {                                        // again, over what is there
		if err := store.prepare(t.Context(), order, order.Env, tenant); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"": 0o755, "session": 0o755, "gcs": 0o755, "start.sh": 0o644, "token": 0o400, "../plane": 0o700} {
		info, err := os.Stat(filepath.Join(store.node(head), name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("node/%s: %v, %v", name, info, err)
			continue
		}
		his := name == "session" || name == "gcs" || name == "token"
		if owner := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (runtime.IDs{User: int(owner.Uid), Group: int(owner.Gid)} == tenant) != his {
			t.Errorf("node/%s belongs to %d:%d", name, owner.Uid, owner.Gid)
		}
	}
	order.Command = []string{"ray", "\x00"}
	if err := store.prepare(t.Context(), order, order.Env, tenant); raylink.AsError(err) == nil || raylink.AsError(err).Code != raylink.CodeInvalid {
		t.Errorf("a start line with a zero byte: %v", err)
	}
	if err := os.WriteFile(filepath.Join(store.root, "assignment.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.loadAssignment(); err == nil {
		t.Error("half an assignment is read")
	}
}

const (
	routeText = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n" +
		"vpn0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
	trieText = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 127.0.0.0/8 2 0 2\n        |-- 127.0.0.1\n           /32 host LOCAL\n" +
		"     |-- 172.17.0.1\n        /32 host LOCAL\n     |-- 192.168.0.0\n        /24 link UNICAST\n     |-- 192.168.0.7\n        /32 host LOCAL\n" +
		"     |-- 192.168.0.255\n        /32 link BROADCAST\n     |-- 10.1.2.3\n        /32 host LOCAL\n"
)

func TestSourceAddress(t *testing.T) {
	for destination, want := range map[string]string{"203.0.113.9": "192.168.0.7", "192.168.0.99": "192.168.0.7", "10.9.9.9": "10.1.2.3",
		"192.168.0.7": "192.168.0.7", "172.17.0.5": "172.17.0.1"} {
		got, err := sourceAddress(routeText, trieText, netip.MustParseAddr(destination))
		if err != nil || got.String() != want {
			t.Errorf("towards %s the source is %s (%v), wanted %s", destination, got, err, want)
		}
	}
	if got, err := sourceAddress("", trieText, netip.MustParseAddr("203.0.113.9")); err == nil {
		t.Errorf("without routes the source is %s", got)
	}
}

func TestLocator(t *testing.T) {
	down := &locator{coordinators: func() []string { return nil }}
	if _, err := down.Address(); err == nil {
		t.Error("without coordinators there is an address")
	}
	fixed := &locator{fixed: netip.MustParseAddr("192.0.2.1")}
	if got, err := fixed.Address(); err != nil || got != fixed.fixed {
		t.Errorf("the set address is %s (%v)", got, err)
	}
	loopback := &locator{coordinators: func() []string { return []string{"https://127.0.0.1:7443"} }}
	if got, err := loopback.Address(); err != nil || !got.IsLoopback() {
		t.Errorf("towards loopback the address is %s (%v)", got, err)
	}
}

func TestContainerOf(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	text := "100 90 0:50 / / rw - overlay overlay rw\n" +
		"101 100 8:1 /var/lib/docker/containers/" + id + "/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n"
	if got, err := containerOf(text); err != nil || got != id {
		t.Errorf("the container is %q (%v)", got, err)
	}
	if got, err := containerOf("100 90 0:50 / / rw - overlay overlay rw\n"); err == nil {
		t.Errorf("outside of Docker the container is %q", got)
	}
}

func TestAListThatFailsIsNoAbsence(t *testing.T) {
	bubble(t, func(w *world) {
		w.bringUp()
		for range 30 {
			w.host.Fail("list", errors.New("scripted"))
		}
		heard := w.coordinator.lease(head).Stage
		w.pass(20 * lookEvery)
		if present, started := w.host.Count(); present != 2 || started != 2 || heard != raylink.StageRunning || w.coordinator.lease(head).Stage != raylink.StageRunning {
			t.Errorf("while the engine was silent: %d containers, %d started, reported %s", present, started, w.coordinator.lease(head).Stage)
		}
	})
}

func TestScriptedHostsHaveAnyImage(t *testing.T) {
	if _, err := scripted.NewHost().AnyImage().For(machine).Images().Look(t.Context(), "whatever"); err != nil {
		t.Error(err)
	}
}

// TestOfferGPUs: one model, as many as the owner likes, the rest told with the reason.
func TestOfferGPUs(t *testing.T) {
	host := func() *raylink.Host {
		gpu := func(id, name string, memory int64) raylink.Device {
			return raylink.Device{ID: id, Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: name, Memory: memory}
		}
		sick := gpu("GPU-d", "NVIDIA GeForce RTX 4090", 24<<30)
		sick.Fault = "Xid 79: it has fallen off the bus"
		return &raylink.Host{Arch: "amd64", Memory: 64 << 30, Devices: []raylink.Device{
			{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Threads: 8},
			gpu("GPU-a", "NVIDIA GeForce RTX 4090", 24<<30), gpu("GPU-b", "NVIDIA GeForce RTX 4090", 24<<30), gpu("GPU-c", "NVIDIA GeForce RTX 3060", 12<<30), sick,
		}}
	}
	for _, c := range []struct {
		set, runtime string
		price        Price
		count        int64
		model        string
		rate         int64
		usable       string
	}{
		{"", RuntimeDocker, 0, 2, "RTX-4090", 380_000, "GPU-a GPU-b"},
		{"all", RuntimeDocker, 500_000, 2, "RTX-4090", 500_000, "GPU-a GPU-b"},
		{"1", RuntimeDocker, 0, 1, "RTX-4090", 380_000, "GPU-a"},
		{"9", RuntimeDocker, 0, 2, "RTX-4090", 380_000, "GPU-a GPU-b"},
		{"none", RuntimeDocker, 0, 0, "", 0, ""},
		{"0", RuntimeDocker, 0, 0, "", 0, ""},
		{"all", RuntimeProcess, 0, 0, "", 0, ""},
	} {
		h, offer := host(), raylink.Offer{GPUHour: money.Rate(c.price)}
		if err := (&Config{GPUs: c.set, Runtime: c.runtime}).offerGPUs(&offer, h, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		var usable []string
		for _, d := range h.Devices[1:] {
			if d.Fault == "" {
				usable = append(usable, d.ID)
			}
		}
		if offer.Resources.GPU != c.count*raylink.Unit || offer.Accelerator != c.model || int64(offer.GPUHour) != c.rate || strings.Join(usable, " ") != c.usable {
			t.Errorf("--gpus %q on %s offers %+v, usable are %v", c.set, c.runtime, offer, usable)
		}
	}
	for _, bad := range []string{"some", "-1", "1.5", "999"} {
		if _, err := (&Config{GPUs: bad}).gpus(); err == nil {
			t.Errorf("--gpus %s is taken", bad)
		}
	}
}

// TestOfferNamesTheProcessor: clusters and Ray know a machine without a GPU by the catalogue's name of its processor, an Apple's by its accelerator, too; with a GPU the
// accelerator is that one's. Neither is the owner's to say, and an emulated processor has no name.
func TestOfferNamesTheProcessor(t *testing.T) {
	gpu := raylink.Device{ID: "GPU-a", Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: "NVIDIA GeForce RTX 4090", Memory: 24 << 30}
	for _, c := range []struct {
		name                   string
		emulated               bool
		gpus                   []raylink.Device
		processor, accelerator string
	}{
		{"Apple M2 Pro", false, nil, "M2-Pro", "M2-Pro"},
		{"Apple M2 Pro", true, nil, "", ""},
		{"AMD Ryzen 9 7950X 16-Core Processor", false, nil, "Ryzen-9-7000", ""},
		{"AMD Ryzen 9 7950X 16-Core Processor", false, []raylink.Device{gpu}, "Ryzen-9-7000", "RTX-4090"},
		{"a processor that nobody makes", false, []raylink.Device{gpu}, "", "RTX-4090"},
	} {
		h := &raylink.Host{Arch: "amd64", Memory: 64 << 30, Devices: append([]raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: c.name, Threads: 8}}, c.gpus...)}
		offer := raylink.Offer{}
		if c.emulated {
			offer.Labels = map[string]string{raylink.LabelEmulated: "true"}
		}
		if err := (&Config{}).offerGPUs(&offer, h, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if offer.Labels[raylink.LabelProcessor] != c.processor || offer.Accelerator != c.accelerator {
			t.Errorf("%s, emulated %v: it offers %+v", c.name, c.emulated, offer)
		}
	}
	if _, err := (&Config{Labels: []string{raylink.LabelProcessor + "=M4-Ultra"}}).offer(device.Machine{Arch: "amd64", Cores: 1, Memory: 1 << 30}); err == nil {
		t.Error("an owner says what his processor is")
	}
}

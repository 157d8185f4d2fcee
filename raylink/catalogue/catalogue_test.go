package catalogue

import (
	"fmt"
	"strings"
	"testing"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// Names as drivers tell them, with the memory that they tell in MiB (0: a processor), and what they must be taken for.
var known = []struct {
	name   string
	memory int64
	want   string
}{
	{"NVIDIA GeForce RTX 4090", 24564, "RTX-4090"}, // Ray takes it for G
	{"NVIDIA GeForce RTX 4090 D", 24564, "RTX-4090-D"},
	{"NVIDIA GeForce RTX 4090 Laptop GPU", 16376, "RTX-4090-Laptop"},
	{"GeForce RTX 3080", 10240, "RTX-3080"},
	{"NVIDIA GeForce RTX 3080", 12288, "RTX-3080-12G"},
	{"NVIDIA GeForce RTX 3080 Ti", 12288, "RTX-3080-Ti"},
	{"NVIDIA GeForce RTX 4070 Ti SUPER", 16376, "RTX-4070-Ti-SUPER"},
	{"NVIDIA GeForce RTX 2070 with Max-Q Design", 8192, ""},
	{"NVIDIA RTX A6000", 49140, "RTX-A6000"}, // Ray takes it for RTX
	{"Quadro RTX 6000", 24576, "Quadro-RTX-6000"},
	{"NVIDIA RTX 6000 Ada Generation", 49140, "RTX-6000-Ada"},
	{"NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, "RTX-PRO-6000"},
	{"NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 97887, "RTX-PRO-6000"},
	{"Tesla T4", 15360, "T4"}, {"Tesla V100-SXM2-16GB", 16160, "V100-16G"}, {"Tesla V100-SXM2-32GB", 32510, "V100-32G"},
	{"NVIDIA A100-SXM4-40GB", 40960, "A100-40G"}, {"NVIDIA A100 80GB PCIe", 81920, "A100-80G"}, {"NVIDIA A100-SXM4-40GB", 4096, "A100-40G"},
	{"NVIDIA A10G", 23028, "A10G"}, {"NVIDIA A10", 23028, "A10"}, {"NVIDIA L4", 23034, "L4"}, {"NVIDIA L40S", 46068, "L40S"},
	{"NVIDIA H100 80GB HBM3", 81559, "H100"}, {"NVIDIA H100 NVL", 95830, "H100-94G"}, {"NVIDIA H200", 143771, "H200"}, {"NVIDIA GH200 480GB", 97871, "GH200"},
	{"NVIDIA B200", 183359, "B200"},
	{"GRID A100-40C", 40960, ""}, {"NVIDIA A10-4Q", 4096, ""}, {"GRID T4-16Q", 16384, ""}, // parts of a GPU
	{"NVIDIA A100-1-5CME", 5120, ""}, {"NVIDIA A10-2B4", 2048, ""}, {"NVIDIA RTX Pro 6000 Blackwell DC-1-24CGFX", 24576, ""}, {"NVIDIA H100-1-10CNOME", 10240, ""},
	{"Tesla P100-PCIE-16GB", 16280, "P100"}, {"Tesla P40", 22919, "P40"}, {"NVIDIA T1000 8GB", 8192, ""}, {"GRID K520", 4096, ""}, {"AMD Radeon PRO W6800X", 32768, ""},
	{"AMD Instinct MI300X", 196592, "MI300X"}, {"AMD Radeon RX 7900 XTX", 24560, "RX-7900-XTX"}, {"Radeon RX 7900 XT", 20464, "RX-7900-XT"},
	{"NVIDIA GeForce RTX 9999", 24564, ""}, {"llvmpipe", 1024, ""}, {"", 1024, ""},

	{"Apple M1", 0, "M1"}, {"Apple M2 Pro", 0, "M2-Pro"}, {"Apple M3 Max", 0, "M3-Max"}, {"Apple M1 Ultra", 0, "M1-Ultra"}, {"Apple M4", 0, "M4"}, {"Apple silicon", 0, "Apple-M"},
	{"AMD Ryzen 9 7950X 16-Core Processor", 0, "Ryzen-9-7000"}, {"AMD Ryzen 9 7950X3D 16-Core Processor", 0, "Ryzen-9-7000"}, {"AMD Ryzen 7 PRO 2700 Eight-Core Processor", 0, "Ryzen-7-2000"},
	{"AMD Ryzen 9 5900HX with Radeon Graphics", 0, "Ryzen-9-5000"}, {"AMD Ryzen Threadripper 3970X 32-Core Processor", 0, "Ryzen-Threadripper"},
	{"AMD Ryzen Threadripper PRO 7995WX 96-Cores", 0, "Ryzen-Threadripper"}, {"AMD Ryzen AI 9 HX 370 w/ Radeon 890M", 0, "Ryzen-AI"},
	{"AMD EPYC", 0, "EPYC"}, {"AMD EPYC 7763 64-Core Processor", 0, "EPYC-7003"}, {"AMD EPYC 9654 96-Core Processor", 0, "EPYC-9004"}, {"AMD EPYC-Milan Processor", 0, "EPYC-7003"},
	{"Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", 0, "Xeon"}, {"Intel(R) Core(TM) i7-10700K CPU @ 3.80GHz", 0, "Core-i7"}, {"13th Gen Intel(R) Core(TM) i9-13900K", 0, "Core-i9"},
	{"Intel(R) Core(TM) Ultra 7 155H", 0, "Core-Ultra-7"}, {"Neoverse N1", 0, "Neoverse-N1"}, {"Ampere-1a", 0, "Ampere-1"},
	{"Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 0, "Xeon"}, {"Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", 0, "Core-i7"}, {"11th Gen Intel(R) Core(TM) i5-1135G7 @ 2.40GHz", 0, "Core-i5"},
	{"Intel(R) Core(TM) i7 CPU       Q 720  @ 1.60GHz", 0, "Core-i7"}, {"Intel(R) Celeron(R) CPU 5205U @ 1.90GHz", 0, ""}, {"AMD EPYC 7B12", 0, "EPYC-7002"},
	{"Common KVM processor", 0, ""},
}

func device(name string, mib int64) raylink.Device {
	if mib == 0 {
		return raylink.Device{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: name, Threads: 8, Cores: 4}
	}
	return raylink.Device{ID: "GPU-1", Kind: raylink.DeviceGPU, Name: name, Memory: mib << 20}
}

func TestMatch(t *testing.T) {
	for _, k := range known {
		if e, _ := Match(device(k.name, k.memory)); e.Name != k.want {
			t.Errorf("%q with %d MiB is taken for %q, wanted %q", k.name, k.memory, e.Name, k.want)
		}
	}
}

// TestMatchUnknown: nothing long or wild is a model, and nothing panics.
func TestMatchUnknown(t *testing.T) {
	for _, name := range []string{strings.Repeat("RTX 4090 ", 8000), "[[[", "\x00RTX", "ＲＴＸ ４０９０"} {
		if e, ok := Match(device(name, 24564)); ok {
			t.Errorf("%.20q is taken for %s", name, e.Name)
		}
	}
	if _, ok := Match(raylink.Device{Kind: "fpga", Name: "NVIDIA GeForce RTX 4090"}); ok {
		t.Error("an FPGA is taken for a GPU")
	}
}

// TestTable holds the table together: names unique and fit for a label of Ray, figures sane, and every model found again by its own name.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range All() {
		for _, name := range append([]string{e.Name}, e.Aliases...) {
			if name == "" || len(name) > 63 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("%q is no value of a label", name)
			}
		}
		if seen[e.Name] {
			t.Errorf("%s stands twice", e.Name)
		}
		seen[e.Name] = true
		if e.RateMin < 1 && e.Kind == raylink.DeviceGPU || e.RateMax < 4*e.RateMin || e.Watts < 1 || e.Price <= 0 || len(e.patterns) == 0 {
			t.Errorf("%s has figures that cannot be: %+v", e.Name, e)
		}
		if reads := reads[e.Name]; (reads > 0) != (e.Kind == raylink.DeviceGPU) || reads > 25_000 {
			t.Errorf("%s reads its memory %d million times a second", e.Name, reads)
		}
		if gpu := e.Kind == raylink.DeviceGPU; gpu != (e.MemoryMin > 0) || gpu != (e.CoresMax == 0) || !gpu && e.Kind != raylink.DeviceCPU {
			t.Errorf("%s is no GPU and no processor: %+v", e.Name, e)
		}
		found, ok := Find(e.Name)
		if !ok || found.Name != e.Name {
			t.Errorf("%s is not found by its name", e.Name)
		}
	}
	if _, ok := Find("G"); ok {
		t.Error("there is a G")
	}
}

func TestBand(t *testing.T) {
	least, most, ok := Band(device("NVIDIA GeForce RTX 4090", 24564))
	if !ok || least > 21_000_000 || most < 83_000_000 {
		t.Errorf("an RTX 4090 does %d to %d (%v), and 83,000,000 is what dp4a reaches on paper", least, most, ok)
	}
	small, _, _ := Band(raylink.Device{Kind: raylink.DeviceCPU, Name: "AMD EPYC", Threads: 2})
	large, _, _ := Band(raylink.Device{Kind: raylink.DeviceCPU, Name: "AMD EPYC", Threads: 200})
	if small < 1 || large != 100*small {
		t.Errorf("2 threads of an EPYC do %d at least, 200 do %d", small, large)
	}
	if _, _, ok := Band(device("unheard of", 1024)); ok {
		t.Error("what the catalogue does not know has a band")
	}
}

// TestProcessorsFloors: a processor that does a fiftieth of what such a model does is not one; honest ones that are small or busy are above their floor by far. All
// rates are of one thread, in millions, measured or reckoned as models.txt tells.
func TestProcessorsFloors(t *testing.T) {
	for _, c := range []struct {
		name    string
		threads int
		rate    int64
		passes  bool
	}{
		{"AMD Ryzen 9 7950X 16-Core Processor", 32, 35_000 / 50, false}, // or one core of another machine for all 32
		{"AMD Ryzen 9 7950X 16-Core Processor", 32, 35_000 / 8, true},   // busy
		{"AMD Ryzen 5 5500U with Radeon Graphics", 12, 10_000 / 4, true},
		{"AMD Ryzen 7 PRO 2700U w/ Radeon Vega Graphics", 8, 7_000 / 4, true},
		{"AMD Ryzen 7 1700 Eight-Core Processor", 16, 900, false},
		{"Intel(R) Core(TM) Ultra 5 125U", 14, 10_000 / 4, true},
		{"AMD EPYC", 2, 2_260, true}, // the test machine while it tests
		{"AMD EPYC", 2, 400, false},
		{"Apple M1", 8, 1_200, true},                    // plain Go
		{"Intel(R) Core(TM) i7-2600 CPU", 8, 900, true}, // no AVX2
	} {
		least, most, ok := Band(raylink.Device{Kind: raylink.DeviceCPU, Name: c.name, Threads: c.threads})
		if all := c.rate * int64(c.threads); !ok || all > most || (all >= least) != c.passes {
			t.Errorf("%s with %d a thread: %d of %d to %d (%v), and passes is %v", c.name, c.rate, all, least, most, ok, c.passes)
		}
	}
	if least, _, _ := Band(raylink.Device{Kind: raylink.DeviceCPU, Name: "Cortex-A53", Threads: 4}); least > 1 {
		t.Errorf("four small cores, whose plain Go nobody has timed, do %d at least", least)
	}
}

// TestSmallCardsAreNoLargeOnes: what an RTX 3060 reaches by dp4a (28 multiprocessors, 64 lanes of 4 multiply-adds, 1.85 GHz) is below an H100's band; and
// where a card's products may pass for another's, its memory does not, if more than a part of what is claimed is the host's, behind PCIe.
func TestSmallCardsAreNoLargeOnes(t *testing.T) {
	const dp4a = 28 * 64 * 4 * 1850 // millions of multiply-adds in a second
	if least, _, _ := Band(device("NVIDIA H100 80GB HBM3", 81559)); dp4a >= least {
		t.Errorf("an RTX 3060 does %d, and an H100 %d at least", dp4a, least)
	}
	if least, most, _ := Band(device("NVIDIA GeForce RTX 3060", 12288)); dp4a < 2*least || dp4a > most {
		t.Errorf("an RTX 3060 does %d, and its own band is %d to %d", dp4a, least, most)
	}
	for _, c := range []struct {
		claim string
		mib   int64
		own   int64 // GiB that the card has in truth, of those that are filled
		link  int64 // millions of sectors a second over its PCIe, at best
		told  bool
	}{
		{"NVIDIA H100 80GB HBM3", 81559, 11, 600, true},          // an RTX 3060
		{"NVIDIA H100 80GB HBM3", 81559, 22, 600, true},          // an RTX 4090
		{"NVIDIA H100 80GB HBM3", 81559, 29, 1200, true},         // an RTX 5090
		{"NVIDIA A100 80GB PCIe", 81920, 36, 600, true},          // an A100 of 40 GB
		{"NVIDIA H200", 143771, 74, 1200, true},                  // an H100
		{"NVIDIA RTX 6000 Ada Generation", 49140, 22, 600, true}, // an RTX 4090
		{"Tesla V100-SXM2-32GB", 32510, 14, 300, true},           // a V100 of 16 GB
		{"NVIDIA GeForce RTX 4090", 24564, 11, 600, true},        // an RTX 3060
		{"NVIDIA GeForce RTX 4060 Ti", 16380, 7, 300, true},      // one of 8 GB, with 8 lanes of PCIe
		{"NVIDIA L4", 23034, 11, 600, false},                     // an RTX 3060: what is not seen
	} {
		d := device(c.claim, c.mib)
		task := challenge.TaskFor(d.Kind, d.Memory, 0, Reads(d))
		behind := task.Memory - c.own<<30
		took := int64(task.Steps) / 1000 * behind / task.Memory * 1000 / c.link / 1000 // by what comes over the link alone
		if most := challenge.WalkMost(task, Reads(d)); (took > most) != c.told || most > 1600 {
			t.Errorf("%s with %d GiB of its own: the walk takes %d ms, and may take %d", c.claim, c.own, took, most)
		}
	}
	if Reads(device("unheard of", 1024)) != 0 || Reads(device("AMD EPYC", 0)) != 0 {
		t.Error("what is no GPU that the catalogue knows has a bound")
	}
}

func host(devices ...raylink.Device) raylink.Host {
	return raylink.Host{Arch: "amd64", Memory: 64 << 30, Devices: append([]raylink.Device{device("AMD Ryzen 9 7950X 16-Core Processor", 0)}, devices...)}
}

func gpu(id, name string, mib int64, change ...func(*raylink.Device)) raylink.Device {
	d := raylink.Device{ID: id, Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: name, Memory: mib << 20, Bus: "bus-" + id}
	for _, c := range change {
		c(&d)
	}
	return d
}

func TestCheckHonest(t *testing.T) {
	mig := func(d *raylink.Device) { d.MIG, d.Bus = true, "0000:01:00.0" }
	for name, h := range map[string]raylink.Host{
		"plain":  host(),
		"two":    host(gpu("GPU-1", "NVIDIA GeForce RTX 4090", 24564), gpu("GPU-2", "NVIDIA GeForce RTX 3090", 24576)),
		"new":    host(gpu("GPU-1", "NVIDIA GeForce RTX 9999", 65536)),
		"slices": host(gpu("MIG-1", "NVIDIA A100-SXM4-40GB", 4864, mig), gpu("MIG-2", "NVIDIA A100-SXM4-40GB", 4864, mig)),
		"broken": host(gpu("GPU-1", "NVIDIA GeForce RTX 4090", 0, func(d *raylink.Device) { d.Fault = "it does not answer" })),
		"mac": {Arch: "arm64", Memory: 8 << 30, Devices: []raylink.Device{
			{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Vendor: "apple", Name: "Apple M2 Pro", Model: "M2-Pro", Cores: 10, Threads: 10}}},
	} {
		if found := Check(h); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// TestCheckLies is what B5 of the bad inputs lists, and its neighbours. Each must be told, in bounded time and length.
func TestCheckLies(t *testing.T) {
	million := host()
	for i := range 1_000_000 {
		million.Devices = append(million.Devices, gpu(fmt.Sprint("GPU-", i), "NVIDIA H100 80GB HBM3", 81559))
	}
	card := "NVIDIA GeForce RTX 4090"
	mac := host()
	mac.Devices[0].Name, mac.Devices[0].Vendor = "Apple M2", "apple"
	many := host()
	many.Devices[0].Cores, many.Devices[0].Threads = 64, 128
	vram := func(v int64) raylink.Host {
		return host(gpu("GPU-1", card, 1, func(d *raylink.Device) { d.Memory = v }))
	}
	for name, lie := range map[string]struct {
		host raylink.Host
		want string
	}{
		"a million GPUs":     {million, "1000001 devices"},
		"no memory":          {vram(0), "0 bytes of memory of its own"},
		"2^64 as int64":      {vram(-1), "-1 bytes"},
		"2^63-1":             {vram(1<<63 - 1), "9223372036854775807 bytes"},
		"an 80 GiB 4090":     {host(gpu("GPU-1", card, 81920)), "81920 MiB of memory, where RTX-4090 has"},
		"an 8 GiB H100":      {host(gpu("GPU-1", "NVIDIA H100 PCIe", 8192)), "H100"},
		"the same UUID":      {host(gpu("GPU-1", card, 24564), gpu("GPU-1", card, 24564)), "twice"},
		"the same slot":      {host(gpu("GPU-1", card, 24564), gpu("GPU-2", card, 24564, func(d *raylink.Device) { d.Bus = "bus-GPU-1" })), "two GPUs at"},
		"whole and slices":   {host(gpu("GPU-1", "NVIDIA A100-SXM4-40GB", 40960), gpu("MIG-1", "NVIDIA A100-SXM4-40GB", 4864, func(d *raylink.Device) { d.MIG, d.Bus = true, "bus-GPU-1" })), "whole and in slices"},
		"a sliced 4090":      {host(gpu("GPU-1", card, 24564, func(d *raylink.Device) { d.MIG = true })), "cannot be cut"},
		"a 4090 by AMD":      {host(gpu("GPU-1", card, 24564, func(d *raylink.Device) { d.Vendor = "amd" })), "made by nvidia"},
		"a 3060 as H100":     {host(gpu("GPU-1", "NVIDIA GeForce RTX 3060", 12288, func(d *raylink.Device) { d.Model = "H100" })), "stands for RTX-3060"},
		"nothing as H100":    {host(gpu("GPU-1", "a card", 81559, func(d *raylink.Device) { d.Model = "H100" })), "does not stand for"},
		"64 KiB of name":     {host(gpu("GPU-1", strings.Repeat("x", 64<<10), 24564)), "65536 bytes"},
		"64 KiB of id":       {host(gpu(strings.Repeat("x", 64<<10), card, 24564)), "65536 bytes"},
		"turned writing":     {host(gpu("GPU-1", "NVIDIA \u202e0904", 24564)), "not plain text"},
		"a line in a name":   {host(gpu("GPU-1", "RTX\r\n4090", 24564)), "not plain text"},
		"no id":              {host(gpu("", card, 24564)), "empty"},
		"another kind":       {host(gpu("GPU-1", card, 24564, func(d *raylink.Device) { d.Kind = "tpu" })), "kind tpu"},
		"two processors":     {host(device("AMD EPYC", 0)), "does not stand first"},
		"64 cores of a 7950": {many, "at most 16"},
		"an M2 of amd64":     {mac, "M2 is arm64"},
		"no device":          {raylink.Host{Arch: "amd64", Memory: 1 << 30}, "no device"},
		"no architecture":    {raylink.Host{Memory: 1 << 30, Devices: host().Devices}, "architecture"},
		"2^60 of memory":     {raylink.Host{Arch: "amd64", Memory: 1 << 60, Devices: host().Devices}, "bytes of memory"},
	} {
		found := Check(lie.host)
		told := fmt.Sprint(found)
		if !strings.Contains(told, lie.want) {
			t.Errorf("%s: %.300q does not tell of %q", name, told, lie.want)
		}
		if len(found) > maxProblems || len(told) > 8<<10 {
			t.Errorf("%s: %d problems in %d bytes", name, len(found), len(told))
		}
	}
}

func TestOffer(t *testing.T) {
	h := host(gpu("GPU-1", "NVIDIA GeForce RTX 3090", 24576), gpu("GPU-2", "NVIDIA GeForce RTX 4090", 24564), gpu("GPU-3", "NVIDIA GeForce RTX 4090", 24564),
		gpu("GPU-4", "NVIDIA GeForce RTX 4090", 24564, func(d *raylink.Device) { d.Fault = "Xid 79: it has fallen off the bus" }),
		gpu("GPU-5", "NVIDIA GeForce RTX 9999", 24564))
	offer, gpus, left := Offer(h, Bounds{GPUHour: 380_000, Labels: map[string]string{"zone": "a"}})
	if offer.Accelerator != "RTX-4090" || offer.Resources.GPU != 20_000 || fmt.Sprint(gpus) != "[GPU-2 GPU-3]" || len(left) != 3 {
		t.Errorf("it offers %+v, the GPUs %v, and leaves %v", offer, gpus, left)
	}
	if offer.Resources.CPU != 80_000 || offer.Resources.Memory != 64<<30/10*9 || offer.Labels[LabelProcessor] != "Ryzen-9-7000" || offer.Labels["zone"] != "a" || offer.GPUHour != 380_000 {
		t.Errorf("it offers %+v", offer)
	}
	if offer, gpus, left := Offer(h, Bounds{GPUs: 1, CPU: 10_000, Memory: 1 << 30}); offer.Resources.GPU != 10_000 || len(gpus) != 1 || len(left) != 4 || offer.Resources.CPU != 10_000 || offer.Resources.Memory != 1<<30 {
		t.Errorf("bounded, it offers %+v, %v, %v", offer, gpus, left)
	}
	if offer, gpus, _ := Offer(h, Bounds{GPUs: -1}); offer.Resources.GPU != 0 || offer.Accelerator != "" || len(gpus) != 0 {
		t.Errorf("without GPUs it offers %+v, %v", offer, gpus)
	}
	mac := raylink.Host{Arch: "arm64", Memory: 8 << 30, Devices: []raylink.Device{{ID: "cpu", Kind: raylink.DeviceCPU, Name: "Apple M2 Pro", Threads: 10}}}
	if offer, _, _ := Offer(mac, Bounds{}); offer.Accelerator != "M2-Pro" || offer.Resources.CPU != 100_000 {
		t.Errorf("a Mac offers %+v", offer)
	}
}

func TestRayWords(t *testing.T) {
	e, _ := Find("A100-80G")
	if r := e.Resources(); len(r) != 2 || r["accelerator_type:A100"] != raylink.Unit || r["accelerator_type:A100-80G"] != raylink.Unit {
		t.Errorf("an A100 has the resources %v", r)
	}
	if l := e.Labels(); l[raylink.LabelAccelerator] != "A100-80G" {
		t.Errorf("an A100 has the labels %v", l)
	}
}

func FuzzMatch(f *testing.F) {
	for _, k := range known {
		f.Add(k.name, k.memory)
	}
	f.Fuzz(func(t *testing.T, name string, memory int64) {
		d := raylink.Device{ID: "x", Kind: raylink.DeviceGPU, Name: name, Memory: memory}
		e, ok := Match(d)
		if _, _, banded := Band(d); ok != banded || ok != (e.Name != "") {
			t.Errorf("%q matches %v and has a band %v", name, ok, banded)
		}
		Check(raylink.Host{Devices: []raylink.Device{d}})
	})
}

func BenchmarkCheck(b *testing.B) {
	h := host()
	for i := range 8 {
		h.Devices = append(h.Devices, gpu(fmt.Sprint("GPU-", i), "NVIDIA H100 80GB HBM3", 81559))
	}
	for b.Loop() {
		Check(h)
	}
}

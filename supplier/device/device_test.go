package device

import (
	"os"
	"testing"
)

func TestGolden(t *testing.T) {
	for file, want := range map[string]Machine{
		"epyc-2-cores": {Cores: 2, Model: "AMD EPYC", Memory: 24684084 << 10},
		"arm64":        {Cores: 2, Model: "ARM implementer 0x41 part 0xd0c"},
	} {
		cpu, err := os.ReadFile("testdata/" + file + ".cpuinfo")
		if err != nil {
			t.Fatal(err)
		}
		if model, cores := ParseCPUInfo(string(cpu)); model != want.Model || cores != want.Cores {
			t.Errorf("%s reads as %d of %q, wanted %d of %q", file, cores, model, want.Cores, want.Model)
		}
		if want.Memory == 0 {
			continue
		}
		memory, err := os.ReadFile("testdata/" + file + ".meminfo")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseMemInfo(string(memory)); err != nil || got != want.Memory {
			t.Errorf("%s has %d bytes (%v), wanted %d", file, got, err, want.Memory)
		}
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
	if err != nil || m.Cores < 1 || m.Memory < 1<<20 || m.Arch == "" {
		t.Errorf("this machine is %+v (%v)", m, err)
	}
}

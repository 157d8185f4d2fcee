package raylink

import "testing"

// TestVersions compares what kernels, engines and distributions call themselves; each line goes from older to newer.
func TestVersions(t *testing.T) {
	for _, line := range [][]string{
		{"4.19", "5.10.0-33-amd64", "6.1", "6.1.0-28-amd64 #1 SMP", "6.1.1", "6.8.0-49-generic", "6.10", "v10"},
		{"runc version 1.1.9", "1.1.12-0ubuntu1", "1.2.0-rc.3", "v1.2.0", "1.2.1"},
		{"24.0.7", "5:27.3.1-1~debian.12~bookworm", "Docker version 28.0.0-beta.1, build abc", "28.0.0"},
		{"release-20230102.0", "release-20240807.0"},
		{"535.183.01", "550.54.14", "550.120", "560"},
		{"1.17.0~rc1-1", "1.17.0", "1.17.0.1"},
	} {
		for i := range line {
			for j := range line {
				a, ok := ParseVersion(line[i])
				b, fine := ParseVersion(line[j])
				if !ok || !fine {
					t.Fatalf("%q or %q is not read", line[i], line[j])
				}
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				same := line[i] == "6.1" || line[i] == "6.1.0-28-amd64 #1 SMP"
				if same && (line[j] == "6.1" || line[j] == "6.1.0-28-amd64 #1 SMP") {
					want = 0
				}
				if got := a.Compare(b); got != want {
					t.Errorf("%q and %q: %d, want %d", line[i], line[j], got, want)
				}
			}
		}
	}
	for _, bad := range []string{"", "unknown", "v", "-", "999999999999999999999999", "1:", "n/a"} {
		if v, ok := ParseVersion(bad); ok {
			t.Errorf("%q is read as %v", bad, v)
		}
	}
	for _, odd := range []string{"1.", "1..2", "1.x", ".5", "5:1", "1-", "1.0rc", "12345", "1:2:3"} {
		if _, ok := ParseVersion(odd); !ok {
			t.Errorf("%q is not read", odd)
		}
	}
}

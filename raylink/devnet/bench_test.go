package devnet

import (
	"os"
	"testing"

	"raylink/raylink"
	"raylink/raylink/manifest"
)

// TestTheBenchmarkRunsThisMachinesImage: on an arm64 machine both sides of the comparison are arm64.
func TestTheBenchmarkRunsThisMachinesImage(t *testing.T) {
	text, err := os.ReadFile("../../examples/first-job/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		want, _, err := manifest.Image(spec.Image, arch)
		if err != nil {
			t.Fatal(err)
		}
		image, nodes, err := rawNodes(spec, arch)
		if err != nil || image != want || len(nodes) != 3 {
			t.Fatalf("%s: %d nodes of %s, %v; want 3 of %s", arch, len(nodes), image, err, want)
		}
		for i, n := range nodes {
			if n.Arch != arch || (n.Role == raylink.NodeHead) != (i == 0) || n.Head != nodes[0].Address || i > 0 && n.Address == nodes[i-1].Address {
				t.Errorf("%s: node %d is %+v", arch, i, n)
			}
		}
	}
	if _, _, err := rawNodes(spec, "riscv64"); err == nil {
		t.Error("there is no image for riscv64")
	}
}

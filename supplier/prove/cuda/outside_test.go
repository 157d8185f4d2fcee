package cuda

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"raylink/raylink/challenge"
)

// NVIDIA's own assembler takes the kernels, for the first GPUs that have what they need and for later ones.
func TestTheAssemblerTakesTheKernels(t *testing.T) {
	ptxas := os.Getenv("RAYLINK_PTXAS")
	if ptxas == "" {
		t.Skip("set RAYLINK_PTXAS to NVIDIA's assembler, which comes with the CUDA toolkit")
	}
	text := filepath.Join(t.TempDir(), "kernels.ptx")
	if err := os.WriteFile(text, []byte(source()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"sm_61", "sm_70", "sm_80", "sm_90", "sm_100", "sm_120"} {
		output, err := exec.Command(ptxas, "-v", "-arch", arch, "-o", filepath.Join(t.TempDir(), "kernels.cubin"), text).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", arch, err, output)
			continue
		}
		t.Logf("%s:\n%s", arch, output)
	}
}

// A proof and a wipe on the GPU that RAYLINK_REAL_GPU names.
func TestRealGPU(t *testing.T) {
	uuid := os.Getenv("RAYLINK_REAL_GPU")
	if uuid == "" {
		t.Skip("set RAYLINK_REAL_GPU to the UUID of a GPU, from `nvidia-smi -L`")
	}
	p, err := GPU(uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	task := challenge.Task{Version: 1, Size: 4096, Tile: 128, Links: 3, Openings: 32, Memory: 1 << 30, Steps: 1 << 20, Segments: 1 << 12, Checks: 16}
	tr := wholeProof(t, p, uuid, task)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := challenge.Verify(tr, challenge.Plain{}); err != nil {
		t.Fatal(err)
	}
	done, err := Wipe(t.Context(), uuid)
	if err != nil || done.Zeroed == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	t.Logf("%d multiply-adds in %s; %+v", int64(task.Links)*int64(task.Size)*int64(task.Size)*int64(task.Size), tr.Committed.Sub(tr.Begun), done)
}

//go:build cgo && linux

package cuda

import (
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// standIn compiles a libcuda.so.1 that has no GPU behind it.
func standIn(t *testing.T, defines ...string) string {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler")
	}
	path := filepath.Join(t.TempDir(), "libcuda.so.1")
	args := append([]string{"-shared", "-fPIC", "-w", "-o", path, "testdata/standin.c"}, defines...)
	if output, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return path
}

// The library is loaded, the right device is found in it, and what is handed over comes through as it was.
func TestTheDriverIsLoaded(t *testing.T) {
	g, err := openBy(standIn(t), "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	at, err := g.alloc(64)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.launch("expand", 3, 2, uint64(at), 7, 9); err != nil {
		t.Fatal(err)
	}
	raw, said := make([]byte, 64), make([]uint64, 8)
	if err := g.read(raw, at); err != nil {
		t.Fatal(err)
	}
	for i := range said {
		said[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	if want := []uint64{7, 9, 3, 2, 1, threads, 1, 1}; !slices.Equal(said, want) {
		t.Errorf("the kernel was started with %d, want %d", said, want)
	}
	if err := g.launch("no such kernel", 1, 1, uint64(at), 0, 0); err == nil {
		t.Error("a kernel that is not in the text was started")
	}
	if err := g.write(at, []byte("a tenant's secret")); err != nil {
		t.Fatal(err)
	}
	if err := g.zero(at, 64); err != nil {
		t.Fatal(err)
	}
	if err := g.read(raw, at); err != nil || strings.Trim(string(raw), "\x00") != "" {
		t.Errorf("after it was zeroed: %q, %v", raw, err)
	}
	if _, err := g.alloc(1 << 40); !isFull(err) {
		t.Errorf("more memory than there is: %v", err)
	}
	for _, err := range []error{g.release(at), g.wait(), g.close()} {
		if err != nil {
			t.Error(err)
		}
	}
}

// All that the driver calls free is overwritten, and given back.
func TestWipeThroughTheDriver(t *testing.T) {
	path := standIn(t)
	for range 2 {
		done, err := wipe(t.Context(), someGPU, func(uuid string) (gpu, error) { return openBy(path, uuid) })
		if err != nil || done != (Wiped{Zeroed: 16 << 20, Total: 16 << 20}) {
			t.Fatalf("%+v, %v", done, err)
		}
	}
}

// A machine whose driver is missing, old, broken or for other GPUs says so, and what to do.
func TestDriversThatWillNotDo(t *testing.T) {
	compile := func(path string) error {
		g, err := openBy(path, someGPU)
		if err != nil {
			return err
		}
		defer g.close()
		return g.launch("expand", 1, 1, 0, 0, 0)
	}
	for _, c := range []struct{ path, words string }{
		{filepath.Join(t.TempDir(), "libcuda.so.1"), "no NVIDIA driver here"},
		{standIn(t, "-DNO_LAUNCH"), "too old: "},
		{standIn(t, "-DINIT=100"), "no such GPU (CUDA 100)"},
		{standIn(t, "-DINIT=803"), "of two versions (CUDA 803)"},
		{standIn(t, "-DINIT=77"), "the driver failed (CUDA 77)"},
		{standIn(t, "-DMINOR=0"), "proofs need 6.1"},
		{standIn(t, "-DREFUSES"), "line 7: I do not take this"},
	} {
		if err := compile(c.path); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("want %q, got %v", c.words, err)
		}
	}
	if _, err := openBy(standIn(t), "GPU-ffffffff-0405-0607-0809-0a0b0c0d0e0f"); err == nil || !strings.Contains(err.Error(), "2 others are there") {
		t.Errorf("a GPU that is not here: %v", err)
	}
}

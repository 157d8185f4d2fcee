package docker_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
)

// TestItsLogAndVolumesAreOverwritten holds both open while a container that runs is stopped, and then finds nothing in them of what its tenant wrote.
func TestItsLogAndVolumesAreOverwritten(t *testing.T) {
	real(t)
	const text = "what a tenant wrote and nobody else is to read"
	image := "raylink/test-volume:" + strings.ToLower(t.Name())
	build := exec.CommandContext(t.Context(), "docker", "build", "-q", "--network", "none", "-t", image, "-")
	build.Stdin = strings.NewReader("FROM " + workerImage + "\nUSER root\nRUN mkdir -m 777 /data\nVOLUME /data\n")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("making an image with a volume: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "image", "rm", image).CombinedOutput(); err != nil {
			t.Errorf("removing the image: %v: %s", err, out)
		}
	})
	r := open(t, "m-shreddedaa")
	spec := runtime.Spec{Lease: "l-shreddedaa", Machine: "m-shreddedaa", Image: image, Dir: prepare(t, "l-shreddedaa"), Memory: 256 << 20}
	if _, err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("docker", "rm", "-fv", docker.Name(spec.Lease)).Run() })
	release(t, spec.Dir, "echo '"+text+"'; echo '"+text+"' > /data/file; touch /raylink/session/done; exec sleep 1000\n")
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(spec.Dir, "session", "done")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the tenant has not written")
		}
	}
	paths := writtenBy(t, spec.Lease)
	var held []*os.File
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if before, err := io.ReadAll(file); err != nil || !bytes.Contains(before, []byte(text)) {
			t.Fatalf("%s holds %q (%v)", path, before, err)
		}
		held = append(held, file)
	}
	if len(held) != 2 {
		t.Fatalf("what is held is %v", paths)
	}
	if err := r.Stop(t.Context(), spec.Lease); err != nil {
		t.Error(err)
	}
	for _, file := range held {
		if after, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<20)); err != nil || len(bytes.Trim(after, "\x00")) > 0 {
			t.Errorf("%s, unlinked, still holds %q (%v)", file.Name(), after, err)
		}
		if _, err := os.Stat(file.Name()); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", file.Name(), err)
		}
	}
}

// writtenBy are a container's log and the file in its volume.
func writtenBy(t *testing.T, lease raylink.LeaseID) []string {
	t.Helper()
	var seen []struct {
		LogPath string
		Mounts  []struct{ Destination, Source string }
	}
	out, err := exec.CommandContext(t.Context(), "docker", "inspect", docker.Name(lease)).Output()
	if err == nil {
		err = json.Unmarshal(out, &seen)
	}
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{seen[0].LogPath}
	for _, m := range seen[0].Mounts {
		if m.Destination == "/data" {
			paths = append(paths, filepath.Join(m.Source, "file"))
		}
	}
	return paths
}

// TestWhatIsTheOwnersStays: an owner's container that has a lease's labels, as an image has them that he committed of one, stays with all that it has. So does his
// directory in a volume of the driver local, and a lease's volume that he gave to a container of his own as well.
func TestWhatIsTheOwnersStays(t *testing.T) {
	real(t)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("the owner's"), 0o644); err != nil {
		t.Fatal(err)
	}
	const machine, lease, volume = "m-ownersaaaa", "l-ownersaaaa", "raylink-test-owners"
	run("volume", "create", "--driver", "local", "-o", "type=none", "-o", "o=bind", "-o", "device="+filepath.Dir(file), volume)
	t.Cleanup(func() {
		exec.Command("docker", "rm", "-fv", "raylink-test-debug", "raylink-test-reader", docker.Name(lease)).Run()
		exec.Command("docker", "volume", "rm", volume).Run()
	})
	sleeper := func(args ...string) {
		run(append(append([]string{"run", "-d", "--network", "none", "--entrypoint", "sleep"}, args...), workerImage, "1000")...)
	}
	labels := []string{"--label", docker.LabelMachine + "=" + machine, "--label", docker.LabelLease + "=" + lease}
	sleeper(append(labels, "--name", "raylink-test-debug", "-v", volume+":/data")...)
	sleeper(append(labels, "--name", docker.Name(lease), "-v", volume+":/data", "-v", "/scratch")...)
	sleeper("--name", "raylink-test-reader", "-v", volume+":/data", "--volumes-from", docker.Name(lease))
	beside := func(script string) string { // a third one, which goes at once: in a chroot an engine cannot enter its containers
		return run("run", "--rm", "--network", "none", "-u", "0", "--volumes-from", "raylink-test-reader", "--entrypoint", "sh", workerImage, "-c", script)
	}
	beside("echo mine > /scratch/file")
	err := open(t, machine).Stop(t.Context(), lease)
	if err == nil || !strings.Contains(err.Error(), "another container") {
		t.Errorf("stopping says %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "the owner's" {
		t.Errorf("his file is %q (%v)", text, err)
	}
	if said := beside("cat /scratch/file"); said != "mine" {
		t.Errorf("what he wrote is %q", said)
	}
	if said := run("ps", "--format", "{{.Names}}", "--filter", "name=raylink-test-debug"); said != "raylink-test-debug" {
		t.Errorf("of his container there is %q", said)
	}
}

// TestAnImageThatSaysItIsADataPlane would have its container removed as one, without a wipe.
func TestAnImageThatSaysItIsADataPlane(t *testing.T) {
	real(t)
	image := "raylink/test-label:" + strings.ToLower(t.Name())
	build := exec.CommandContext(t.Context(), "docker", "build", "-q", "--network", "none", "-t", image, "-")
	build.Stdin = strings.NewReader("FROM " + workerImage + "\nLABEL raylink.plane=l-planelabel\n")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("making an image with a label: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "image", "rm", image).CombinedOutput(); err != nil {
			t.Errorf("removing the image: %v: %s", err, out)
		}
	})
	r := open(t, "m-planelabel")
	spec := runtime.Spec{Lease: "l-planelabel", Machine: "m-planelabel", Image: image, Dir: prepare(t, "l-planelabel"), Memory: 256 << 20}
	t.Cleanup(func() { exec.Command("docker", "rm", "-fv", docker.Name(spec.Lease)).Run() })
	if _, err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	found, err := exec.CommandContext(t.Context(), "docker", "ps", "-aq", "--filter", "label=raylink.plane=l-planelabel").CombinedOutput()
	if err != nil || len(found) > 0 {
		t.Errorf("as data planes are found %q (%v)", found, err)
	}
	if err := r.Stop(t.Context(), spec.Lease); err != nil {
		t.Error(err)
	}
}

package docker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"raylink/raylink"
)

// registry speaks as much of the OCI distribution API as an engine needs to pull one image (spec.md of opencontainers/distribution-spec, "Pull"): the
// version check, a manifest by tag and by digest, blobs with ranges. It gives blobs slowly, and can break off in the middle.
type registry struct {
	t      *testing.T
	server *httptest.Server
	blobs  map[string][]byte

	mu       sync.Mutex
	manifest []byte
	cuts     map[string]int // of a blob: how many more answers break off half way
	refuse   map[string]int // of a blob: how many more answers are "not found", each once another blob was given whole
	given    chan struct{}  // closed when a layer was given whole
	asked    []string       // blob and the byte that it was asked from
}

const (
	layerBytes = 6 << 20
	chunkBytes = 512 << 10
	chunkEvery = 40 * time.Millisecond // 12 MB/s
)

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{t: t, blobs: map[string][]byte{}, cuts: map[string]int{}, refuse: map[string]int{}, given: make(chan struct{})}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	var layers []map[string]any
	var diffs []string
	for i := range 2 {
		text := make([]byte, layerBytes)
		rand.Read(text)
		var plain, packed bytes.Buffer
		archive := tar.NewWriter(&plain)
		must(t, archive.WriteHeader(&tar.Header{Name: fmt.Sprintf("part%d", i), Mode: 0o644, Size: layerBytes}))
		_, err := archive.Write(text)
		must(t, err)
		must(t, archive.Close())
		zip := gzip.NewWriter(&packed)
		_, err = zip.Write(plain.Bytes())
		must(t, err)
		must(t, zip.Close())
		diffs = append(diffs, sumOf(plain.Bytes()))
		layers = append(layers, map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": packed.Len(), "digest": r.keep(packed.Bytes())})
	}
	config, err := json.Marshal(map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Cmd": []string{"/nothing"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
	must(t, err)
	r.manifest, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": layers,
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": r.keep(config)}})
	must(t, err)
	t.Cleanup(func() {
		// What the pull brought goes again; that it is not there, where a pull failed, is no error.
		_ = exec.Command("docker", "image", "rm", "-f", r.name()+"@"+sumOf(r.manifest)).Run()
		_ = exec.Command("docker", "image", "rm", "-f", r.name()+":latest").Run()
	})
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *registry) keep(text []byte) string {
	r.blobs[sumOf(text)] = text
	return sumOf(text)
}

// name is the image's repository, as an engine on this machine reaches it: what is on the loopback may speak plain HTTP.
func (r *registry) name() string {
	return r.server.Listener.Addr().(*net.TCPAddr).AddrPort().String() + "/raylink/pulled"
}

// layer is the digest of the nth layer.
func (r *registry) layer(n int) string {
	var m struct {
		Layers []struct{ Digest string }
	}
	must(r.t, json.Unmarshal(r.manifest, &m))
	return m.Layers[n].Digest
}

func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, what, _ := strings.Cut(q.URL.Path, "/v2/raylink/pulled/")
	kind, ref, _ := strings.Cut(what, "/")
	switch kind {
	case "":
		w.WriteHeader(http.StatusOK) // the version check
	case "manifests":
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		w.Header().Set("Docker-Content-Digest", sumOf(r.manifest))
		if ref != "latest" && ref != sumOf(r.manifest) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write(r.manifest)
	case "blobs":
		r.blob(w, q, ref)
	}
}

func (r *registry) blob(w http.ResponseWriter, q *http.Request, ref string) {
	text := r.blobs[ref]
	from := 0
	if given, ok := strings.CutPrefix(q.Header.Get("Range"), "bytes="); ok {
		given, _, _ = strings.Cut(given, "-")
		from, _ = strconv.Atoi(given)
	}
	r.mu.Lock()
	r.asked = append(r.asked, fmt.Sprintf("%s from %d", ref, from))
	cut, refuse := r.cuts[ref] > 0, r.refuse[ref] > 0
	if cut {
		r.cuts[ref]--
	}
	if refuse {
		r.refuse[ref]--
	}
	r.mu.Unlock()
	if refuse {
		select {
		case <-r.given:
		case <-q.Context().Done():
		}
	}
	if text == nil || refuse || from >= len(text) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)-from))
	w.Header().Set("Accept-Ranges", "bytes")
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(text)-1, len(text)))
		w.WriteHeader(http.StatusPartialContent)
	}
	for at := from; at < len(text); at += chunkBytes {
		if cut && at >= len(text)/2 {
			panic(http.ErrAbortHandler) // the connection is cut without a word
		}
		w.Write(text[at:min(at+chunkBytes, len(text))])
		w.(http.Flusher).Flush()
		<-time.After(chunkEvery)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.given:
	default:
		if len(text) > chunkBytes {
			close(r.given)
		}
	}
}

// from says from which bytes a blob was asked for.
func (r *registry) from(ref string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, one := range r.asked {
		if at, ok := strings.CutPrefix(one, ref+" from "); ok {
			out = append(out, at)
		}
	}
	return out
}

// TestPullFromARegistryThatBreaksOff pulls by digest over a slow line that is cut in the middle of one layer. The engine goes on where it was, what is
// told of it only grows until the end, and the image is exactly the one that was pinned.
func TestPullFromARegistryThatBreaksOff(t *testing.T) {
	real(t)
	r := newRegistry(t)
	r.cuts[r.layer(0)] = 1
	images := open(t, "m-pullpullaa").Images()
	var told [][2]int64
	ref := r.name() + ":some-tag@" + sumOf(r.manifest) // the tag is not even there
	id, err := images.Fetch(t.Context(), ref, func(done, total int64) { told = append(told, [2]int64{done, total}) })
	if err != nil {
		t.Fatal(err)
	}
	if here, err := images.Look(t.Context(), ref); err != nil || here != id {
		t.Errorf("Look gives %q (%v) after Fetch gave %q", here, err, id)
	}
	last := told[max(0, len(told)-1)]
	if len(told) < 5 || last[0] != last[1] || last[1] < 2*layerBytes {
		t.Errorf("told in %d steps, at last %v", len(told), last)
	}
	from := r.from(r.layer(0))
	if len(from) != 2 || from[0] != "0" || from[1] == "0" {
		t.Errorf("the layer that was cut was asked for from %v, wanted from 0 and then from where it broke off", from)
	}
	other := r.name() + "@" + strings.Replace(sumOf(r.manifest), "sha256:", "sha256:0", 1)[:len("sha256:")+64]
	if _, err := images.Look(t.Context(), other); raylink.AsError(err).Code != raylink.CodeNotFound {
		t.Errorf("another digest of the same name: %v", err)
	}
}

// TestAPullThatFailedIsTakenUpAgain has the registry deny a layer until the engine gives the whole pull up: the runtime asks again by itself.
func TestAPullThatFailedIsTakenUpAgain(t *testing.T) {
	real(t)
	r := newRegistry(t)
	r.refuse[r.layer(1)] = 3
	images := open(t, "m-pullpullaa").Images()
	begin := time.Now()
	if _, err := images.Fetch(t.Context(), r.name()+"@"+sumOf(r.manifest), func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	t.Logf("after %s; the first layer was asked for from %v, the second from %v", time.Since(begin).Round(time.Millisecond), r.from(r.layer(0)), r.from(r.layer(1)))
	if len(r.from(r.layer(1))) < 2 {
		t.Error("the layer was never denied")
	}
}

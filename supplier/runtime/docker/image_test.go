package docker

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/client"

	"raylink/raylink"
)

const (
	imageID = "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"
	sum     = "sha256:1545e1d2cf0afe5df99fe5f1d39eef8429a2018c3734dd3bdfcac5a068189e39"
	absent  = "sha256:2545e1d2cf0afe5df99fe5f1d39eef8429a2018c3734dd3bdfcac5a068189e39"
)

// engine answers as an engine does about images, from tables, without a socket: so it may stand in a bubble where time is free.
type engine struct {
	names   map[string]string // reference → id
	digests []string          // of every image
	pulls   [][]string        // the lines of each pull, in order; one that ends with "!" leaves the image behind
	asked   []string          // what was pulled
	hang    bool              // after the lines, nothing comes any more
}

// RoundTrip answers one call.
func (e *engine) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	path := r.URL.Path[strings.Index(r.URL.Path, "/images/")+1:]
	switch {
	case strings.HasSuffix(path, "/json"):
		id, ok := e.names[strings.TrimSuffix(strings.TrimPrefix(path, "images/"), "/json")]
		if !ok {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"No such image"}`)
			break
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"Id":%q,"RepoDigests":["%s"]}`, id, strings.Join(e.digests, `","`))
	case path == "images/create":
		q := r.URL.Query()
		e.asked = append(e.asked, q.Get("fromImage")+" "+q.Get("tag"))
		lines := []string{`{"error":"unexpected EOF"}`}
		if len(e.pulls) > 0 {
			lines, e.pulls = e.pulls[0], e.pulls[1:]
		}
		for _, line := range lines {
			if line == "!" {
				e.names["registry.example/worker@"+sum] = imageID
				continue
			}
			fmt.Fprintln(w, line)
		}
		if e.hang {
			answer := w.Result()
			answer.Body = &stuck{text: w.Body.String(), done: r.Context()}
			return answer, nil
		}
	}
	return w.Result(), nil
}

// stuck is a body that says its text, and then nothing until the call is given up.
type stuck struct {
	text string
	done context.Context
}

func (s *stuck) Read(p []byte) (int, error) {
	if s.text == "" {
		<-s.done.Done()
		return 0, s.done.Err()
	}
	n := copy(p, s.text)
	s.text = s.text[n:]
	return n, nil
}

func (s *stuck) Close() error { return nil }

func over(t *testing.T, e *engine) images {
	t.Helper()
	c, err := client.NewClientWithOpts(client.WithHost("tcp://engine.invalid:1"), client.WithVersion("1.41"), client.WithHTTPClient(&http.Client{Transport: e}))
	if err != nil {
		t.Fatal(err)
	}
	return images{&Runtime{engine: c, machine: "m-aaaaaaaaaa"}}
}

func down(layer string, current, total int) string {
	return fmt.Sprintf(`{"status":"Downloading","progressDetail":{"current":%d,"total":%d},"id":%q}`, current, total, layer)
}

func said(layer, status string) string { return fmt.Sprintf(`{"status":%q,"id":%q}`, status, layer) }

func TestLookTakesExactlyWhatIsPinned(t *testing.T) {
	e := &engine{names: map[string]string{
		"raylink/worker:1": imageID, imageID: imageID, "registry.example/worker@" + sum: imageID, "registry.example:5000/worker@" + sum: imageID,
		"lying.example/worker@" + absent: imageID,
	}, digests: []string{"registry.example/worker@" + sum}}
	for ref, want := range map[string]string{
		"raylink/worker:1":                      imageID,
		"raylink/worker:1@" + imageID:           imageID, // never pushed: the digest is the id
		"any/name:at-all@" + imageID:            imageID,
		"registry.example/worker@" + sum:        imageID,
		"registry.example/worker:7@" + sum:      imageID, // the tag counts for nothing
		"registry.example:5000/worker@" + sum:   imageID,
		"registry.example:5000/worker:1@" + sum: imageID,
		"raylink/worker:1@" + absent:            "",
		"lying.example/worker@" + absent:        "", // the engine answers, and not with that digest
		"raylink/worker:2":                      "",
	} {
		id, err := over(t, e).Look(t.Context(), ref)
		if id != want || (want == "") != (err != nil && raylink.AsError(err).Code == raylink.CodeNotFound) {
			t.Errorf("%s is %q (%v), wanted %q", ref, id, err, want)
		}
	}
	if len(e.asked) > 0 {
		t.Errorf("looking pulled %q", e.asked)
	}
}

func TestABrokenPullIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{names: map[string]string{}, digests: []string{"registry.example/worker@" + sum}, pulls: [][]string{
			{down("a", 50, 100), down("b", 10, 300), `{"error":"unexpected EOF"}`},
			{down("a", 70, 100), `{"error":"connection reset"}`},                   // more than before
			{down("a", 0, 100), down("a", 10, 40), `{"error":"connection reset"}`}, // as much: the engine went on where it was, and counted the rest
			{said("a", "Already exists"), down("b", 200, 300), said("b", "Download complete"), said("b", "Pull complete"), "!"},
		}}
		var told [][2]int64
		id, err := over(t, e).Fetch(t.Context(), "registry.example/worker:7@"+sum, func(done, total int64) { told = append(told, [2]int64{done, total}) })
		if err != nil || id != imageID {
			t.Fatalf("it gives %q: %v", id, err)
		}
		want := [][2]int64{{50, 100}, {60, 400}, {70, 400}, {0, 400}, {70, 400}, {100, 400}, {300, 400}, {400, 400}, {400, 400}}
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told %v, wanted %v", told, want)
		}
		for _, asked := range e.asked {
			if asked != "registry.example/worker "+sum {
				t.Errorf("pulled %q and not by its digest", asked)
			}
		}
	})
}

func TestAPullThatBringsNothingIsGivenUp(t *testing.T) {
	cases := map[string]struct {
		pulls [][]string
		hang  bool
		code  raylink.Code
		tries int
	}{
		"nothing ever came":    {nil, false, raylink.CodeNotFound, 1},
		"it gets no further":   {[][]string{{down("a", 50, 100), `{"error":"reset"}`}}, false, raylink.CodeUnavailable, 1 + pullTriesMax},
		"the engine is silent": {nil, true, raylink.CodeNotFound, 1},
		"it gives another one": {[][]string{{down("a", 50, 100), said("a", "Pull complete")}}, false, raylink.CodeNotFound, 1},
	}
	for words, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			e := &engine{names: map[string]string{}, pulls: c.pulls, hang: c.hang}
			if c.hang {
				e.pulls = [][]string{{}}
			}
			begin := time.Now()
			_, err := over(t, e).Fetch(t.Context(), "registry.example/worker@"+sum, func(int64, int64) {})
			if raylink.AsError(err).Code != c.code || len(e.asked) != c.tries {
				t.Errorf("%s: after %d attempts: %v, wanted %s after %d", words, len(e.asked), err, c.code, c.tries)
			}
			if took := time.Since(begin); took > 3*time.Minute {
				t.Errorf("%s: only after %s", words, took)
			}
		})
	}
}

func TestProgressBearsWhateverARegistrySays(t *testing.T) {
	var l layers
	for i := range 1000 {
		l.take(pullLine{Layer: fmt.Sprint(i), Status: "Downloading", Detail: struct {
			Current int64 `json:"current"`
			Total   int64 `json:"total"`
		}{1 << 62, 1 << 62}})
	}
	done, total := l.take(pullLine{Layer: "x", Status: "Extracting"})
	if len(l.of) != layersMax || done != total || total != layersMax*layerMax {
		t.Errorf("%d layers with %d of %d bytes", len(l.of), done, total)
	}
}

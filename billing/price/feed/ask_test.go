package feed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	base, err := Base(text)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

func TestBase(t *testing.T) {
	for _, good := range []string{"https://hermes.example", "https://node.example/hermes", "http://127.0.0.1:80", "http://[::1]:80", "http://localhost:80"} {
		if _, err := Base(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "hermes.example", "http://hermes.example", "ftp://127.0.0.1", "file:///etc/passwd", "https://", "https://key@host", "https://host?key=1", "https://host#x", "http://127.0.0.1.example", "https://a b"} {
		if _, err := Base(bad); raylink.AsError(err) == nil || raylink.AsError(err).Hint == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestGetIsBounded(t *testing.T) {
	var followed bool
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Key")) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/followed", http.StatusFound) })
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed = true })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/limited", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for range MaxAnswer/1024 + 1 {
			io.WriteString(w, strings.Repeat("x", 1024))
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	client := NewClient()
	base := address(t, server.URL)
	secret := [2]string{"X-Key", "hush"}
	if body, err := Get(t.Context(), client, base.JoinPath("good"), secret); err != nil || string(body) != "hush" {
		t.Errorf("%q, %v", body, err)
	}
	for path, want := range map[string]error{"redirect": ErrAnswer, "broken": ErrAnswer, "limited": ErrAnswer, "empty": ErrAnswer, "huge": ErrAnswer, "cut": io.ErrUnexpectedEOF} {
		_, err := Get(t.Context(), client, base.JoinPath(path), secret)
		if !errors.Is(err, want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := Get(ctx, client, base.JoinPath("slow")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	server.Close()
	if _, err := Get(t.Context(), client, base.JoinPath("good"), secret); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("gone: %v", err)
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if secret, err := ReadSecret(write("good", " hush \n", 0o600)); err != nil || secret != "hush" {
		t.Errorf("%q, %v", secret, err)
	}
	for _, path := range []string{write("open", "hush", 0o640), write("empty", " \n", 0o600), write("large", strings.Repeat("x", maxSecret+1), 0o600), dir, filepath.Join(dir, "none")} {
		if secret, err := ReadSecret(path); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %q, %v", path, secret, err)
		}
	}
}

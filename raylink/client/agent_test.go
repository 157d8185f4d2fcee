package client

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// lineWriter hands on each line of a log.
type lineWriter chan string

func (w lineWriter) Write(line []byte) (int, error) {
	w <- string(line)
	return len(line), nil
}

var quiet = slog.New(slog.DiscardHandler)

// group answers joins and renewals with certificates of the given life.
func group(t *testing.T, ca *authority, asked *notes, from, to time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		asked.add(r.URL.Path + " " + who + " " + r.Header.Get("Idempotency-Key"))
		var request wire.JoinRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		csr, err := x509.ParseCertificateRequest(request.CSR)
		if err != nil || csr.CheckSignature() != nil {
			t.Errorf("the request for a certificate: %v", err)
			return
		}
		end := to
		if r.URL.Path == "/v1/renew" {
			end = time.Now().Add(24 * time.Hour)
		}
		leaf := ca.issue(t, csr.PublicKey, "machine:m-aaaaaaaaaa", from, end)
		reply(w, wire.JoinAnswer{
			ID: "m-aaaaaaaaaa", CA: string(ca.pem()), Coordinators: []string{"https://" + r.Host}, Coordinator: "a",
			Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})),
		})
	})
}

func joinToken(t *testing.T, ca *authority) string {
	t.Helper()
	token, err := identity.NewJoinToken(rand.Reader, Fingerprint(ca.certificate))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEnrollOpenRenew(t *testing.T) {
	ca := newAuthority(t)
	var asked notes
	// The first certificate is two thirds through its life, so that the renewal comes at once.
	server := ca.serve(t, group(t, ca, &asked, time.Now().Add(-50*time.Minute), time.Now().Add(10*time.Minute)))
	dir, token := filepath.Join(t.TempDir(), "identity"), joinToken(t, ca)
	for range 2 { // the second time repeats the first, as after a crash
		if _, err := Enroll(t.Context(), dir, server.URL, token, wire.JoinRequest{Name: "box"}); err != nil {
			t.Fatal(err)
		}
	}
	if seen := asked.all(); len(seen) != 2 || seen[0] != seen[1] || !strings.HasPrefix(seen[0], "/v1/join nobody ") {
		t.Fatalf("a repeated join should be the same request: %q", seen)
	}
	if info, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key's mode: %v, %v", info, err)
	}
	id, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := id.Principal(); err != nil || who.ID != "m-aaaaaaaaaa" {
		t.Fatalf("got %v, %v", who, err)
	}
	if id.Through() != "a" {
		t.Errorf("joined through %q", id.Through())
	}
	c, err := id.Client(quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, lines := make(chan struct{}), make(lineWriter, 1)
	go func() { id.KeepFresh(ctx, c, slog.New(slog.NewTextHandler(lines, nil))); close(done) }()
	if line := <-lines; !strings.Contains(line, "certificate renewed") || time.Until(id.ExpiresAt()) < time.Hour {
		t.Fatalf("logged %s", line)
	}
	cancel()
	<-done
	if seen := asked.all(); !strings.HasPrefix(seen[2], "/v1/renew machine:m-aaaaaaaaaa") {
		t.Fatalf("asked %q", seen)
	}
	if again, err := OpenIdentity(dir); err != nil || !again.ExpiresAt().Equal(id.ExpiresAt()) {
		t.Fatalf("the renewed certificate was not kept: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, throughFile)); err != nil { // as an earlier release left it
		t.Fatal(err)
	}
	if again, err := OpenIdentity(dir); err != nil || again.Through() != "" {
		t.Fatalf("an identity of an earlier release: %v, %v", again, err)
	}
}

func TestJoinShowsItsTokenOnlyToTheRightCA(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	server := theirs.serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came through") }))
	_, err := Join(t.Context(), server.URL, joinToken(t, ours), wire.JoinRequest{})
	if raylink.AsError(err).Code != raylink.CodeForbidden {
		t.Fatalf("got %v", err)
	}
	// The right CA, but a machine in a coordinator's place.
	server = ours.serveAs(t, "machine:m-aaaaaaaaaa", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came through") }))
	_, err = Join(t.Context(), server.URL, joinToken(t, ours), wire.JoinRequest{})
	if raylink.AsError(err).Code != raylink.CodeForbidden {
		t.Fatalf("got %v", err)
	}
}

func TestFetchCAWithoutAPinShowsTheFingerprint(t *testing.T) {
	ca := newAuthority(t)
	server := ca.serve(t, http.NotFoundHandler())
	got, sum, err := FetchCA(t.Context(), server.URL, "")
	if err != nil || sum != Fingerprint(ca.certificate) || string(got) != string(ca.pem()) {
		t.Fatalf("got %s, %v", sum, err)
	}
}

func TestOpenIdentityNamesTheNextStep(t *testing.T) {
	_, err := OpenIdentity(t.TempDir())
	if e := raylink.AsError(err); e.Code != raylink.CodeUnauthenticated || !strings.Contains(e.Hint, "join-token create") {
		t.Fatalf("got %v", err)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type answer struct {
			value, revision string
			err             error
		}
		answers := []answer{{"one", "1", nil}, {"one", "1", nil}, {err: errors.New("away")}, {err: errors.New("away")}, {"two", "2", nil}}
		ctx, cancel := context.WithCancel(t.Context())
		var asked, applied []string
		begun := time.Now()
		err := Follow(ctx, quiet, func(_ context.Context, revision string) (string, string, error) {
			asked = append(asked, revision)
			a := answers[len(asked)-1]
			return a.value, a.revision, a.err
		}, func(_ context.Context, value string) {
			applied = append(applied, value)
			if value == "two" {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(asked, ","); got != ",1,1,1,1" {
			t.Errorf("asked with revisions %s", got)
		}
		if got := strings.Join(applied, ","); got != "one,two" {
			t.Errorf("applied %s", got)
		}
		if took := time.Since(begun); took < fastest+firstPause || took > 5*time.Second {
			t.Errorf("took %v: neither hammering nor sleeping", took)
		}
	})
}

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// machineRoutes are what a machine's own certificate may call.
func (f *fake) machineRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/agent/assignment": func(*http.Request) (any, *raylink.Error) {
			return wire.Assignment{Revision: "1", Leases: []wire.LeaseOrder{}, Coordinators: []string{f.coordinator.URL},
				Standing: f.stands}, nil
		},
		"POST /v1/agent/report": func(*http.Request) (any, *raylink.Error) { return nil, nil },
	}
}

// isMachine says whether a machine calls, and may.
func isMachine(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && r.Header.Get("Authorization") == "" &&
		(strings.HasPrefix(r.URL.Path, "/v1/agent/") || strings.HasPrefix(r.URL.Path, "/v1/machines/"))
}

// enrol writes an agent's data directory as joining does.
func (f *fake) enrol(data string) error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	reliability := int64(9_987)
	f.machine.ID, f.stands = identity.MachineID(public), raylink.Standing{State: raylink.MachineReady, Reliability: &reliability, Minutes: 120, Lost: 1}
	template := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "machine:" + string(f.machine.ID)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(20 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	urls, err := json.Marshal([]string{f.coordinator.URL})
	if err != nil {
		return err
	}
	dir := filepath.Join(data, "identity")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), "cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
		"ca.pem": f.caPEM, "coordinators.json": urls,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) deafen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = true
}

// await FILE TEXT waits until a file says something.
func await(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(15 * time.Second)
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && bytes.Contains(text, []byte(args[1])) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never says %q: %s", args[0], args[1], text)
		}
		<-time.After(10 * time.Millisecond)
	}
}

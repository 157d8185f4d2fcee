package testbed

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"

	"raylink/coordinator/gateway"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
	"raylink/supplier"
)

// part is an agent or a gateway: a process that can be killed and started again.
type part struct {
	b    *Bed
	name string
	run  func(ctx context.Context) error
	stop context.CancelFunc // nil while it does not run
	done chan error
}

func (p *part) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.done = cancel, make(chan error, 1)
	done := p.done
	go func() { done <- p.run(ctx) }()
}

func (p *part) kill() {
	if p.stop == nil {
		return
	}
	p.stop()
	p.stop = nil
	if err := <-p.done; err != nil && !errors.Is(err, context.Canceled) {
		p.b.t.Errorf("%s ended with %v", p.name, err)
	}
}

// Rate of each machine: 0.06 USD for a core and an hour, a tenth of a cent a minute.
const cpuHour = 60_000

// addSupplier lets a supplier with one machine in.
func (b *Bed) addSupplier(name string) {
	b.t.Helper()
	account, err := b.Admin.CreateAccount(b.ctx(), wire.AccountRequest{Name: name})
	b.must(err)
	b.addMachine(name, account.ID)
}

// addMachine lets an account's machine of four cores in, and starts its agent.
func (b *Bed) addMachine(name string, account raylink.AccountID) {
	b.t.Helper()
	offer := raylink.Offer{Arch: "amd64", Resources: raylink.Resources{CPU: 4 * raylink.Unit, Memory: 8 << 30}, CPUHour: cpuHour}
	id, key := b.join(name, wire.JoinTokenRequest{Kind: "machine", Account: account}, wire.JoinRequest{Name: name, Offer: &offer})
	machine := raylink.MachineID(id)
	b.machines[name] = machine
	address := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(b.machines))})
	coordinators := b.client(name, "", identity.Principal{Kind: identity.Machine, ID: id}.String())
	p := &part{b: b, name: name, run: func(ctx context.Context) error {
		return supplier.New(supplier.Parts{Machine: machine, Key: key, Offer: offer, DataDir: filepath.Join(b.dir, name), Coordinator: coordinators,
			Provers: b.provers(name), Runtime: b.host.For(machine), Planes: b.wiring.Planes(b.host.Planes(machine)), Address: func() (netip.Addr, error) { return address, nil }}, b.log.With("at", name)).Run(ctx)
	}}
	b.parts[name] = p
	p.start()
}

// addGateway lets a gateway in and starts it.
func (b *Bed) addGateway(name string) {
	b.t.Helper()
	url := "https://" + name + ".test:8443"
	id, key := b.join(name, wire.JoinTokenRequest{Kind: "gateway"}, wire.JoinRequest{Name: name, URL: url})
	coordinators := b.client(name, "", identity.Principal{Kind: identity.Gateway, ID: id}.String())
	p := &part{b: b, name: name, run: func(ctx context.Context) error {
		g, err := gateway.New(gateway.Options{ID: raylink.GatewayID(id), Key: key, URL: url, Coordinators: coordinators, Log: b.log.With("at", name),
			Keep: filepath.Join(b.dir, name, "minutes.json"),
			Join: func(key overlay.PrivateKey, mesh overlay.Mesh) (gateway.Net, error) {
				return b.wiring.Join(key, mesh.Address)
			},
			Source: func(context.Context, []string) netip.Addr { return netip.MustParseAddr("192.0.2.250") }})
		if err != nil {
			return err
		}
		return g.Run(ctx)
	}}
	b.parts[name] = p
	p.start()
}

// join spends a fresh join token, as an agent or gateway does once in its life.
func (b *Bed) join(name string, token wire.JoinTokenRequest, request wire.JoinRequest) (id string, key ed25519.PrivateKey) {
	b.t.Helper()
	secret, err := b.Admin.CreateJoinToken(b.ctx(), token)
	b.must(err)
	_, key, err = ed25519.GenerateKey(rand.Reader)
	b.must(err)
	request.CSR, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	b.must(err)
	body, err := json.Marshal(request)
	b.must(err)
	ask, err := http.NewRequestWithContext(b.ctx(), http.MethodPost, b.coordinators[0].url()+"/v1/join", bytes.NewReader(body))
	b.must(err)
	ask.Header.Set("Authorization", "Bearer "+secret.Secret)
	answer, err := (&link{b, name, ""}).RoundTrip(ask)
	b.must(err)
	var joined wire.JoinAnswer
	b.must(json.NewDecoder(answer.Body).Decode(&joined))
	if joined.ID == "" {
		b.t.Fatal(fmt.Errorf("%s was not let in: %s", name, answer.Status))
	}
	return joined.ID, key
}

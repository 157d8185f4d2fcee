package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
)

const (
	// CertificateLife is how long a certificate holds; its owner renews it in the last third.
	CertificateLife = 24 * time.Hour
	// clockSlack is how far behind the issuer's a verifier's clock may be.
	clockSlack = 5 * time.Minute
	hostLimit  = 32
)

// Request asks for one certificate.
type Request struct {
	Public    crypto.PublicKey
	Principal identity.Principal
	Hosts     []string      // names and addresses that it may serve; none for machines
	TTL       time.Duration // 0 is CertificateLife, which is also the most
}

// Issue signs a certificate (PEM, leaf only) whose common name is the principal. A machine's or gateway's certificate proves who it is only if the id is that
// of the key; a gateway may get one for another key (browsers know no Ed25519), good for serving its hosts and for nothing else.
func (a *Authority) Issue(r Request) ([]byte, error) {
	der, err := a.issue(r)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func (a *Authority) issue(r Request) ([]byte, error) {
	usage, err := usages(r)
	if err != nil {
		return nil, err
	}
	ttl := r.TTL
	if ttl == 0 {
		ttl = CertificateLife
	}
	if ttl < 0 || ttl > CertificateLife || len(r.Hosts) > hostLimit {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a certificate for %v and %d hosts is out of bounds", ttl, len(r.Hosts)).
			WithHint("at most %v and %d hosts", CertificateLife, hostLimit)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: r.Principal.String()},
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(ttl),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usage, BasicConstraintsValid: true,
	}
	for _, host := range r.Hosts {
		if address, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, r.Public, a.key)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate for %s: %w", r.Principal, err)
	}
	return der, nil
}

// usages says what a certificate may be used for, or refuses the request.
func usages(r Request) ([]x509.ExtKeyUsage, error) {
	if !r.Principal.Valid() {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%q is no principal", r.Principal.String())
	}
	client, server := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	public, isEd25519 := r.Public.(ed25519.PublicKey)
	owns := isEd25519 && r.Principal == keyPrincipal(r.Principal.Kind, public)
	switch {
	case r.Principal.Kind == identity.Coordinator:
		return []x509.ExtKeyUsage{client, server}, nil
	case owns && len(r.Hosts) == 0:
		return []x509.ExtKeyUsage{client}, nil
	case owns && r.Principal.Kind == identity.Gateway:
		return []x509.ExtKeyUsage{client, server}, nil
	case r.Principal.Kind == identity.Gateway && len(r.Hosts) > 0:
		return []x509.ExtKeyUsage{server}, nil
	case owns:
		return nil, raylink.Errorf(raylink.CodeForbidden, "%s serves nothing, its certificate names no hosts", r.Principal)
	}
	return nil, raylink.Errorf(raylink.CodeForbidden, "the key is not that of %s", r.Principal)
}

func keyPrincipal(kind identity.Kind, public ed25519.PublicKey) identity.Principal {
	switch kind {
	case identity.Machine:
		return identity.Principal{Kind: kind, ID: string(identity.MachineID(public))}
	case identity.Gateway:
		return identity.Principal{Kind: kind, ID: string(identity.GatewayID(public))}
	}
	return identity.Principal{}
}

// Issued is a certificate with what it proves.
type Issued struct {
	Principal identity.Principal
	Public    ed25519.PublicKey // verifies the statements that the principal signs
	PEM       []byte
	NotAfter  time.Time
}

// IssueCSR answers a machine's or gateway's PKCS #10 request (DER). The request must be signed by its own Ed25519 key, and the principal is made from that
// key: whatever else the request says does not count.
func (a *Authority) IssueCSR(csrDER []byte, kind identity.Kind, hosts ...string) (Issued, error) {
	refusal := raylink.Errorf(raylink.CodeInvalid, "the certificate request is not an Ed25519 request signed by its own key")
	if len(csrDER) > 16<<10 {
		return Issued{}, refusal
	}
	request, err := x509.ParseCertificateRequest(csrDER)
	if err != nil || request.CheckSignature() != nil {
		return Issued{}, refusal
	}
	public, ok := request.PublicKey.(ed25519.PublicKey)
	if !ok {
		return Issued{}, refusal
	}
	principal := keyPrincipal(kind, public)
	if !principal.Valid() {
		return Issued{}, raylink.Errorf(raylink.CodeForbidden, "a %q gets no certificate by request", kind)
	}
	notAfter := time.Now().Add(CertificateLife)
	text, err := a.Issue(Request{Public: public, Principal: principal, Hosts: hosts})
	if err != nil {
		return Issued{}, err
	}
	return Issued{Principal: principal, Public: public, PEM: text, NotAfter: notAfter}, nil
}

// Keeper holds one principal's own certificate and renews it, with a new key in memory, when a handshake finds it in the last third of its life.
type Keeper struct {
	authority *Authority
	principal identity.Principal

	mu      sync.Mutex
	hosts   []string
	current *tls.Certificate
}

// ServerCertificate keeps a certificate for coordinator id, valid for serving hosts and for showing to peers.
func (a *Authority) ServerCertificate(id string, hosts ...string) *Keeper {
	return &Keeper{authority: a, principal: identity.Principal{Kind: identity.Coordinator, ID: id}, hosts: slices.Clone(hosts)}
}

// Certificate is the current certificate, its chain ending with the CA, so that a client which knows only the CA's hash can check it.
func (k *Keeper) Certificate() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil && time.Until(k.current.Leaf.NotAfter) > CertificateLife/3 && !time.Now().Before(k.current.Leaf.NotBefore) {
		return k.current, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := k.authority.issue(Request{Public: key.Public(), Principal: k.principal, Hosts: k.hosts})
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading an issued certificate: %w", err)
	}
	k.current = &tls.Certificate{Certificate: [][]byte{der, k.authority.certificate.Raw}, PrivateKey: key, Leaf: leaf}
	return k.current, nil
}

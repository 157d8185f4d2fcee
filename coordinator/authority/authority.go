// Package authority is the trust of one group of coordinators: its certificate authority and its group key, and what is derived from them: short
// certificates, TLS configurations, each cluster's Ray token, the key that signs the journal's checkpoints.
//
// Every coordinator holds the same authority, in its own data directory and outside the replicated log; whoever reads it can become any part of the group.
package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"raylink/raylink"
)

const (
	secretFile    = "authority.json" // 0600: everything
	publicFile    = "ca.pem"         // 0644: for people and their tools
	groupKeyBytes = 32
	caLife        = 10 * 365 * 24 * time.Hour
	bundleLimit   = 64 << 10
)

// Authority signs certificates and derives secrets. It never changes after Init, Open or Import, and all methods may be called at once.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	groupKey    []byte
}

// bundle is the form on disk and between coordinators.
type bundle struct {
	Format   string `json:"format"`
	CA       string `json:"ca"`        // PEM
	CAKey    string `json:"ca_key"`    // PEM, PKCS #8
	GroupKey []byte `json:"group_key"` // 32 bytes
}

const bundleFormat = "raylink authority v1"

// Init makes a new group's authority in dir, which must hold none yet: an ECDSA P-256 CA valid for ten years, and a 32-byte group key.
func Init(dir string) (*Authority, error) {
	if _, err := os.Stat(filepath.Join(dir, secretFile)); err == nil {
		return nil, raylink.Errorf(raylink.CodeConflict, "%s already holds a group's authority", dir).
			WithHint("start the coordinator with this directory, or give another one for a new group")
	}
	a, err := generate()
	if err != nil {
		return nil, err
	}
	return a, a.save(dir)
}

func generate() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "raylink group CA"},
		NotBefore:    now.Add(-clockSlack), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the CA's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	groupKey := make([]byte, groupKeyBytes)
	if _, err := io.ReadFull(rand.Reader, groupKey); err != nil {
		return nil, fmt.Errorf("making the group key: %w", err)
	}
	return &Authority{certificate: certificate, key: key, groupKey: groupKey}, nil
}

// Open reads the authority that Init or Import left in dir. A file that others may read is refused.
func Open(dir string) (*Authority, error) {
	path := filepath.Join(dir, secretFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, raylink.Errorf(raylink.CodeNotFound, "%s holds no group's authority", dir).
			WithHint("begin a group with 'raylink coordinator init', or join one with 'raylink coordinator join'")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, raylink.Errorf(raylink.CodeForbidden, "%s can be read by others (mode %o)", path, info.Mode().Perm()).
			WithHint("whoever read it can act as any part of the group; if nobody did: chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	a, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("opening the authority in %s: %w", path, err)
	}
	return a, nil
}

// Export is the whole authority for a coordinator that joins. Send it only over TLS that the join token's CA hash authenticated, to whoever showed the token.
func (a *Authority) Export() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("exporting the CA's key: %w", err)
	}
	text, err := json.MarshalIndent(bundle{
		Format: bundleFormat, CA: string(a.CAPEM()), GroupKey: a.groupKey,
		CAKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("exporting the authority: %w", err)
	}
	return text, nil
}

// Import takes over what another coordinator exported and keeps it in dir. Doing it again with the same bundle changes nothing; a directory that belongs to
// another group is refused.
func Import(dir string, exported []byte) (*Authority, error) {
	a, err := decode(exported)
	if err != nil {
		return nil, fmt.Errorf("importing the group's authority: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, secretFile)); err == nil {
		have, err := Open(dir)
		if err != nil {
			return nil, err
		}
		if !have.certificate.Equal(a.certificate) || !bytes.Equal(have.groupKey, a.groupKey) {
			return nil, raylink.Errorf(raylink.CodeConflict, "%s belongs to another group", dir).WithHint("give an empty data directory")
		}
		return have, nil
	}
	return a, a.save(dir)
}

func decode(text []byte) (*Authority, error) {
	if len(text) > bundleLimit {
		return nil, fmt.Errorf("%d bytes are too many for an authority", len(text))
	}
	var b bundle
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&b); err != nil {
		return nil, errors.New("it is not an authority") // the decoder's own words could quote a secret
	}
	if b.Format != bundleFormat {
		return nil, fmt.Errorf("its format is %q, this program knows %q", b.Format, bundleFormat)
	}
	caBlock, _ := pem.Decode([]byte(b.CA))
	keyBlock, _ := pem.Decode([]byte(b.CAKey))
	if caBlock == nil || keyBlock == nil || len(b.GroupKey) != groupKeyBytes {
		return nil, errors.New("the CA, its key or the group key is missing")
	}
	certificate, err := x509.ParseCertificate(caBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, errors.New("the CA's key cannot be read")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) || !certificate.IsCA {
		return nil, errors.New("the CA's certificate and key do not belong together")
	}
	return &Authority{certificate: certificate, key: key, groupKey: b.GroupKey}, nil
}

// save writes the secret file last and in one step, so that a crash leaves either nothing or everything.
func (a *Authority) save(dir string) error {
	text, err := a.Export()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the authority's directory: %w", err)
	}
	if err := writeFile(dir, publicFile, a.CAPEM(), 0o644); err != nil {
		return err
	}
	return writeFile(dir, secretFile, text, 0o600)
}

func writeFile(dir, name string, text []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(dir, name+".*") // 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", name, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// CAPEM is the CA's certificate, which is public.
func (a *Authority) CAPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// CASHA256 is the SHA-256, in hex, of the CA's certificate (DER), as join tokens carry it.
func (a *Authority) CASHA256() string {
	sum := sha256.Sum256(a.certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// String names the authority without its secrets, so that a careless %v shows none.
func (a *Authority) String() string { return "authority " + a.CASHA256()[:12] }

// GoString does the same for %#v.
func (a *Authority) GoString() string { return a.String() }

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial, nil
}

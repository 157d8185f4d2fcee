package devnet

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	solanago "github.com/gagliardetto/solana-go"

	"raylink/billing/settle/chain/solana"
)

// written are the ways in which a secret key could stand in a log or a store: its bytes, or some text of them. A part is looked for, so that the seed
// alone and the whole key are both found.
func written(key ed25519.PrivateKey) map[string][]byte {
	seed := key.Seed()
	ways := map[string][]byte{
		"bytes":                seed,
		"base58":               []byte(solanago.PrivateKey(key).String()),
		"base58 of the seed":   []byte(solanago.PublicKeyFromBytes(seed).String()), // any 32 bytes
		"hex":                  []byte(hex.EncodeToString(seed)),
		"HEX":                  []byte(strings.ToUpper(hex.EncodeToString(seed))),
		"base64":               []byte(base64.StdEncoding.EncodeToString(seed[:30])), // its end depends on what follows
		"base64 for addresses": []byte(base64.URLEncoding.EncodeToString(seed[:30])),
	}
	for _, between := range []string{",", ", ", " ", "\n"} {
		var numbers []string
		for _, b := range seed {
			numbers = append(numbers, fmt.Sprint(b))
		}
		ways[fmt.Sprintf("numbers with %q between", between)] = []byte(strings.Join(numbers, between))
	}
	return ways
}

// holding tells which files under dir have any of the texts, and under which name.
func holding(dir string, texts map[string][]byte) (map[string]string, error) {
	found := map[string]string{}
	return found, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for way, text := range texts {
			if bytes.Contains(content, text) {
				found[path] = way
			}
		}
		return nil
	})
}

// TestSecretIsFound: in whatever way a key is written, the search finds it.
func TestSecretIsFound(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte("a seed of exactly thirty-two byte"[:32]))
	dir := t.TempDir()
	ways := map[string]string{"json": fmt.Sprintf("key=%v", strings.ReplaceAll(fmt.Sprint([]byte(key)), " ", ",")), "go": fmt.Sprint([]byte(key)), "base58": solanago.PrivateKey(key).String(),
		"hex": fmt.Sprintf("%x", []byte(key)), "HEX": fmt.Sprintf("%X", key.Seed()), "base64": base64.StdEncoding.EncodeToString(key), "raw64": base64.RawURLEncoding.EncodeToString(key.Seed()),
		"bytes": "before" + string(key) + "behind"}
	for name, text := range ways {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "public"), []byte(fmt.Sprintf("%x %s", key.Public(), solanago.PrivateKey(key).PublicKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := holding(dir, written(key))
	if err != nil || len(found) != len(ways) || found[filepath.Join(dir, "public")] != "" {
		t.Errorf("%d of %d are found: %v, %v", len(found), len(ways), found, err)
	}
}

// secretKept: neither a coordinator's log nor its store, nor anything else of the network but the wallet's own file, has the treasury's secret key. What
// is public of it stands in each coordinator's store, so they are read as they should be.
func (m *till) secretKept() {
	key, err := solana.ReadKey(m.keyFile(treasuryName))
	m.must(err)
	found, err := holding(m.cfg.Dir, written(key))
	m.must(err)
	if found[m.keyFile(treasuryName)] == "" {
		m.t.Error("the search does not find the key in its own file")
	}
	delete(found, m.keyFile(treasuryName))
	for path, way := range found {
		m.t.Errorf("%s holds the treasury's secret key, as %s", path, way)
	}
	for i := range m.cfg.Coordinators {
		known, err := holding(filepath.Join(m.cfg.Dir, coordinatorName(i)), map[string][]byte{"address": []byte(m.chain.Wallets[treasuryName])})
		m.must(err)
		if len(known) == 0 {
			m.t.Errorf("%s does not even know the treasury's address: is its store read?", coordinatorName(i))
		}
		log, err := os.ReadFile(logFile(m.cfg.Dir, coordinatorName(i)))
		if m.must(err); !bytes.Contains(log, []byte("raft")) {
			m.t.Errorf("the log of %s is not where it is looked for", coordinatorName(i))
		}
	}
}

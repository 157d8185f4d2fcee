package administered

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/billing/price/feed"
	"raylink/raylink"
)

var _ feed.Source = (*Source)(nil)

// What a key signs, the book of a house with that operator believes, and with another one does not.
func TestBookBelieves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "operator.pem")
	made, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := OpenKey(path)
	if err != nil || key.Public() != made.Public() {
		t.Fatalf("%v, %v", key, err)
	}
	now := time.Date(2026, 11, 24, 3, 0, 0, 5, time.FixedZone("", 3600))
	sample := key.Sign(250_000_000_000, 1_000_000_000, now)
	policy := price.Default()
	policy.Operators = []string{made.Public()}
	book := price.Book{Policy: policy}
	if err := book.Set(now, sample); err != nil {
		t.Fatal(err)
	}
	if snapshot, err := book.Snapshot(now); err != nil || snapshot.Price != 250_000_000_000 {
		t.Errorf("%+v, %v", snapshot, err)
	}
	for what, spoil := range map[string]func(*price.Sample){
		"price":      func(s *price.Sample) { s.Price++ },
		"confidence": func(s *price.Sample) { s.Confidence++ },
		"time":       func(s *price.Sample) { s.ObservedAt = s.ObservedAt.Add(1) },
		"key":        func(s *price.Sample) { s.Key = "" },
	} {
		forged := sample
		spoil(&forged)
		if err := (&price.Book{Policy: policy}).Set(now, forged); err == nil {
			t.Errorf("a forged %s was believed", what)
		}
	}
	other, err := CreateKey(filepath.Join(t.TempDir(), "other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&price.Book{Policy: policy}).Set(now, other.Sign(250_000_000_000, 0, now)); err == nil {
		t.Error("a stranger was believed")
	}
}

func TestSource(t *testing.T) {
	key, err := CreateKey(filepath.Join(t.TempDir(), "operator.pem"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := NewSource(key, 250_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().Round(0)
	s, err := source.Sample(t.Context())
	if err != nil || s.Source != source.Name() || s.Price != 250_000_000_000 || s.ObservedAt.Before(before) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, value := range []money.Price{0, -1} {
		if _, err := NewSource(key, value); err == nil {
			t.Errorf("%v was taken", value)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "operator.pem")
	key, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := CreateKey(path); err == nil || raylink.AsError(err).Code != raylink.CodeConflict {
		t.Errorf("made again: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(text) {
		t.Error("the key was overwritten")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(path); err == nil || raylink.AsError(err).Code != raylink.CodeForbidden {
		t.Errorf("open to all: %v", err)
	}
	for name, content := range map[string]string{"none": "", "text": "hello", "other PEM": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKey(bad); err == nil || raylink.AsError(err).Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenKey(filepath.Join(dir, "missing")); raylink.AsError(err).Code != raylink.CodeNotFound {
		t.Errorf("missing: %v", err)
	}
	secret := strings.Split(string(text), "\n")[1]
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if shown := fmt.Sprintf(form, key); strings.Contains(shown, secret[24:]) {
			t.Errorf("%s shows the key", form)
		}
	}
}

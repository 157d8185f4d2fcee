package authority

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raylink/raylink"
)

func initialised(t *testing.T) (*Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	a, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func code(err error) raylink.Code {
	if err == nil {
		return ""
	}
	return raylink.AsError(err).Code
}

func TestInitOpenImport(t *testing.T) {
	a, dir := initialised(t)
	info, err := os.Stat(filepath.Join(dir, secretFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal("the secret file's mode is", info.Mode(), err)
	}
	if _, err := Init(dir); code(err) != raylink.CodeConflict {
		t.Error("a second Init gives", err)
	}
	opened, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	exported, err := opened.Export()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	for range 2 { // a join that was interrupted is done again
		imported, err := Import(other, exported)
		if err != nil {
			t.Fatal(err)
		}
		same(t, a, imported)
	}
	reopened, err := Open(other)
	if err != nil {
		t.Fatal(err)
	}
	same(t, a, reopened)
	_, foreign := initialised(t)
	if _, err := Import(foreign, exported); code(err) != raylink.CodeConflict {
		t.Error("importing over another group gives", err)
	}
	if _, err := Open(t.TempDir()); code(err) != raylink.CodeNotFound {
		t.Error("opening nothing gives", err)
	}
	if err := os.Chmod(filepath.Join(dir, secretFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); code(err) != raylink.CodeForbidden {
		t.Error("opening a readable secret gives", err)
	}
}

func same(t *testing.T, a, b *Authority) {
	t.Helper()
	keyA, errA := a.SigningKey()
	keyB, errB := b.SigningKey()
	if errA != nil || errB != nil || !keyA.Equal(keyB) || a.CASHA256() != b.CASHA256() || a.ClusterToken("c-x", 1) != b.ClusterToken("c-x", 1) {
		t.Error("the two authorities differ", errA, errB)
	}
}

func TestImportRefusals(t *testing.T) {
	a, _ := initialised(t)
	b, _ := initialised(t)
	mine, others := unpack(t, a), unpack(t, b)
	for name, change := range map[string]func(*bundle){
		"other format":    func(x *bundle) { x.Format = "raylink authority v2" },
		"no CA":           func(x *bundle) { x.CA = "" },
		"foreign CA key":  func(x *bundle) { x.CAKey = others.CAKey },
		"short group key": func(x *bundle) { x.GroupKey = x.GroupKey[1:] },
		"not a key":       func(x *bundle) { x.CAKey = x.CA },
	} {
		changed := mine
		change(&changed)
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := Import(dir, text); err == nil {
			t.Errorf("%s: imported", name)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: the refusal shows a secret", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	for _, text := range []string{"", "{}", "null", "[]", `{"secret":"x"}`, strings.Repeat(" ", bundleLimit+1)} {
		if _, err := Import(t.TempDir(), []byte(text)); err == nil {
			t.Errorf("%.20q: imported", text)
		}
	}
}

func unpack(t *testing.T, a *Authority) (b bundle) {
	t.Helper()
	text, err := a.Export()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecrets(t *testing.T) {
	a, _ := initialised(t)
	mac := hmac.New(sha256.New, a.groupKey)
	mac.Write([]byte("raylink cluster token v1\nc-abc\n3"))
	if got, want := a.ClusterToken("c-abc", 3), base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("cluster token %s, want %s", got, want)
	}
	if a.ClusterToken("c-abc", 3) == a.ClusterToken("c-abc", 4) || a.ClusterToken("c-abc", 3) == a.ClusterToken("c-abd", 3) {
		t.Error("two cluster tokens are the same")
	}
	key, err := a.SigningKey()
	if err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte("x"), ed25519.Sign(key, []byte("x"))) {
		t.Error("the signing key does not sign", err)
	}
	if bytes.Contains(key, a.groupKey) {
		t.Error("the signing key shows the group key")
	}
	for _, shown := range []string{fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a)} {
		if len(shown) > 40 {
			t.Errorf("the authority prints itself as %s", shown)
		}
	}
}

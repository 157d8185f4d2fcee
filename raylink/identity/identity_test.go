package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"raylink/raylink"
)

// zeros is entropy that makes test vectors; never used outside tests.
func zeros() *bytes.Reader { return bytes.NewReader(make([]byte, 64)) }

var (
	zeroSecret = strings.Repeat("A", 43)
	zeroCA     = strings.Repeat("0", 64)
)

func TestTokenVectors(t *testing.T) {
	access, err := NewAccessToken(zeros())
	if err != nil || access != "rl_access_"+zeroSecret {
		t.Fatalf("access token %q, %v", access, err)
	}
	join, err := NewJoinToken(zeros(), zeroCA)
	if err != nil || join != "rl_join_"+zeroSecret+"."+zeroCA {
		t.Fatalf("join token %q, %v", join, err)
	}
	sum := sha256.Sum256([]byte(zeroSecret))
	want := hex.EncodeToString(sum[:])
	if want != "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a" {
		t.Fatal("the vector is wrong")
	}
	for _, form := range []string{zeroSecret, access, join} {
		if got := HashToken(form); got != want {
			t.Errorf("HashToken(%q) = %s, want %s", form, got, want)
		}
	}
	if secret, ca, err := ParseJoinToken(join); err != nil || secret != zeroSecret || ca != zeroCA {
		t.Errorf("ParseJoinToken = %q, %q, %v", secret, ca, err)
	}
	if secret, err := ParseAccessToken(access); err != nil || secret != zeroSecret {
		t.Errorf("ParseAccessToken = %q, %v", secret, err)
	}
}

func TestTokensDiffer(t *testing.T) {
	a, errA := NewAccessToken(rand.Reader)
	b, errB := NewAccessToken(rand.Reader)
	if errA != nil || errB != nil || a == b || HashToken(a) == HashToken(b) {
		t.Fatal("two tokens are the same", errA, errB)
	}
	if !Equal(a, a) || Equal(a, b) || Equal(a, a[:len(a)-1]) {
		t.Error("Equal does not compare")
	}
}

func TestTokenRefusals(t *testing.T) {
	bad := map[string]string{
		"empty":          "",
		"prefix only":    "rl_access_",
		"short":          "rl_access_" + zeroSecret[1:],
		"long":           "rl_access_" + zeroSecret + "A",
		"other alphabet": "rl_access_" + strings.Repeat("+", 43),
		"not canonical":  "rl_access_" + zeroSecret[:42] + "B",
		"line end":       "rl_access_" + zeroSecret[:42] + "\n",
		"line end after": "rl_access_" + zeroSecret + "\n",
		"other kind":     "rl_other_" + zeroSecret,
		"join as access": "rl_join_" + zeroSecret + "." + zeroCA,
	}
	for name, token := range bad {
		_, err := ParseAccessToken(token)
		refused(t, name, token, err)
	}
	bad = map[string]string{
		"empty":          "",
		"no CA":          "rl_join_" + zeroSecret,
		"short CA":       "rl_join_" + zeroSecret + "." + zeroCA[1:],
		"upper-case CA":  "rl_join_" + zeroSecret + "." + strings.Repeat("A", 64),
		"access as join": "rl_access_" + zeroSecret + "." + zeroCA,
		"two dots":       "rl_join_" + zeroSecret + ".." + zeroCA[1:],
		"no secret":      "rl_join_." + zeroCA,
	}
	for name, token := range bad {
		_, _, err := ParseJoinToken(token)
		refused(t, name, token, err)
	}
	if _, err := NewJoinToken(zeros(), "nonsense"); err == nil {
		t.Error("a join token vouches for nonsense")
	}
	if _, err := NewAccessToken(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a token was made from 31 bytes")
	}
}

func refused(t *testing.T, name, token string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", name)
		return
	}
	e := raylink.AsError(err)
	if e.Code != raylink.CodeUnauthenticated || e.Hint == "" {
		t.Errorf("%s: %q without code or hint", name, err)
	}
	if len(token) > 20 && strings.Contains(e.Message+e.Hint, token) {
		t.Errorf("%s: the refusal shows the token", name)
	}
}

// vectorKey is the key of RFC 8032, 7.1, test 1.
func vectorKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func TestStatementVectors(t *testing.T) {
	overlayKey := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, v := range []struct {
		got  []byte
		want string
		sig  string
	}{
		{MinuteBytes("l-aaaaaaaaaa", 7, 60, "ffee"), "raylink minute v1\nl-aaaaaaaaaa\n7\n60\nffee\n",
			"EGBEwWcXhYSoo0i3uQVSPjXTzox7woyi/1e4IB0oCtqd2TqSkYlBwXmnkR9kn+WfcfaCYfnaiGcQcn747g1FCg=="},
		{ConfirmBytes("l-aaaaaaaaaa", 7, 55, ""), "raylink confirm v1\nl-aaaaaaaaaa\n7\n55\n\n",
			"pLiOH90w6j6PWXZjITrC+BOZnIfJrpm5H8ehpfLCU+EY7mmPQzWkG4PIvtO1xxtTrxdQuaM2VVll16U9tdCPDQ=="},
		{OverlayKeyBytes("l-aaaaaaaaaa", overlayKey), "raylink overlay key v1\nl-aaaaaaaaaa\n" + overlayKey + "\n",
			"Z/+UggyDyt1HhANqW09/v2rhvI5pVyVWCuVOqTT2sTJyj0Ve0ASHWUmoPepbYYVYkjn+uxsFPam+Z7uyHLVdBg=="},
	} {
		if string(v.got) != v.want {
			t.Errorf("statement %q, want %q", v.got, v.want)
		}
		signature := Sign(vectorKey(t), v.got)
		if signature != v.sig {
			t.Errorf("the signature over %q is %s, want %s", v.want, signature, v.sig)
		}
		if !Verify(vectorKey(t).Public().(ed25519.PublicKey), []byte(v.want), signature) {
			t.Errorf("the signature over %q does not verify", v.want)
		}
	}
}

func TestStatementRefusals(t *testing.T) {
	overlayKey := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, statement := range map[string][]byte{
		"newline in lease":  MinuteBytes("l-a\n7", 1, 60, "x"),
		"newline in node":   MinuteBytes("l-a", 1, 60, "x\n"),
		"no lease":          MinuteBytes("", 1, 60, "x"),
		"negative ordinal":  MinuteBytes("l-a", -1, 60, "x"),
		"negative seconds":  ConfirmBytes("l-a", 1, -1, "x"),
		"NUL":               ConfirmBytes("l-a\x00", 1, 1, "x"),
		"no subject":        OverlayKeyBytes("", overlayKey),
		"short overlay key": OverlayKeyBytes("l-a", overlayKey[4:]),
		"key with newline":  OverlayKeyBytes("l-a", overlayKey+"\n"),
		"key not base64":    OverlayKeyBytes("l-a", strings.Repeat("!", 44)),
	} {
		if statement != nil {
			t.Errorf("%s: made %q", name, statement)
		}
	}
	key := vectorKey(t)
	public := key.Public().(ed25519.PublicKey)
	good := MinuteBytes("l-a", 1, 60, "x")
	signature := Sign(key, good)
	flipped := "A" + signature[1:]
	if signature[0] == 'A' {
		flipped = "B" + signature[1:]
	}
	for name, ok := range map[string]bool{
		"nothing signed":    Verify(public, nil, Sign(key, nil)),
		"flipped bit":       Verify(public, good, flipped),
		"other statement":   Verify(public, ConfirmBytes("l-a", 1, 60, "x"), signature),
		"empty signature":   Verify(public, good, ""),
		"not base64":        Verify(public, good, "!"+signature[1:]),
		"empty key":         Verify(nil, good, signature),
		"trailing newline":  Verify(public, good, signature+" "),
		"signed by no key":  Verify(public, good, Sign(nil, good)),
		"truncated by four": Verify(public, good, signature[4:]),
	} {
		if ok {
			t.Errorf("%s: verifies", name)
		}
	}
	if !Verify(public, good, signature) {
		t.Error("the good one does not verify")
	}
}

func TestPrincipals(t *testing.T) {
	public := vectorKey(t).Public().(ed25519.PublicKey)
	machine, gateway := MachineID(public), GatewayID(public)
	if machine != "m-eh7ddx5bks" || gateway != "g-eh7ddx5bks" || !raylink.ValidID(string(machine), "m") {
		t.Errorf("ids %s, %s", machine, gateway)
	}
	for _, p := range []Principal{{Machine, string(machine)}, {Gateway, string(gateway)}, {Coordinator, "c1"}} {
		if back, err := ParsePrincipal(p.String()); err != nil || back != p {
			t.Errorf("%s reads as %v, %v", p, back, err)
		}
	}
	for _, bad := range []string{"", "machine", "machine:", "machine:m-short", "Machine:" + string(machine), "machine:" + string(gateway),
		"gateway:" + string(machine), "coordinator:", "coordinator:-a", "coordinator:a b", "coordinator:" + strings.Repeat("a", 64),
		"coordinator:a:b", "coordinator:c1\n", "user:x", " machine:" + string(machine)} {
		if p, err := ParsePrincipal(bad); err == nil {
			t.Errorf("%q reads as %v", bad, p)
		}
	}
	if back, ok := DecodeKey(EncodeKey(public)); !ok || !back.Equal(public) {
		t.Error("a key does not come back")
	}
	if _, ok := DecodeKey("AAAA"); ok {
		t.Error("three bytes are a key")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("rl_access_" + zeroSecret)
	f.Add("rl_join_" + zeroSecret + "." + zeroCA)
	f.Add("coordinator:c1")
	f.Add("machine:m-aaaaaaaaaa")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if secret, err := ParseAccessToken(s); err == nil && AccessPrefix+secret != s {
			t.Errorf("%q has another spelling", s)
		}
		if secret, ca, err := ParseJoinToken(s); err == nil && JoinPrefix+secret+"."+ca != s {
			t.Errorf("%q has another spelling", s)
		}
		if p, err := ParsePrincipal(s); err == nil && p.String() != s {
			t.Errorf("%q has another spelling", s)
		}
		if b := MinuteBytes(s, 1, 2, s); b != nil && bytes.Count(b, []byte("\n")) != 5 {
			t.Errorf("%q has %d lines", b, bytes.Count(b, []byte("\n")))
		}
	})
}

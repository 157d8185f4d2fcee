package wallet

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	twin "github.com/gagliardetto/solana-go/base58"
	"pgregory.net/rapid"
)

func key(seed byte) (ed25519.PrivateKey, string) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	return private, Encode(private.Public().(ed25519.PublicKey))
}

func TestBase58AgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{AddressSize, SignatureSize}).Draw(t, "size")
		data := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "data")
		for i := range rapid.IntRange(0, size).Draw(t, "zeros") {
			data[i] = 0
		}
		text := Encode(data)
		if want := twin.Encode(data); text != want {
			t.Fatalf("Encode(%x) = %s, the twin says %s", data, text, want)
		}
		back, err := Decode(text, size)
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("Decode(%s) = %x, %v", text, back, err)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range []string{"", "1", "0OIl", "11111111111111111111111111111111" + "1", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyT", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v ", "JEKNVnkbo3jma5nREBBJCDoXFVeKkD56V3xKrvRmWxFH"} {
		if got, err := Decode(text, AddressSize); err == nil {
			t.Errorf("Decode(%q) = %x", text, got)
		}
	}
	if _, err := Decode("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", AddressSize); err != nil {
		t.Errorf("USDC's mint: %v", err)
	}
}

func TestVerify(t *testing.T) {
	private, address := key(1)
	_, other := key(2)
	sign := func(text string) []byte { return ed25519.Sign(private, []byte(text)) }
	if got := Text("g", "acc", "addr", "n"); got != "raylink wallet v1\ng\nacc\naddr\nn\n" {
		t.Fatalf("Text is %q", got)
	}
	good := sign(Text("group", "acc-1", address, "nonce-nonce-nonce"))
	for _, form := range []string{Encode(good), base64.StdEncoding.EncodeToString(good)} {
		if err := Verify("group", "acc-1", address, "nonce-nonce-nonce", form); err != nil {
			t.Errorf("a good signature: %v", err)
		}
	}
	bad := bytes.Clone(good)
	bad[3] ^= 1
	for name, err := range map[string]error{
		"another group":   Verify("grouq", "acc-1", address, "nonce-nonce-nonce", Encode(good)),
		"another account": Verify("group", "acc-2", address, "nonce-nonce-nonce", Encode(good)),
		"another nonce":   Verify("group", "acc-1", address, "nonce-nonce-nonc2", Encode(good)),
		"another wallet":  Verify("group", "acc-1", other, "nonce-nonce-nonce", Encode(good)),
		"a flipped bit":   Verify("group", "acc-1", address, "nonce-nonce-nonce", Encode(bad)),
		"a short one":     Verify("group", "acc-1", address, "nonce-nonce-nonce", Encode(good[:63])),
		"line breaks":     Verify("group\nacc-1", "acc-1", address, "nonce-nonce-nonce", Encode(good)),
	} {
		if err == nil {
			t.Errorf("%s: verified", name)
		}
	}
}

// For a key of small order the standard library lets forged signatures pass: S = 0 and R one of the small points. We refuse the key.
func TestVerifyRefusesKeysThatAnybodyCanSignFor(t *testing.T) {
	points := []string{
		"0000000000000000000000000000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}
	identity := append([]byte{1}, make([]byte, 63)...) // R is the neutral point, S is zero: good where h*A is neutral
	for _, text := range points {
		point, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		address, forged := Encode(point), ""
		for i := range 1000 {
			nonce := fmt.Sprintf("nonce-nonce-%06d", i)
			if ed25519.Verify(point, []byte(Text("group", "acc-1", address, nonce)), identity) {
				forged = nonce
				break
			}
		}
		if forged == "" {
			t.Errorf("%s: the standard library refuses it, which makes this case pointless", text)
		}
		if Verify("group", "acc-1", address, forged, Encode(identity)) == nil {
			t.Errorf("%s: a forged proof passed", text)
		}
	}
}

func prove(b *Book, now time.Time, account, nonce string, seed byte) error {
	private, address := key(seed)
	if err := b.Challenge(now, account, nonce); err != nil {
		return err
	}
	return b.Prove(now, "group", account, address, nonce, Encode(ed25519.Sign(private, []byte(Text("group", account, address, nonce)))))
}

func TestBook(t *testing.T) {
	now, b := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), NewBook()
	_, address := key(1)
	if err := prove(b, now, "acc-b", "nonce-0000000001", 1); err != nil {
		t.Fatal(err)
	}
	if err := prove(b, now, "acc-a", "nonce-0000000002", 1); err != nil {
		t.Fatal(err)
	}
	if got := b.OwnersOf(address); !reflect.DeepEqual(got, []string{"acc-a", "acc-b"}) || !b.Has("acc-a", address) || b.Has("acc-c", address) {
		t.Errorf("owners %v", got)
	}
	if len(b.Challenges) != 0 {
		t.Errorf("used nonces remain: %v", b.Challenges)
	}
	before, _ := json.Marshal(b)
	private, other := key(2)
	late := Encode(ed25519.Sign(private, []byte(Text("group", "acc-a", other, "nonce-0000000002"))))
	if err := b.Prove(now, "group", "acc-a", other, "nonce-0000000002", late); err == nil {
		t.Error("a used nonce was taken again")
	}
	if after, _ := json.Marshal(b); !bytes.Equal(before, after) {
		t.Error("a refusal changed the book")
	}
	restored := NewBook()
	if err := json.Unmarshal(before, restored); err != nil || !reflect.DeepEqual(restored, b) {
		t.Errorf("restored %+v, %v", restored, err)
	}
	b.Remove("acc-a", address)
	b.Remove("acc-a", address)
	if got := b.OwnersOf(address); !reflect.DeepEqual(got, []string{"acc-b"}) || len(b.Of("acc-a")) != 0 {
		t.Errorf("after removal %v", got)
	}
}

func TestBookLimits(t *testing.T) {
	now, b := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), NewBook()
	for i := range MaxChallenges {
		if err := b.Challenge(now, "acc-a", fmt.Sprintf("nonce-%010d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Challenge(now, "acc-a", "nonce-one-too-many"); err == nil {
		t.Error("one challenge too many")
	}
	if err := b.Challenge(now, "acc-b", "nonce-0000000003"); err == nil {
		t.Error("a nonce given out twice")
	}
	now = now.Add(ChallengeLife)
	private, address := key(1)
	if b.Prove(now, "group", "acc-a", address, "nonce-0000000003", Encode(ed25519.Sign(private, []byte(Text("group", "acc-a", address, "nonce-0000000003"))))) == nil {
		t.Error("an expired nonce was taken")
	}
	for i := range MaxWallets {
		if err := prove(b, now, "acc-a", fmt.Sprintf("later-%010d", i), byte(10+i)); err != nil {
			t.Fatal(err)
		}
	}
	if prove(b, now, "acc-a", "later-and-too-many", 99) == nil {
		t.Error("one wallet too many")
	}
}

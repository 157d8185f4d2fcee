// Package wallet proves that an account's owner holds the key of a Solana wallet: he signs a text that names group, account, address and a
// nonce that the group gave out. Money leaves only to wallets so proven, and a deposit without a reference is known by them.
//
// A program's address has no key, so a proof also says that the address is no program's. The few keys for which anybody can forge a
// signature (points of small order, among them the System program's address) are refused by name.
package wallet

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"raylink/raylink"
)

// Limits of one account, and on the parts of the text.
const (
	MaxWallets    = 10               // proven wallets
	MaxChallenges = 10               // open challenges
	ChallengeLife = 15 * time.Minute // how long a nonce may be signed
	maxPart       = 128              // bytes of a part of the text
)

// Text is what the wallet signs, in bytes as they stand: printable lines that no transaction begins with.
func Text(group, account, address, nonce string) string {
	return fmt.Sprintf("raylink wallet v1\n%s\n%s\n%s\n%s\n", group, account, address, nonce)
}

// Verify says whether signature (base58 or base64 of 64 bytes) is the address's over Text.
func Verify(group, account, address, nonce, signature string) error {
	for _, part := range []string{group, account, address, nonce} {
		if !plain(part) {
			return raylink.Errorf(raylink.CodeInvalid, "%.60q cannot stand in a wallet's proof: 1 to %d visible ASCII characters", part, maxPart)
		}
	}
	key, err := Decode(address, AddressSize)
	if err != nil {
		return fmt.Errorf("reading the wallet's address: %w", err)
	}
	if weak(key) {
		return raylink.Errorf(raylink.CodeInvalid, "%s is not the address of a wallet", address).WithHint("use the address that your wallet shows for receiving")
	}
	raw, err := signatureBytes(signature)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, []byte(Text(group, account, address, nonce)), raw) {
		return raylink.Errorf(raylink.CodeForbidden, "the signature is not that of wallet %s over this text", address).
			WithHint("sign exactly the text shown, with that wallet, as a message and not as a transaction")
	}
	return nil
}

func plain(part string) bool {
	return part != "" && len(part) <= maxPart && !slices.ContainsFunc([]byte(part), func(c byte) bool { return c <= ' ' || c > '~' })
}

func signatureBytes(signature string) ([]byte, error) {
	if raw, err := Decode(signature, SignatureSize); err == nil {
		return raw, nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil || len(raw) != SignatureSize {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the signature is not 64 bytes in base58 or base64")
	}
	return raw, nil
}

// weak says whether the key is a point of small order, in any spelling: for those a signature says nothing. The list is that of all such
// encodings without their sign bit (orders 4, 1, 8, 8, 2, and 0 and 1 again as p and p+1).
func weak(key []byte) bool {
	bare := slices.Clone(key)
	bare[31] &= 0x7f
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		point, err := hex.DecodeString(text)
		if err == nil && bytes.Equal(point, bare) {
			return true
		}
	}
	return false
}

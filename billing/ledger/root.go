package ledger

import (
	"crypto/ed25519"
	"fmt"
)

// The kinds of entry that fix how the journal stood: a checkpoint is signed by the group, an anchor says which transaction carries its memo.
const (
	KindCheckpoint = "checkpoint"
	KindAnchor     = "anchor"
)

// RootLag is how many entries may have followed the one that a checkpoint covers by the time that it is recorded.
const RootLag = 10_000

// Root is how the journal stood after one entry, signed by the group. It is the note of a checkpoint entry, whose ref is the number.
type Root struct {
	Seq       uint64            `json:"seq"`  // of the last entry that it covers
	Hash      string            `json:"hash"` // of that entry, which stands for all before it
	Key       ed25519.PublicKey `json:"key"`
	Signature []byte            `json:"signature"` // by Key over RootBytes
}

// Anchor is the note of an anchor entry, whose ref is the root's number.
type Anchor struct {
	Seq       uint64 `json:"seq"`
	Hash      string `json:"hash"`
	Signature string `json:"signature"` // of the transaction with the memo
}

// RootBytes is what the group signs.
func RootBytes(seq uint64, hash string) []byte {
	return fmt.Appendf(nil, "raylink root v1\n%d\n%s\n", seq, hash)
}

// RootMemo is what stands on the chain for a root: 84 to 92 bytes.
func RootMemo(seq uint64, hash string) string { return fmt.Sprintf("rl:cp:%d:%s", seq, hash) }

// Signed says whether the root carries its key's signature.
func (r Root) Signed() bool {
	return len(r.Key) == ed25519.PublicKeySize && ed25519.Verify(r.Key, RootBytes(r.Seq, r.Hash), r.Signature)
}

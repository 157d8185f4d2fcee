package state

import (
	"slices"
	"strconv"
	"time"

	"raylink/billing/ledger"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// Checkpoint is a signed root of the journal, and the transaction that put it onto the chain.
type Checkpoint struct {
	Seq    uint64
	Hash   string
	Key    string // base64 of the key that signed it: always the group's
	At     time.Time
	Anchor string // signature of the transaction; empty while there is none
}

// RecordCheckpoint records how the journal stood, with the group's signature.
type RecordCheckpoint struct {
	Root ledger.Root `json:"root"`
}

func (*RecordCheckpoint) kind() string { return "checkpoint.record" }

func (c *RecordCheckpoint) apply(s *State) (any, error) {
	stood := s.Ledger.Entries(c.Root.Seq-min(c.Root.Seq, 1), 1)
	head, _ := s.Ledger.Head()
	if c.Root.Seq == 0 || head-min(c.Root.Seq, head) >= ledger.RootLag || len(stood) == 0 || stood[0].Hash != c.Root.Hash || !c.Root.Signed() {
		return nil, raylink.Errorf(raylink.CodeInvalid, "this root is not one of the journal's, or is not signed")
	}
	key := identity.EncodeKey(c.Root.Key)
	if known := s.groupKey(); known != "" && known != key {
		return nil, raylink.Errorf(raylink.CodeForbidden, "this root is signed by another key than what was signed before")
	}
	if last := s.lastCheckpoint(); last != nil && c.Root.Seq <= last.Seq {
		return nil, nil // another leader was faster
	}
	if _, err := s.Ledger.Post(s.Now, ledger.KindCheckpoint, strconv.FormatUint(c.Root.Seq, 10), nil, c.Root); err != nil {
		return nil, refusal(err)
	}
	s.Checkpoints = append(s.Checkpoints, &Checkpoint{Seq: c.Root.Seq, Hash: c.Root.Hash, Key: key, At: s.Now})
	return nil, nil
}

// groupKey is the key that the group signs with, as the log knows it: empty before the first signature.
func (s *State) groupKey() string {
	if last := s.lastCheckpoint(); last != nil {
		return last.Key
	}
	return s.SealKey
}

func (s *State) lastCheckpoint() *Checkpoint {
	if len(s.Checkpoints) == 0 {
		return nil
	}
	return s.Checkpoints[len(s.Checkpoints)-1]
}

// CheckpointDue is the root to be signed now, if one is to be every so often: number and hash of the journal's last entry, if there is something new.
func (s *State) CheckpointDue(now time.Time, every time.Duration) (seq uint64, hash string, due bool) {
	seq, hash = s.Ledger.Head()
	last := s.lastCheckpoint()
	switch {
	case seq == 0:
		return 0, "", false
	case last == nil:
		return seq, hash, now.Sub(s.Ledger.Entries(0, 1)[0].At) >= every
	}
	return seq, hash, now.Sub(last.At) >= every && s.news(last.Seq)
}

// news says whether anything but checkpoints and anchors was added after an entry. There are few of those in a row.
func (s *State) news(seq uint64) bool {
	for {
		page := s.Ledger.Entries(seq, 16)
		if len(page) == 0 {
			return false
		}
		for _, e := range page {
			if seq = e.Seq; e.Kind != ledger.KindCheckpoint && e.Kind != ledger.KindAnchor {
				return true
			}
		}
	}
}

// RecordAnchor records which transaction carries a checkpoint's memo.
type RecordAnchor struct {
	Seq       uint64 `json:"seq"`
	Signature string `json:"signature"`
}

func (*RecordAnchor) kind() string { return "checkpoint.anchor" }

func (c *RecordAnchor) apply(s *State) (any, error) {
	for _, point := range s.Checkpoints {
		if point.Seq != c.Seq {
			continue
		}
		if point.Anchor != "" {
			return nil, nil // one is enough
		}
		if len(c.Signature) < 64 || len(c.Signature) > 96 || !printable(c.Signature) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%.40q is no transaction's signature", c.Signature)
		}
		note := ledger.Anchor{Seq: point.Seq, Hash: point.Hash, Signature: c.Signature}
		if _, err := s.Ledger.Post(s.Now, ledger.KindAnchor, strconv.FormatUint(point.Seq, 10), nil, note); err != nil {
			return nil, refusal(err)
		}
		point.Anchor = c.Signature
		return nil, nil
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no checkpoint %d", c.Seq)
}

// Anchored is the newest checkpoint that is on the chain; nil while there is none.
func (s *State) Anchored() *ledger.Anchor {
	for _, point := range slices.Backward(s.Checkpoints) {
		if point.Anchor != "" {
			return &ledger.Anchor{Seq: point.Seq, Hash: point.Hash, Signature: point.Anchor}
		}
	}
	return nil
}

// Unanchored is the newest checkpoint, if it is not on the chain yet.
func (s *State) Unanchored() *Checkpoint {
	if last := s.lastCheckpoint(); last != nil && last.Anchor == "" && len(s.Deposits.Treasury) > 0 {
		return last
	}
	return nil
}

package state

import (
	"crypto/ed25519"
	"crypto/sha256"
	"unicode/utf8"

	"raylink/billing/meter"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// Word is what a machine or a gateway has said of one minute, with the key that it has to be signed by. It can be compared, so that who has checked a
// word once need not do it again.
type Word struct {
	Key       string // Ed25519, standard base64
	Confirms  bool   // a gateway's
	Lease     raylink.LeaseID
	Ordinal   int64
	Seconds   int
	RayNode   string
	Signature string
}

// Holds says whether the signature is the key's. It costs some 50 µs, nearly all of what a minute costs.
func (w Word) Holds() bool {
	statement := identity.MinuteBytes
	if w.Confirms {
		statement = identity.ConfirmBytes
	}
	key, ok := identity.DecodeKey(w.Key)
	return ok && identity.Verify(key, statement(string(w.Lease), w.Ordinal, w.Seconds, w.RayNode), w.Signature)
}

func believed(Word) bool { return true }

// Counted is a minute without the words that do not count: those that could not be about it whoever signed them, and those that do not hold. If in doubt, the
// user is not charged. Its lease is known.
func (s *State) Counted(m SettleMinute, holds func(Word) bool) SettleMinute {
	if w, ok := s.AgentsWord(m); !ok || !holds(w) {
		m.Agent = nil
	}
	if w, ok := s.GatewaysWord(m); !ok || !holds(w) {
		m.Gateway = nil
	}
	return m
}

// couldBe says whether all the words of a minute could be about it.
func (s *State) couldBe(m SettleMinute) bool {
	c := s.Counted(m, believed)
	return c.Agent == m.Agent && c.Gateway == m.Gateway
}

// AgentsWord is the machine's word about the minute; not ok if there is none, or if it could not be one. The lease is known.
func (s *State) AgentsWord(m SettleMinute) (w Word, ok bool) {
	l := s.Leases[m.Lease]
	if m.Agent == nil || m.Agent.Machine != string(l.Machine) || !plausible(m.Agent.Seconds, m.Agent.RayNode) {
		return Word{}, false
	}
	return Word{Key: s.Machines[l.Machine].PublicKey, Lease: m.Lease, Ordinal: m.Ordinal, Seconds: m.Agent.Seconds, RayNode: m.Agent.RayNode, Signature: m.Agent.Signature}, true
}

// GatewaysWord is the gateway's word about the minute; not ok if there is none, or if it could not be one.
func (s *State) GatewaysWord(m SettleMinute) (w Word, ok bool) {
	if m.Gateway == nil || !plausible(m.Gateway.Seconds, m.Gateway.RayNode) {
		return Word{}, false
	}
	gateway, ok := s.Gateways[raylink.GatewayID(m.Gateway.Gateway)]
	if !ok {
		return Word{}, false
	}
	return Word{Key: gateway.PublicKey, Confirms: true, Lease: m.Lease, Ordinal: m.Ordinal, Seconds: m.Gateway.Seconds, RayNode: m.Gateway.RayNode, Signature: m.Gateway.Signature}, true
}

// plausible bounds what a signature alone does not: a minute has 60 seconds, and the note that carries the word has a limit. What is no UTF-8 would be
// another text after its way through the log.
func plausible(seconds int, rayNode string) bool {
	return seconds >= 0 && seconds <= meter.SecondsPerMinute && len(rayNode) <= MaxName && utf8.ValidString(rayNode)
}

// Sign signs for all the minutes of the command with the group's key: whoever does has checked every word in them.
func (c *SettleMinutes) Sign(key ed25519.PrivateKey) {
	if len(c.Minutes) == 0 {
		return
	}
	root, _ := meter.Tree(c.leaves())
	c.Key = identity.EncodeKey(key.Public().(ed25519.PublicKey))
	c.Signature = identity.Sign(key, meter.SealBytes(len(c.Minutes), root))
}

func (c *SettleMinutes) leaves() [][sha256.Size]byte {
	leaves := make([][sha256.Size]byte, len(c.Minutes))
	for i, m := range c.Minutes {
		leaves[i] = meter.Leaf(string(m.Lease), m.Ordinal, m.Agent, m.Gateway)
	}
	return leaves
}

// seal makes each minute's part of the signature, if that holds: all that can be said of it without the state.
func (c *SettleMinutes) seal() {
	key, ok := identity.DecodeKey(c.Key)
	if c.sealed || !ok || len(c.Minutes) == 0 || len(c.Minutes) > MaxMinutes {
		return
	}
	root, paths := meter.Tree(c.leaves())
	if !identity.Verify(key, meter.SealBytes(len(c.Minutes), root), c.Signature) {
		return
	}
	c.sealed, c.parts = true, make([]meter.Seal, len(c.Minutes))
	for i := range c.parts {
		c.parts[i] = meter.Seal{Place: i, Of: len(c.parts), Path: paths[i], Signature: c.Signature}
	}
}

// seals are the minutes' parts of the group's signature; none for a command without one, which old logs have. Once minutes were signed, all have to be: so that
// a journal shows one time after which each minute bears the coordinators' signature.
func (c *SettleMinutes) seals(s *State) ([]meter.Seal, error) {
	if c.Signature == "" && c.Key == "" {
		if s.SealKey != "" {
			return nil, raylink.Errorf(raylink.CodeForbidden, "these minutes are not signed by a coordinator, and those before are")
		}
		return nil, nil
	}
	if known := s.groupKey(); known != "" && known != c.Key {
		return nil, raylink.Errorf(raylink.CodeForbidden, "these minutes are signed by another key than what was signed before")
	}
	if c.seal(); !c.sealed {
		return nil, raylink.Errorf(raylink.CodeForbidden, "a coordinator's signature under %d minutes does not hold", len(c.Minutes))
	}
	s.SealKey = c.Key
	return c.parts, nil
}

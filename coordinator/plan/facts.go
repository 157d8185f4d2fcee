package plan

import (
	"net/netip"
	"strings"
	"unicode"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
)

// recordBytes is about how much one RecordLeases may hold: it must fit into one entry of the log.
const recordBytes = 256 << 10

// records puts facts into as few commands as may be.
func records(facts []state.LeaseFact) []state.Command {
	var steps []state.Command
	var part []state.LeaseFact
	size := 0
	for _, f := range facts {
		weight := 1 << 10
		if f.Failure != nil { // a character takes up to six bytes in JSON
			weight += 6 * (len(f.Failure.Stage) + len(f.Failure.Reason) + len(f.Failure.Hint))
		}
		if size += weight; size > recordBytes && len(part) > 0 {
			steps = append(steps, &state.RecordLeases{Facts: part})
			part, size = nil, weight
		}
		part = append(part, f)
	}
	if len(part) > 0 {
		steps = append(steps, &state.RecordLeases{Facts: part})
	}
	return steps
}

const maxReason = 2000 // bytes of a supplier's words that enter the log

// trimFailure is a supplier's word about a failure, fit to be kept and to be shown on terminals and pages.
func trimFailure(f *raylink.Failure, m raylink.MachineID) *raylink.Failure {
	if f == nil {
		return nil
	}
	plain := func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}
	cut := func(s string) string { return strings.Map(plain, strings.ToValidUTF8(s[:min(len(s), maxReason)], "?")) }
	return &raylink.Failure{Stage: cut(f.Stage), Machine: m, Reason: cut(f.Reason), Hint: cut(f.Hint)}
}

// reachable says whether an endpoint can be sent to; a zone has a meaning on its own machine only.
func reachable(e netip.AddrPort) bool {
	return e.IsValid() && e.Port() != 0 && !e.Addr().IsUnspecified() && !e.Addr().IsMulticast() && e.Addr().Zone() == ""
}

// keyHolds says whether the identity's owner signed the overlay key for this lease or cluster.
func keyHolds(identityKey, subject, publicKey, signature string) bool {
	key, ok := identity.DecodeKey(identityKey)
	if !ok {
		return false
	}
	if _, err := overlay.ParseKey(publicKey); err != nil {
		return false
	}
	return identity.Verify(key, identity.OverlayKeyBytes(subject, publicKey), signature)
}

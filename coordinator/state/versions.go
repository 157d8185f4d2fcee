package state

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
)

// Versions is the network's policy of minimum versions, as an operator signed it. The zero value asks for nothing.
type Versions struct {
	Minimum  map[string]string `json:"minimum,omitempty"` // by raylink.Version… constants
	SignedAt time.Time         `json:"signed_at,omitzero"`
	Operator string            `json:"operator,omitempty"` // whose key signed, standard base64
}

// versionNames are what a policy may name.
func versionNames() []string {
	return []string{raylink.VersionAgent, raylink.VersionDocker, raylink.VersionKernel, raylink.VersionToolkit, raylink.VersionDriver, raylink.VersionRunc, raylink.VersionRunsc}
}

// SetVersions sets the policy of minimum versions. It counts if one of the operators of the price policy signed it (identity.VersionsBytes) later than the one
// that stands: an old one cannot be sent again.
type SetVersions struct {
	Minimum   map[string]string `json:"minimum"`
	SignedAt  time.Time         `json:"signed_at"`
	Operator  string            `json:"operator"`
	Signature string            `json:"signature"`
}

func (*SetVersions) kind() string { return "policy.versions" }

// signedAhead is how far an operator's clock may be ahead of the group's.
const signedAhead = 5 * time.Minute

func (c *SetVersions) apply(s *State) (any, error) {
	for name, least := range c.Minimum {
		if !slices.Contains(versionNames(), name) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "a policy of versions names no %.40q", name).WithHint("there are %v", versionNames())
		}
		if _, ok := raylink.ParseVersion(least); !ok || len(least) > MaxName || !printable(least) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%.40q is no version of %s", least, name).WithHint("write numbers with dots, such as 6.1.0")
		}
	}
	key, ok := identity.DecodeKey(c.Operator)
	if !ok || !slices.Contains(s.Prices.Policy.Operators, c.Operator) || !identity.Verify(key, identity.VersionsBytes(c.Minimum, c.SignedAt), c.Signature) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "no operator of this network has signed these versions").WithHint("`raylink admin price key FILE` makes an operator's key known")
	}
	if !c.SignedAt.After(s.Versions.SignedAt) || c.SignedAt.After(s.Now.Add(signedAhead)) {
		return nil, raylink.Errorf(raylink.CodeConflict, "these versions were signed at %s, the ones that stand at %s", c.SignedAt.Format(time.RFC3339), s.Versions.SignedAt.Format(time.RFC3339)).
			WithHint("sign them again, with a clock that is right")
	}
	s.Versions = Versions{Minimum: maps.Clone(c.Minimum), SignedAt: c.SignedAt.UTC(), Operator: c.Operator}
	return nil, nil
}

// Below says, in words, which version of a host is below the policy and what is needed; empty where none is. A host that has not been told of is below every
// policy that asks for anything. What a machine does not have it need not have a version of: runsc without the tier gvisor, driver and toolkit without a GPU
// of NVIDIA. The engine's parts (docker, runc, toolkit) do not count where leases run without it, old ones that lie there unused neither.
func (v Versions) Below(h *raylink.Host) string {
	for _, name := range slices.Sorted(maps.Keys(v.Minimum)) {
		least := v.Minimum[name]
		if h == nil {
			return fmt.Sprintf("%s is not known, %s is needed", name, least)
		}
		if unused(h, name) {
			continue
		}
		have, told := h.Versions[name]
		if !told || have == "" {
			if spared(h, name) {
				continue
			}
			return fmt.Sprintf("%s is not known, %s is needed", name, least)
		}
		got, ok := raylink.ParseVersion(have)
		if !ok {
			return fmt.Sprintf("%s %.40s cannot be read, %s is needed", name, have, least)
		}
		if want, _ := raylink.ParseVersion(least); got.Compare(want) < 0 {
			return fmt.Sprintf("%s %.40s is older than %s", name, have, least)
		}
	}
	return ""
}

// unused says whether nothing of a tenant's ever meets that part of the machine.
func unused(h *raylink.Host, name string) bool {
	return h.Runtime == raylink.RuntimeProcess && (name == raylink.VersionDocker || name == raylink.VersionRunc || name == raylink.VersionToolkit)
}

// spared says whether the machine has nothing of which that would be the version.
func spared(h *raylink.Host, name string) bool {
	switch name {
	case raylink.VersionRunsc:
		return !slices.Contains(h.Isolation, raylink.IsolationGVisor)
	case raylink.VersionDriver, raylink.VersionToolkit:
		return !slices.ContainsFunc(h.Devices, func(d raylink.Device) bool { return d.Kind == raylink.DeviceGPU && d.Vendor == "nvidia" })
	}
	return false
}

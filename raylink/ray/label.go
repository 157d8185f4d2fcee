package ray

import (
	"fmt"
	"strings"

	"raylink/raylink"
)

// Labels that Raylink puts on every Ray node, for label_selector and for its own reading of Ray's view.
const (
	LabelAccelerator = "ray.io/accelerator-type" // Ray's own; given by us, because Ray reads "GeForce RTX 4090" as G
	LabelArch        = raylink.LabelArch
	LabelMachine     = raylink.LabelMachine
	LabelProcessor   = raylink.LabelProcessor
	LabelGroup       = "raylink.io/group"
	LabelLease       = "raylink.io/lease"
	labelNodeID      = "ray.io/node-id"
	labelNodeGroup   = "ray.io/node-group" // Ray's own, of the group that a node is started for
)

// ReservedLabel says that a user may not set the label: it is Raylink's word, or Ray's own.
func ReservedLabel(key string) bool {
	return key == labelNodeID || strings.HasPrefix(key, "raylink.io/")
}

// OwnersLabel says that a machine's owner may set the label: of Ray's own he says where the machine is and how it is sold (ray.io/availability-zone and the
// like), not what it is, nor which group of a tenant's it is a node of.
func OwnersLabel(key string) bool {
	return !ReservedLabel(key) && key != LabelAccelerator && key != labelNodeGroup
}

// ValidLabel says why key=value is no label of Ray's, which follows Kubernetes' syntax, or nil.
func ValidLabel(key, value string) error {
	name := key
	if i := strings.LastIndexByte(key, '/'); i >= 0 {
		prefix := key[:i]
		name = key[i+1:]
		if len(prefix) > 253 {
			return fmt.Errorf("label %q: the prefix is longer than 253 characters", key)
		}
		for part := range strings.SplitSeq(prefix, ".") {
			if !labelWord(part) {
				return fmt.Errorf("label %q: the prefix before / must be a DNS name", key)
			}
		}
	}
	if !labelWord(name) {
		return fmt.Errorf("label %q: a name has 1 to 63 of a-z A-Z 0-9 - _ . and begins and ends with a letter or digit", key)
	}
	if value != "" && !labelWord(value) {
		return fmt.Errorf("label %s: value %q must have up to 63 of a-z A-Z 0-9 - _ . and begin and end with a letter or digit", key, value)
	}
	return nil
}

func labelWord(s string) bool {
	if len(s) == 0 || len(s) > 63 || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.' {
			return false
		}
	}
	return true
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// ParseLabels reads the option "labels", "k=v,k2=v2".
func ParseLabels(value string) (map[string]string, error) {
	out := map[string]string{}
	value = strings.Trim(value, `"' `)
	if value == "" {
		return out, nil
	}
	for pair := range strings.SplitSeq(value, ",") {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(v, "=") {
			return nil, fmt.Errorf("%q is not key=value", pair)
		}
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if err := ValidLabel(k, v); err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

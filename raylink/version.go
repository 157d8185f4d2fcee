package raylink

import (
	"cmp"
	"strings"
)

// Version is a version as it can be compared: its numbers, and whether it comes before the release that they name.
type Version struct {
	numbers []int64
	before  bool // a release candidate, beta, alpha or the like
}

// maxNumber is the greatest part of a version: dates such as 20240807 fit, and nothing overflows.
const maxNumber = 1 << 40

// ParseVersion reads a version as its maker, or a distribution, writes it: 6.1.0-28-amd64, 5:27.3.1-1~debian.12~bookworm, v1.1.12, "runc version 1.1.12",
// release-20240807.0, 1.17.0~rc1. It begins with the first digit behind an epoch; what follows the numbers is the distributor's own and does not count,
// but for a mark of a pre-release. ok is false where there is no number.
func ParseVersion(text string) (v Version, ok bool) {
	if i := strings.IndexByte(text, ':'); i > 0 && strings.Trim(text[:i], "0123456789") == "" {
		text = text[i+1:]
	}
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return Version{}, false
	}
	text = text[start:]
	for {
		n, digits := int64(0), 0
		for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
			if n = n*10 + int64(text[digits]-'0'); n > maxNumber {
				return Version{}, false
			}
			digits++
		}
		v.numbers = append(v.numbers, n)
		text = text[digits:]
		if len(text) < 2 || text[0] != '.' || text[1] < '0' || text[1] > '9' {
			break
		}
		text = text[1:]
	}
	rest := strings.ToLower(strings.TrimLeft(text, "-~.+_"))
	for _, mark := range []string{"rc", "beta", "alpha", "dev", "pre"} {
		v.before = v.before || strings.HasPrefix(rest, mark)
	}
	return v, true
}

// Compare is -1, 0 or 1 as v is older than w, the same, or newer. Numbers that are missing are 0; a pre-release is older than its release.
func (v Version) Compare(w Version) int {
	for i := range max(len(v.numbers), len(w.numbers)) {
		var a, b int64
		if i < len(v.numbers) {
			a = v.numbers[i]
		}
		if i < len(w.numbers) {
			b = w.numbers[i]
		}
		if a != b {
			return cmp.Compare(a, b)
		}
	}
	if v.before != w.before {
		if v.before {
			return -1
		}
		return 1
	}
	return 0
}

//go:build darwin

package device

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// sysctl reads the running system. Apple's names are texts or numbers of 4 or 8 bytes, and only the length tells which.
func sysctl() func(name string) (string, bool) {
	return func(name string) (string, bool) {
		raw, err := unix.SysctlRaw(name)
		if err != nil {
			return "", false
		}
		switch {
		case textual(name):
			for len(raw) > 0 && raw[len(raw)-1] == 0 {
				raw = raw[:len(raw)-1]
			}
			return string(raw), true
		case len(raw) == 8:
			v, err := unix.SysctlUint64(name)
			return strconv.FormatUint(v, 10), err == nil
		case len(raw) == 4:
			v, err := unix.SysctlUint32(name)
			return strconv.FormatUint(uint64(v), 10), err == nil
		}
		return "", false
	}
}

func textual(name string) bool {
	return name == "machdep.cpu.brand_string" || name == "kern.osproductversion" || name == "kern.osrelease"
}

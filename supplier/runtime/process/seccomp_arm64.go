//go:build linux

package process

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// refusedHere are the refused calls that only arm64 has: none.
func refusedHere() []uint32 { return nil }

//go:build !linux

package devnet

import "syscall"

// endWithParent does nothing here: only Linux knows such a thing.
func endWithParent(*syscall.SysProcAttr) {}

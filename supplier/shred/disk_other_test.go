//go:build !linux

package shred

import "testing"

func hold(*testing.T, ...string) {}

//go:build !darwin

package device

// sysctl is macOS's.
func sysctl() func(name string) (string, bool) { return nil }

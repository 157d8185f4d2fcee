//go:build !linux

package doctor

// alone finds nothing: leases run on Linux only, and the finding on the system says so.
func (*Facts) alone(Ask) {}

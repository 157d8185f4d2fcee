//go:build !(cgo && linux)

package cuda

// open has no way to the driver in this build.
func open(uuid string) (gpu, error) {
	if _, err := parseUUID(uuid); err != nil {
		return nil, err
	}
	return nil, errBuild()
}

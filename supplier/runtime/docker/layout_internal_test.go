package docker

import (
	"testing"

	"raylink/supplier/runtime"
)

// TestLayoutIsOfThisMachinesIds: the lease's directories belong to the ids of the machine, so the container is made with those, whatever the engine maps.
// `DOCKER_HOST=unix://… RAYLINK_REAL=1 go test -run TestSandbox` on an engine with userns-remap has it for real.
func TestLayoutIsOfThisMachinesIds(t *testing.T) {
	config, host := layout(runtime.Spec{Dir: "/d"}, "{}")
	if !host.UsernsMode.IsHost() || config.User != "1000:1000" || host.IpcMode != "private" || len(host.CapAdd) > 0 || host.Privileged {
		t.Errorf("%+v, user %s", host, config.User)
	}
}

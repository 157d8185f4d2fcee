package docker

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// TestWhatIsOverwritten: the paths that an engine names are overwritten only where they are what the engine made for this container.
func TestWhatIsOverwritten(t *testing.T) {
	id, name := strings.Repeat("0a", 32), strings.Repeat("b1", 32)
	volume := container.MountPoint{Type: mount.TypeVolume, Name: name, Driver: "local", Source: "/var/lib/docker/volumes/" + name + "/_data"}
	if !ownVolume(volume) {
		t.Error("a volume that an image declares is not")
	}
	for what, change := range map[string]func(*container.MountPoint){
		"a bind":                              func(m *container.MountPoint) { m.Type = mount.TypeBind },
		"a volume with a name":                func(m *container.MountPoint) { m.Name, m.Source = "data", "/var/lib/docker/volumes/data/_data" },
		"a driver's volume":                   func(m *container.MountPoint) { m.Driver = "nfs" },
		"a volume elsewhere":                  func(m *container.MountPoint) { m.Source = "/srv/models" },
		"a volume under another one's name":   func(m *container.MountPoint) { m.Source = "/var/lib/docker/volumes/" + id + "/_data" },
		"a volume whose path is nothing":      func(m *container.MountPoint) { m.Source = "" },
		"a volume whose path leads who knows": func(m *container.MountPoint) { m.Source = "volumes/" + name + "/_data" },
	} {
		other := volume
		if change(&other); ownVolume(other) {
			t.Errorf("%s is: %+v", what, other)
		}
	}
	for path, own := range map[string]bool{
		"/var/lib/docker/containers/" + id + "/" + id + "-json.log":           true,
		"/srv/docker/100000.100000/containers/" + id + "/" + id + "-json.log": true,
		"/var/lib/docker/containers/" + name + "/" + name + "-json.log":       false,
		"/var/log/syslog": false, "": false, "containers/" + id + "/" + id + "-json.log": false,
	} {
		if ownLog(path, id) != own {
			t.Errorf("%q is the container's log: %v", path, !own)
		}
	}
}

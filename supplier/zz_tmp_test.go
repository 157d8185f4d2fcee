package supplier

import (
	"os/exec"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/ray"
)

func TestTmpRay(t *testing.T) {
	w := newRealWorld(t, 7)
	mk := func(want raylink.Want) {
		orders := w.order(want)
		for i := range orders {
			role := orders[i].Role
			n := ray.Node{Cluster: "first", Lease: orders[i].Lease, Machine: w.machine, Role: role, Address: address(orders[i].Lease), Head: address(head),
				Group: raylink.NodeGroup{Name: "g", Replicas: 1, Resources: raylink.Resources{CPU: raylink.Unit, Memory: 2 << 30}}, Arch: "amd64"}
			orders[i].Command, orders[i].Env = ray.Command(n), ray.Environment(n)
			orders[i].Limits = raylink.Resources{CPU: raylink.Unit, Memory: 2 << 30}
			orders[i].RayToken = "0123456789abcdef0123456789abcdef0123456789abcdef"
		}
		w.coordinator.order(orders...)
	}
	mk(raylink.WantMesh)
	w.stage(raylink.StageMesh)
	mk(raylink.WantPreflight)
	w.stage(raylink.StagePreflight)
	mk(raylink.WantRun)
	w.stage(raylink.StageRunning)
	list := func(n string) func() bool {
		return func() bool {
			out, _ := exec.Command("docker", "exec", "-e", "RAY_AUTH_MODE=token", "-e", "RAY_AUTH_TOKEN_PATH=/raylink/token", "raylink-"+string(head), "sh", "-c",
				"ray list nodes 2>/dev/null | grep -c ALIVE").CombinedOutput()
			return string(out) == n+"\n"
		}
	}
	w.within(60*time.Second, "two alive", list("2"))
	exec.Command("docker", "kill", "raylink-"+string(head)).Run()
	w.within(20*time.Second, "head again", func() bool { return w.coordinator.lease(head).Restarts == 1 && w.coordinator.lease(head).Stage == raylink.StageRunning })
	w.within(60*time.Second, "two alive again", list("2"))
	out, _ := exec.Command("sh", "-c", "docker logs raylink-"+string(head)+" 2>&1 | tail -5; ls -la "+w.dir+"/leases/*/node "+w.dir+"/leases/*/node/gcs").CombinedOutput()
	t.Logf("%s", out)
}

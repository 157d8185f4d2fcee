package ray

import "raylink/raylink"

// patientStart is `ray start` for a processor that is emulated, where what others do in a second takes a minute. Ray 2.60 has two limits in its code, with
// no setting: the raylet ends itself when its agents have not written the files with their ports within 15 s (node_manager.cc, WaitForPersistedPort),
// and `ray start` gives up on a raylet that has not registered within 30 s (node.py, raylet_start_wait_time_s). The ports are pinned here, so their files
// are written beforehand; and the raylet is waited for four minutes.
const patientStart = `import inspect, time
import ray._private.services as services
import ray._raylet as raylet
from ray.scripts.scripts import main
look, start = services.get_node, services.start_raylet
def get_node(*args, **kwargs):
    end = time.monotonic() + 240
    while True:
        try:
            return look(*args, **kwargs)
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(1)
def start_raylet(*args, **kwargs):
    said = inspect.signature(start).bind(*args, **kwargs).arguments
    for name in (raylet.METRICS_AGENT_PORT_NAME, raylet.METRICS_EXPORT_PORT_NAME, raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME, raylet.RUNTIME_ENV_AGENT_PORT_NAME):
        raylet.persist_port(said["session_dir"], said["node_id"], name, said[name])
    return start(*args, **kwargs)
services.get_node, services.start_raylet = get_node, start_raylet
main()`

// program is what starts Ray on the node: Ray's own command, except where the processor is emulated.
func (n Node) program() []string {
	if n.Labels[raylink.LabelEmulated] != "" {
		return []string{"python", "-c", patientStart, "start"}
	}
	return []string{"ray", "start"}
}

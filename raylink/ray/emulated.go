package ray

import "raylink/raylink"

// patientStart is `ray start` that waits four minutes for the raylet to register instead of the 30 s that Ray 2.60 has in its code (node.py's
// raylet_start_wait_time_s, with no setting): an emulated processor on a busy machine needs more, and Ray would give up on a raylet that is about to
// be there.
const patientStart = `import time
import ray._private.services as services
from ray.scripts.scripts import main
once = services.get_node
def patiently(*args, **kwargs):
    end = time.monotonic() + 240
    while True:
        try:
            return once(*args, **kwargs)
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(1)
services.get_node = patiently
main()`

// program is what starts Ray on the node: Ray's own command, except where the processor is emulated.
func (n Node) program() []string {
	if n.Labels[raylink.LabelEmulated] != "" {
		return []string{"python", "-c", patientStart, "start"}
	}
	return []string{"ray", "start"}
}

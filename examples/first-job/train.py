"""A first job: it shows that the cluster is real, and says so in one line a second.

1. a task runs on every node, chosen by the node's label;
2. a 200 MB object made on the node labelled side=left is read on side=right;
3. two workers train a logistic regression together, averaging their gradients, until the time is up.

A detached actor on side=left remembers how far the training came; ask.py asks it later, from another job.
The exit code is 1 if any of this does not hold.
"""

import argparse
import platform
import sys
import time

import numpy as np
import ray

SIDES = ("left", "right")
OBJECT_MB = 200
FEATURES = 24
ROWS = 20_000
STEPS_PER_EPOCH = 5


def check(holds, words):
    """Ends the job with words if something that must hold does not."""
    if not holds:
        sys.exit(f"train.py: {words}")


@ray.remote(num_cpus=0)
def where():
    """What the node says about itself: host name, architecture and Ray labels."""
    context = ray.get_runtime_context()
    return platform.node(), platform.machine(), context.get_node_labels(), context.get_node_id()


@ray.remote(num_cpus=0)
def produce(megabytes):
    """An array of the given size whose sum is known."""
    return np.arange(megabytes * 1_000_000 // 8, dtype=np.int64)


@ray.remote(num_cpus=0)
def warm():
    """Starts a worker process, so that its start is not counted as transfer."""
    return True


@ray.remote(num_cpus=0)
def consume(boxed):
    """Fetches the object from the node that holds it; seconds, bytes and sum."""
    start = time.monotonic()
    values = ray.get(boxed[0])
    seconds = time.monotonic() - start
    return seconds, values.nbytes, int(values.sum())


@ray.remote(num_cpus=0.5)
class Trainer:
    """One half of the data; it never leaves its node."""

    def __init__(self, seed):
        truth = np.random.default_rng(7).normal(size=FEATURES)
        rng = np.random.default_rng(seed)
        scale = np.geomspace(1.0, 0.05, FEATURES)  # slow directions, so that there is always something left to learn
        self.x = rng.normal(size=(ROWS, FEATURES)) * scale
        noise = rng.logistic(size=ROWS) * 0.3
        self.y = (self.x @ (4 * truth) + noise > 0).astype(float)

    def gradient(self, weights):
        """Loss and gradient of this half at weights."""
        z = self.x @ weights
        p = 1 / (1 + np.exp(-z))
        loss = np.mean(np.logaddexp(0, z) - self.y * z)
        return float(loss), self.x.T @ (p - self.y) / ROWS


@ray.remote(num_cpus=0)
class Keeper:
    """Outlives the job: remembers how many epochs it was told of, and the last loss."""

    def __init__(self):
        self.epochs = 0
        self.loss = None
        self.since = time.time()

    def remember(self, loss):
        self.epochs += 1
        self.loss = loss
        return self.epochs

    def recall(self):
        node = ray.get_runtime_context().get_node_labels().get("side", "?")
        return {"epochs": self.epochs, "loss": self.loss, "side": node, "age": time.time() - self.since}


def on(side):
    """Options that put a task or an actor on the node with this label."""
    return {"label_selector": {"side": side}}


def visit_nodes():
    nodes = [n for n in ray.nodes() if n["Alive"]]
    found = set()
    for node in nodes:
        selector = {"ray.io/node-id": node["NodeID"]}
        host, machine, labels, node_id = ray.get(where.options(label_selector=selector).remote(), timeout=120)
        check(node_id == node["NodeID"], f"a task for node {node['NodeID'][:8]} ran on {node_id[:8]}")
        own = {k: v for k, v in sorted(labels.items()) if k != "ray.io/node-id"}
        print(f"node {node['NodeManagerAddress']:<15} {host:<16} {machine}  {own}")
        found.add(labels.get("side"))
    missing = [s for s in SIDES if s not in found]
    check(not missing, f"no living node carries the label side={' or side='.join(missing)}")


def move_object():
    ray.get([warm.options(**on(s)).remote() for s in SIDES], timeout=120)
    ref = produce.options(**on("left")).remote(OBJECT_MB)
    ray.wait([ref], fetch_local=False, timeout=120)
    seconds, size, total = ray.get(consume.options(**on("right")).remote([ref]), timeout=300)
    count = size // 8
    check(size == OBJECT_MB * 1_000_000, f"{size} bytes arrived")
    check(total == count * (count - 1) // 2, "the object arrived changed")
    print(f"object of {OBJECT_MB} MB made on left, read on right: {seconds:.2f} s, {size / 1e6 / max(seconds, 1e-9):.0f} MB/s")


def train(seconds, keeper):
    """Trains for at least that many seconds; the first and the last loss."""
    trainers = [Trainer.options(**on(s)).remote(i) for i, s in enumerate(SIDES)]
    weights = np.zeros(FEATURES)
    first = loss = None
    start = time.monotonic()
    epoch = 0
    while epoch < 5 or time.monotonic() - start < seconds:
        begun = time.monotonic()
        for _ in range(STEPS_PER_EPOCH):
            answers = ray.get([t.gradient.remote(weights) for t in trainers])
            loss = sum(a[0] for a in answers) / len(answers)
            first = loss if first is None else first
            weights = weights - 0.5 * sum(a[1] for a in answers) / len(answers)
        epoch += 1
        known = ray.get(keeper.remember.remote(loss))
        print(f"epoch {epoch:>4}  loss {loss:.6f}  {time.monotonic() - start:6.1f} s  keeper knows {known}", flush=True)
        if seconds > 0:
            time.sleep(max(0.0, 1.0 - (time.monotonic() - begun)))
    return first, loss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="train for at least so long (default 20)")
    args = parser.parse_args()
    ray.init(namespace="demo")
    print(f"train.py: Ray {ray.__version__}, Python {platform.python_version()}")
    visit_nodes()
    move_object()
    keeper = Keeper.options(name="keeper", lifetime="detached", get_if_exists=True, **on("left")).remote()
    first, last = train(args.seconds, keeper)
    check(last < 0.9 * first, f"the loss did not fall: {first:.4f} -> {last:.4f}")
    print(f"train.py: done, loss {first:.4f} -> {last:.4f}", flush=True)


if __name__ == "__main__":
    main()

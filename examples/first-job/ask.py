"""A second job: asks the detached actor that train.py left behind what it remembers. Exit code 1 if there is none."""

import sys

import ray


def main():
    ray.init(namespace="demo")
    try:
        keeper = ray.get_actor("keeper")
        memory = ray.get(keeper.recall.remote(), timeout=90)
    except (ValueError, ray.exceptions.RayError) as e:
        sys.exit(f"ask.py: nobody named keeper answers: {e}")
    if not memory["epochs"]:
        sys.exit("ask.py: the keeper remembers nothing")
    print(
        f"ask.py: the keeper on {memory['side']} is {memory['age']:.0f} s old and remembers "
        f"{memory['epochs']} epochs, last loss {memory['loss']:.6f}",
        flush=True,
    )


if __name__ == "__main__":
    main()

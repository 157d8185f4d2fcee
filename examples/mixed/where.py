"""Asks a task, placed by the label that Raylink gives every node, what processor it runs on."""

import platform

import ray


@ray.remote(label_selector={"raylink.io/arch": "arm64"})
def where():
    return platform.machine()


ray.init()
print("where.py: the driver runs on", platform.machine())
print("where.py: the task runs on", ray.get(where.remote()))

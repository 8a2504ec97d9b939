"""Writ: authority for field devices that travels with the traffic.

A sensor author needs `writ.Node`, `writ.coap` for methods and codes, and `writ.errors`.
"""

from .compat import save_heap


class Node:
    """Where a sensor begins: `node = writ.Node.load("/writ")`; what it gives is an `agent.Node`."""

    @staticmethod
    def load(directory="/writ"):
        """The node whose config.json and records are in `directory`."""
        save_heap()
        # only now, so that a tool that wants one module does not load the whole agent
        from .agent import Node as Agent

        return Agent.load(directory)


def __getattr__(name):
    # `from writ import coap`: an app's one path to it. On a device the linker flattens folders
    # (tools/shrink.py), so `writ.coap` is a module there and this function is left out.
    if name == "coap":
        from .wire import coap

        return coap
    raise AttributeError(name)

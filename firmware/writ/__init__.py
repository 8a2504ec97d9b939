"""Writ: authority for field devices that travels with the traffic.

A sensor author needs only `writ.Node`; everything else is imported from its module.
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

"""Writ: authority for field devices that travels with the traffic.

The API for an app is `writ.Node`, `writ.coap` (methods, codes, `code_text`) and `writ.errors`.
"""

from .compat import MICROPYTHON, save_heap


class Node:
    """The start of an app: `node = writ.Node.load("/node")` gives an `agent.Node`."""

    @staticmethod
    def load(directory="/node"):
        """The node whose config.json and records are in `directory`."""
        save_heap()
        # imported here, so that a tool that needs one module does not load the whole agent
        from .agent import Node as Agent

        return Agent.load(directory)


def __getattr__(name):
    # for `from writ import coap` in an app. On a device `writ.coap` is a module, since the linker
    # flattens folders (build/shrink.py), and this function is left out
    if name == "coap":
        from .wire import coap

        return coap
    if MICROPYTHON:
        # there an AttributeError ends `from .. import cbor`; the submodule is not looked for
        import sys

        __import__(__name__ + "." + name)
        return sys.modules[__name__ + "." + name]
    raise AttributeError(name)

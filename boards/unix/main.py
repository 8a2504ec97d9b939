"""A node on the unix port of MicroPython (or on CPython): main.py DIRECTORY [console].

DIRECTORY holds config.json and the node's records. Besides the common keys (docs/wire.md),
config.json may have "serve" (sensors.py) and "ask": {"soil/load": 2}, resources of other nodes with
the period of reading in seconds. With "sleep_s" a member sleeps for so long, again and again. With
`console`, the program reads commands from stdin (console.py) and ends with it.
"""

import json
import os
import sys

from writ.compat import save_heap

save_heap()

from writ.agent import Node  # noqa: E402, I001 - the large pieces of the heap first
from writ.errors import WritError  # noqa: E402
from writ.authority.store import FileFlash, Store  # noqa: E402

import console  # noqa: E402
import sensors  # noqa: E402


class Flash(FileFlash):
    """A folder as flash. `cut`: None, or the record whose next write a power failure interrupts."""

    cut = None

    def write(self, name, data):
        """Replace the file's content, or half of it in a power failure."""
        if self.cut and name.startswith(self.cut + "."):
            FileFlash.write(self, name, data[: len(data) // 2])
            # end at once: no event is printed, no file is flushed or closed
            os.system("kill -9 $PPID")
        FileFlash.write(self, name, data)


class Board(Node):
    """A node that prints each new epoch."""

    epoch = 0  # that was printed last

    def step(self, wait_ms=1000):
        """See `Node`."""
        Node.step(self, wait_ms)
        epoch = self.authority.epoch
        if epoch != self.epoch:
            self.epoch = epoch
            peers = [one.peer.name for one in self.sessions if one.seen_epoch >= epoch]
            console.emit("epoch", epoch=epoch, peers=peers)


def main(directory, lines):
    """Serve until `lines` end; without `lines`, serve for ever."""
    # MicroPython creates files that all users can read: the folder keeps them out
    os.system("chmod 700 '" + directory + "'")
    flash = Flash(directory)
    with open(directory + "/config.json") as handle:
        config = json.load(handle)
    node = Board(Store(flash), config)
    sensors.setup(node)
    node.open()
    node.epoch = node.authority.epoch
    console.emit("start", name=node.name, epoch=node.epoch, text=sys.implementation.name)
    asks = config.get("ask", {})
    due_ms = dict.fromkeys(asks, 0)
    while True:
        step(node)
        try:
            for target in asks:
                if node.authority.policy and node.now_ms >= due_ms[target]:
                    due_ms[target] = node.now_ms + 1000 * asks[target]
                    console.call(node, "get", target)
            line = lines and next(lines)
            if line:
                console.command(node, flash, line)
        except StopIteration:
            return
        except WritError as error:
            # for example a name that is unknown here
            console.emit("error", text=str(error) or type(error).__name__)


def step(node):
    """Serve for a moment. A member with "sleep_s" does what is due, and sleeps."""
    # a node that is no member yet can be asked for its request at any time
    if not (node.config.get("sleep_s") and node.authority.me):
        return node.step(100)
    node.sleep()
    return console.emit("awake")


if __name__ == "__main__":
    main(sys.argv[1], console.lines() if "console" in sys.argv[2:] else None)

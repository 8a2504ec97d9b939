"""A node on the unix port of MicroPython (or on CPython): main.py DIRECTORY [console].

DIRECTORY holds config.json, and the node's records. Beside what every node knows (docs/guide.md)
config.json may have "serve" (sensors.py) and "ask": {"soil/load": 2}, what to read each so many
seconds. With `console`, stdin takes commands (console.py), and its end ends the process.
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
    """A folder as flash. `cut`: None, or the record in whose next write the power is cut."""

    cut = None

    def write(self, name, data):
        """Replace the file's content; half of it only, where the power is cut."""
        if self.cut and name.startswith(self.cut + "."):
            FileFlash.write(self, name, data[: len(data) // 2])
            # nothing is told, flushed or closed
            os.system("kill -9 $PPID")
        FileFlash.write(self, name, data)


def main(directory, lines):
    """Serve; until `lines` end, where there are any."""
    flash = Flash(directory)
    with open(directory + "/config.json") as handle:
        config = json.load(handle)
    node = Node(Store(flash), config)
    sensors.setup(node)
    node.open()
    epoch = node.authority.epoch
    console.tell("start", name=node.name, epoch=epoch, text=sys.implementation.name)
    asks = config.get("ask", {})
    due_ms = dict.fromkeys(asks, 0)
    while True:
        node.step(100)
        if node.authority.epoch != epoch:
            epoch = node.authority.epoch
            peers = [one.peer.name for one in node.sessions if one.seen_epoch >= epoch]
            console.tell("epoch", epoch=epoch, peers=peers)
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
            # such as a name that nobody has told of yet
            console.tell("error", text=str(error) or type(error).__name__)


if __name__ == "__main__":
    main(sys.argv[1], console.lines() if "console" in sys.argv[2:] else None)

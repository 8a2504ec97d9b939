"""A process that spools readings and is killed: each line it prints is durable by then.

python spool_writer.py PATH COMMITS: commit n adds the readings n.0 to n.2 of topic t and removes
the oldest one that is there. It prints "added N ID..." and "removed ID" after the commit.
"""

import sys
from pathlib import Path

from writ_host.bridge.spool import Spool


def main(path: str, commits: int) -> None:
    """Write until the last commit, or until the process is killed."""
    spool = Spool(Path(path), 1 << 20, 3600)
    last = spool.after(0, 1_000_000)
    number = int(last[-1].payload.partition(b".")[0]) + 1 if last else 0
    for n in range(number, number + commits):
        for i in range(3):
            spool.add("t", b"%d.%d" % (n, i), False, 1)
        oldest = spool.after(0, 1)
        for message in oldest:
            spool.remove(message.id)
        spool.commit(1)
        for message in oldest:
            print("removed", message.payload.decode(), flush=True)
        print("added", n, flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""The reaper: a process that ends whatever the tests have started when pytest ends or is killed.

It knows the processes of a run by a variable in their environment, which children of children
inherit too. Linux only: it reads /proc.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

# Not WRIT_..., since the tests remove such variables (demo/loopback.py).
VARIABLE = "TEST_RUN_OF_WRIT"
_POLL_S = 0.2
# Processes may start others while they are ended.
_ROUNDS_MAX = 20


def start() -> None:
    """Start the reaper of this process, unless a process above has one."""
    if VARIABLE in os.environ or not Path("/proc/self/environ").exists():
        return
    command = [sys.executable, "-S", __file__, str(os.getpid())]
    tag = secrets.token_hex(8)
    # its own session, so that Ctrl-C does not end it
    subprocess.Popen([*command, tag], stdin=subprocess.DEVNULL, start_new_session=True)
    os.environ[VARIABLE] = tag


def clean_environment() -> dict[str, str]:
    """The environment for a process that must outlive pytest."""
    return {key: value for key, value in os.environ.items() if key != VARIABLE}


def find(entry: str) -> list[int]:
    """The ids of other processes with "NAME=value" in the environment that they started with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            # another user's, or gone
            continue
        if entry.encode() in entries and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def _main(parent: int, tag: str) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    for _ in range(_ROUNDS_MAX):
        left = find(f"{VARIABLE}={tag}")
        if not left:
            return
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_POLL_S)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])

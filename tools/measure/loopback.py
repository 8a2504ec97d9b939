"""Ports and environments for the processes that are measured."""

import contextlib
import itertools
import os
import socket

HOST = "127.0.0.1"


# Below those that systems give to whoever asks for any, so that nobody is given one in the time
# between the choice and its use. Each process chooses from a block of its own, and none twice.
_FIRST, _BLOCK, _BLOCKS = 10000, 400, 25
_chosen = itertools.count()


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at this moment, neither for TCP nor for UDP."""
    first = _FIRST + os.getpid() % _BLOCKS * _BLOCK
    found: list[int] = []
    while len(found) < count:
        port = first + next(_chosen) % _BLOCK
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            held.enter_context(socket.create_server((HOST, port)))
            datagrams = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            datagrams.bind((HOST, port))
            found.append(port)
    return found


def environment(**settings: str) -> dict[str, str]:
    """This process' environment with these settings, and without what would change a node."""
    dropped = ("PYTHONPATH", "MICROPYPATH", "WRIT_CRYPTO", "WRIT_LIMITS")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}

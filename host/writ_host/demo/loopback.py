"""Ports on the loopback interface, and environments, for processes that demos and tests start."""

import contextlib
import itertools
import os
import socket

HOST = "127.0.0.1"

# The range lies below the ephemeral ports of common systems, so that no other program is given a
# port between its choice and its use. Each process chooses from a block of its own, no port twice.
_FIRST, _BLOCK, _BLOCKS = 10000, 400, 55
_chosen = itertools.count()


def free_ports(count: int) -> list[int]:
    """Return `count` ports that are free at this moment, for TCP and for UDP."""
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


def free_address() -> str:
    """Return "host:port" of one port as of `free_ports`."""
    return f"{HOST}:{free_ports(1)[0]}"


def clean_environment(**settings: str) -> dict[str, str]:
    """Return this process' environment with `settings`, without variables that alter a node."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "MICROPYPATH") and not key.startswith("WRIT_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}

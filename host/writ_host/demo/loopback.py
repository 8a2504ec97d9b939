"""Ports on the loopback interface, and environments, for processes that demos and tests start."""

import contextlib
import errno
import os
import socket
import threading

from ..errors import HostError

HOST = "127.0.0.1"

# The range lies below the ephemeral ports of common systems, so that no other program is given a
# port between its choice and its use. A process chooses from a block that no other process has.
_FIRST, _BLOCK, _BLOCKS = 10000, 200, 110


class NoFreePorts(HostError):
    """Other processes use each block of ports."""

    advice = "End other demonstrations and test runs of Writ on this machine, then try again."


class _Block:
    """The ports that this process chooses from; no other process chooses from them meanwhile.

    The lock of a block is its first port: a UDP socket is bound to it until the process ends. It
    holds for all users, also with another TMPDIR, as far as the ports themselves are shared.
    Raises `NoFreePorts`.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._count = 0  # ports tried so far
        for number in range(_BLOCKS):
            self._first = _FIRST + (self.pid + number) % _BLOCKS * _BLOCK
            lock = _bound(self._first)
            if lock is None:
                continue
            # a port in use belongs to a process whose chooser has ended, or to a foreign program
            if all(map(_is_free, range(self._first + 1, self._first + _BLOCK))):
                self._lock = lock
                return
            lock.close()
        last = _FIRST + _BLOCKS * _BLOCK - 1
        raise NoFreePorts(f"no {_BLOCK} ports in a row are free between {_FIRST} and {last}")

    def next(self) -> int:
        """The next port that is free, each in turn. Raises `NoFreePorts`."""
        for _ in range(_BLOCK - 1):
            port = self._first + 1 + self._count % (_BLOCK - 1)
            self._count += 1
            if _is_free(port):
                return port
        raise NoFreePorts(f"all {_BLOCK} ports from {self._first} are in use by this process")


_guard = threading.Lock()
_block: _Block | None = None


def free_ports(count: int) -> list[int]:
    """Return `count` ports that are free at this moment, for TCP and for UDP.

    No other process is given them while this one runs. Raises `NoFreePorts`.
    """
    global _block
    with _guard:
        if _block is None or _block.pid != os.getpid():
            # a forked process must not choose the ports that its parent chooses
            _block = _Block()
        return [_block.next() for _ in range(count)]


def free_address() -> str:
    """Return "host:port" of one port as of `free_ports`."""
    return f"{HOST}:{free_ports(1)[0]}"


def _bound(port: int) -> socket.socket | None:
    """A UDP socket bound to the port; None where another socket is."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.bind((HOST, port))
    except OSError as error:
        made.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return made


def _is_free(port: int) -> bool:
    with contextlib.ExitStack() as held:
        datagrams = _bound(port)
        if datagrams is None:
            return False
        held.enter_context(datagrams)
        try:
            held.enter_context(socket.create_server((HOST, port)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def clean_environment(**settings: str) -> dict[str, str]:
    """Return this process' environment with `settings`, without variables that alter a node."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "MICROPYPATH") and not key.startswith("WRIT_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}

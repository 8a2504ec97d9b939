"""The address check: whether this machine still has the address of a governor's sockets.

A lease of DHCP that ends takes the address away. The socket stays bound to it, nothing arrives any
more, and no system call fails.
"""

import errno
import socket

from .folder import own_host

CHECK_MS = 10_000
ANY_HOST = "0.0.0.0"


class AddressCheck:
    """host: the numeric local address of the sockets. problem: a text while it is gone, else ""."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._due_ms = 0
        self.problem = ""

    def tick(self, now_ms: int) -> str:
        """What has changed since the last call, as a line for the log; "" for nothing."""
        if self._host == ANY_HOST or now_ms < self._due_ms:
            return ""
        self._due_ms = now_ms + CHECK_MS
        before, self.problem = self.problem, "" if _is_local(self._host) else self._describe()
        if bool(before) == bool(self.problem):
            return ""
        return self.problem or f"this machine has the address {self._host} again"

    def _describe(self) -> str:
        now = own_host()
        return (
            f"this machine no longer has the address {self._host} (it has {now}): other governors"
            f' and devices do not reach this governor. bind = "{ANY_HOST}" in governor.toml'
            " survives a change of address; the peers find a governor that moved when it sends"
        )


def _is_local(host: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True

"""The address check: whether this machine still has the address of a node's or governor's sockets.

A lease of DHCP that ends takes the address away. The socket stays bound to it, nothing arrives any
more, and no system call fails. Once the address is back, the same socket receives again.
"""

import errno
import socket

from .. import inet

CHECK_MS = 10_000


class AddressCheck:
    """host: the numeric local address of the sockets; advice: which setting survives a change.

    problem: a text while the address is gone, else "".
    """

    def __init__(self, host: str, advice: str) -> None:
        self._host = host
        self._advice = advice
        self._due_ms = 0
        self._is_any = inet.parse(host).is_unspecified
        self.problem = ""

    def tick(self, now_ms: int) -> str:
        """What has changed since the last call, as a line for the log; "" for nothing."""
        if self._is_any or now_ms < self._due_ms:
            return ""
        self._due_ms = now_ms + CHECK_MS
        before, self.problem = self.problem, "" if _is_local(self._host) else self._describe()
        if bool(before) == bool(self.problem):
            return ""
        return self.problem or f"this machine has the address {self._host} again"

    def _describe(self) -> str:
        now = inet.own_host()
        return (
            f"this machine no longer has the address {self._host} (it has {now}): nothing reaches"
            f" this program until the address is back. {self._advice}"
        )


def _is_local(host: str) -> bool:
    try:
        family, address = inet.look_up(host, 0)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True

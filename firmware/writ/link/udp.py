"""UDP over IPv4 as a link: addresses are "192.0.2.7:5683" strings. For IPv6 see udp6.py.

No host name is looked up, except to bind: a silent name server would hold up the node for half a
minute, peers may name any host, and answers come from a numeric address.
"""

import select
import socket

from ..limits import DATAGRAM_BYTES_MAX, LINK_ADDRESSES_MAX


def split(address):
    """("host", port) of "host:port", or of "host" with port 5683. Raises `ValueError`.

    An IPv6 address has a port here, and keeps its brackets: ("[2001:db8::1]", 5683).
    """
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "5683")
    port = int(port)
    if not 0 <= port < 65536:
        raise ValueError("port")
    return host, port


def is_numeric(address):
    """Whether "host:port" has an IPv4 address, no host name. Raises `ValueError`."""
    numbers = split(address)[0].split(".")
    return len(numbers) == 4 and all(one.isdigit() and int(one) < 256 for one in numbers)


class UdpLink:
    """A bound socket. `receive` waits a limited time for one datagram."""

    def __init__(self, listen="0.0.0.0:5683", family=socket.AF_INET):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(self.sockaddr(listen))
        self.socket.setblocking(False)
        self.sockets = [self.socket]  # those to wait for
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        self._cache = {}

    def sockaddr(self, address):
        """What the socket takes for "host:port"; looks a host name up. Raises `OSError`."""
        host, port = split(address)
        return socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][-1]

    def receive(self, timeout_ms):
        """(datagram, address) or None."""
        if timeout_ms and not self._poll.poll(timeout_ms):
            return None
        try:
            data, source = self.socket.recvfrom(DATAGRAM_BYTES_MAX + 1)
        except OSError:
            # nothing there, or an ICMP error of an earlier datagram; the message layer retransmits
            return None
        address = self.text(source)
        self._remember(address, source)
        return data, address

    def _remember(self, address, sockaddr):
        if address not in self._cache:
            if len(self._cache) >= LINK_ADDRESSES_MAX:
                self._cache.clear()
            self._cache[address] = sockaddr

    def text(self, source):
        """The "host:port" of what the socket gave."""
        # the unix port of MicroPython gives a raw sockaddr
        if isinstance(source, tuple):
            return "%s:%d" % (source[0], source[1])
        return "%d.%d.%d.%d:%d" % (
            source[4],
            source[5],
            source[6],
            source[7],
            source[2] << 8 | source[3],
        )

    def can_send(self, address):
        """Whether the address is one of this link's, and no host name. Raises `ValueError`."""
        return is_numeric(address)

    def send(self, address, data):
        """Send one datagram; it is lost if it cannot be sent now, as on any radio."""
        sockaddr = self._cache.get(address)
        try:
            if sockaddr is None:
                if not self.can_send(address):
                    return
                sockaddr = self.sockaddr(address)
                self._remember(address, sockaddr)
            self.socket.sendto(data, sockaddr)
        except (OSError, ValueError):
            pass

    def port(self):
        """The local port (CPython only: MicroPython has no getsockname)."""
        return self.socket.getsockname()[1]

    def close(self):
        """Close the socket."""
        self.socket.close()

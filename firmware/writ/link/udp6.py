"""UDP over IPv6 and IPv4 as a link, for a node that listens at "[::]:5683" or another IPv6 address.

Addresses are "[2001:db8::1]:5683" strings, and "192.0.2.7:5683" for IPv4 through the same socket
(RFC 4038, section 4.2). A link-local address has its zone: "[fe80::1%2]:5683" (RFC 4007, section
11). Loaded where `listen` asks for it: boards whose sockets know IPv4 only never need it.
"""

import socket

from . import udp
from .udp import UdpLink, split

_MAPPED = "::ffff:"


def is_numeric(address):
    """Whether "[host]:port" has an IPv6 address, as RFC 5952 writes it. Raises `ValueError`.

    The source of an answer is written like that, and must be the same text.
    """
    host = split(address)[0]
    if host[:1] != "[" or host[-1] != "]":
        return False
    host = host[1:-1].partition("%")[0]
    kind = socket.AF_INET6
    try:
        return socket.inet_ntop(kind, socket.inet_pton(kind, host)) == host and not is_mapped(host)
    except OSError:
        return False


def is_mapped(host):
    """Whether `host` is an IPv4 address in the form of an IPv6 one (RFC 4291, section 2.5.5.2)."""
    return host[:7] == _MAPPED and "." in host


class Udp6Link(UdpLink):
    """As `UdpLink`, with an IPv6 socket that carries IPv4 too."""

    def __init__(self, listen="[::]:5683"):
        UdpLink.__init__(self, listen, socket.AF_INET6)

    def sockaddr(self, address):
        """As `UdpLink.sockaddr`, of either kind of address."""
        host, port = split(address)
        host = host[1:-1] if host[:1] == "[" else _MAPPED + host
        return socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_DGRAM)[0][-1]

    def text(self, source):
        """As `UdpLink.text`; an IPv4 address has no brackets."""
        if isinstance(source, tuple):
            host, port, _, zone = source
        else:
            # the unix port of MicroPython gives a raw sockaddr_in6
            host = socket.inet_ntop(socket.AF_INET6, source[8:24])
            port = source[2] << 8 | source[3]
            zone = int.from_bytes(source[24:28], "little")
        if is_mapped(host):
            return "%s:%d" % (host[7:], port)
        if zone:
            host += "%%%d" % zone
        return "[%s]:%d" % (host, port)

    def can_send(self, address):
        """As `UdpLink.can_send`, for either kind of address."""
        return is_numeric(address) or udp.is_numeric(address)

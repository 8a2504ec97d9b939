"""Membership of a link's socket in the groups of all CoAP nodes (RFC 7252, section 12.8).

Loaded for a node with "discoverable" in config.json. MicroPython's boards join the IPv4 group on
their network interface; the numbers for IPv6 are those of Linux, as the unix port has none.
"""

import socket

from ..compat import const

_IPPROTO_IP = const(0)
_IPPROTO_IPV6 = const(41)
_IPV6_JOIN_GROUP = const(20)
# 224.0.1.187, then any interface
_GROUP = b"\xe0\x00\x01\xbb\x00\x00\x00\x00"
# ff02::fd and ff05::fd without their second byte, which is the scope of the group
_LAST = b"\xfd" + bytes(4)


def join(link, has_ipv6):
    """Let `link` (a `UdpLink`) receive requests to the groups. Raises `OSError`."""
    link.socket.setsockopt(_IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _GROUP)
    if has_ipv6:
        for reach in (2, 5):
            request = bytes((255, reach)) + bytes(13) + _LAST
            link.socket.setsockopt(_IPPROTO_IPV6, _IPV6_JOIN_GROUP, request)

"""The UDP link of nodes and governors on hosts, which have several addresses.

1. An answer leaves from the address that was asked: `send` uses the one to which the newest
   datagram from there came (IP_PKTINFO; IPV6_RECVPKTINFO, RFC 3542, section 6). The kernel would
   use the first address of the interface, and the asker would not know the answer.
2. "[::]:5683" serves IPv6 and IPv4 through one socket; "0.0.0.0:5683" IPv4 only.
3. A datagram to a group goes out on every interface that can multicast.
4. A member of the groups of all CoAP nodes receives on its own socket if that is bound to every
   address and the group's port, else on sockets of their own. `is_group` tells of the last datagram
   whether it came to a group, or to a broadcast address.

Packet info and groups are implemented for Linux. Elsewhere the kernel chooses the source address.
"""

import contextlib
import errno
import ipaddress
import select
import socket
import struct
import sys
from typing import Any

from writ.limits import DATAGRAM_BYTES_MAX, LINK_ADDRESSES_MAX
from writ.node.finder import GROUPS

from .. import inet

GROUP_PORT = inet.split(GROUPS[0])[1]
_GROUPS4 = [inet.split(group)[0] for group in GROUPS if not group.startswith("[")]
_GROUPS6 = [inet.split(group)[0] for group in GROUPS if group.startswith("[")]
# Linux's own numbers: Python 3.11 has no names for them.
_IP_PKTINFO = 8
_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_MULTICAST = 0x1, 0x1000
_PKTINFO4 = struct.Struct("=i4s4s")  # struct in_pktinfo: interface, local address, destination
_PKTINFO6 = struct.Struct("=16sI")  # struct in6_pktinfo: destination, interface
_IS_LINUX = sys.platform == "linux"
_CONTROL_BYTES = socket.CMSG_SPACE(_PKTINFO4.size) + socket.CMSG_SPACE(_PKTINFO6.size)

Control = tuple[int, int, bytes]


def multicast_interfaces() -> list[int]:
    """The numbers of the interfaces that are up and can multicast. Raises `OSError`."""
    import fcntl

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for number, name in socket.if_nameindex():
            request = struct.pack("40s", name.encode())
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, request)
                flags = struct.unpack_from("=H", answer, 16)[0]
                if flags & _IFF_UP and flags & _IFF_MULTICAST:
                    found.append(number)
    return found


class HostUdpLink:
    """A bound socket, as `writ.link.udp.UdpLink`. Raises `OSError`.

    listen: "host:port"; size: of the largest datagram that is received whole. host: the local
    address, numeric; is_group: whether the last datagram came to a group.
    """

    def __init__(self, listen: str, size: int = DATAGRAM_BYTES_MAX + 1) -> None:
        self.is_group = False
        self._size = size
        self._poll = select.poll()
        # address -> what `sendmsg` needs to answer from the address that was asked; the least
        # recently used first
        self._asked: dict[str, list[Control]] = {}
        host, port = inet.split(listen)
        self._family, address = inet.look_up(host, port)
        self.host: str = address[0]
        self.socket = self._open(self._family, address)
        self.sockets = [self.socket]  # those to wait for
        self._groups: list[tuple[socket.socket, socket.AddressFamily, str]] = []

    def _open(
        self, family: socket.AddressFamily, address: Any, is_shared: bool = False
    ) -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if is_shared:
                # every node of this machine receives what comes to a group
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(is_shared))
            if family == socket.AF_INET6 and _IS_LINUX:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            if _IS_LINUX:
                made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            made.bind(address)
            made.setblocking(False)
        except OSError:
            made.close()
            raise
        self._poll.register(made, select.POLLIN)
        return made

    def port(self) -> int:
        """The local port."""
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        """Close the sockets."""
        for one in self.sockets:
            one.close()

    # --- groups -----------------------------------------------------------------------------------

    def join_groups(self) -> None:
        """Receive requests to the groups of all CoAP nodes (RFC 7252, section 12.8).

        Call it again for interfaces that have come since. Raises `OSError` if another process has
        the groups' port for itself.
        """
        if not _IS_LINUX:
            raise OSError(errno.EOPNOTSUPP, "discovery needs Linux")
        if not self._groups:
            self._open_groups()
        for one, family, group in self._groups:
            self._join(one, family, group)

    def _open_groups(self) -> None:
        is_any = ipaddress.ip_address(self.host).is_unspecified
        has_all = is_any and self.port() == GROUP_PORT
        groups = []
        if self._family == socket.AF_INET or is_any:
            groups += [(socket.AF_INET, group) for group in _GROUPS4]
        if self._family == socket.AF_INET6:
            groups += [(socket.AF_INET6, group) for group in _GROUPS6]
        if has_all:
            self._groups = [(self.socket, family, group) for family, group in groups]
            return
        opened = []
        try:
            for family, group in groups:
                # a link-local group has a socket for each interface, which tells it by its zone
                for zone in multicast_interfaces() if group.startswith("ff02") else [0]:
                    address = (group, GROUP_PORT, 0, zone) if zone else (group, GROUP_PORT)
                    made = self._open(family, address, is_shared=True)
                    opened.append((made, family, group))
        except OSError:
            for made, _, _ in opened:
                self._poll.unregister(made)
                made.close()
            raise
        self._groups = opened
        self.sockets += [made for made, _, _ in opened]

    def _join(self, one: socket.socket, family: socket.AddressFamily, group: str) -> None:
        packed = socket.inet_pton(family, group)
        for number in multicast_interfaces():
            # one that is joined already, or without an address of this kind
            with contextlib.suppress(OSError):
                if family == socket.AF_INET6:
                    request = packed + struct.pack("=I", number)
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
                else:
                    # struct ip_mreqn
                    request = packed + bytes(4) + struct.pack("=i", number)
                    one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    # --- receiving --------------------------------------------------------------------------------

    def receive(self, timeout_ms: int) -> tuple[bytes, str] | None:
        """(datagram, address) or None, after at most `timeout_ms`."""
        if timeout_ms and not self._poll.poll(timeout_ms):
            return None
        for one in self.sockets:
            try:
                if not _IS_LINUX:
                    data, source = one.recvfrom(self._size)
                    return data, inet.text(source)
                data, control, _, source = one.recvmsg(self._size, _CONTROL_BYTES)
            except OSError:
                # nothing there, or an ICMP error of an earlier datagram
                continue
            address = inet.text(source)
            asked = _reply_control(control)
            self.is_group = one is not self.socket or asked is None
            if asked and not self.is_group:
                self._remember(address, asked)
            return data, address
        return None

    def _remember(self, address: str, asked: list[Control]) -> None:
        self._asked.pop(address, None)
        if len(self._asked) >= LINK_ADDRESSES_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[address] = asked

    # --- sending ----------------------------------------------------------------------------------

    def send(self, address: str, data: bytes) -> None:
        """Send one datagram; it is lost if it cannot be sent now, as on any radio.

        No host name is looked up.
        """
        try:
            host, port = inet.split(address)
            found = inet.parse(host)
        except ValueError:
            return
        target: Any = (host, port)
        if self._family == socket.AF_INET6:
            target = self._target6(host, found, port)
        elif found.version == 6:
            return
        if target is None:
            return
        if found.is_multicast and _IS_LINUX:
            self._send_to_group(found, target, data)
            return
        asked = self._asked.get(address)
        if asked:
            try:
                self.socket.sendmsg([data], asked, 0, target)
                return
            except OSError:
                # the address that was asked is gone, perhaps: a peer knows this node by its key
                del self._asked[address]
        with contextlib.suppress(OSError):
            self.socket.sendto(data, target)

    def _target6(
        self, host: str, found: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
    ) -> tuple[str, int, int, int] | None:
        """The socket address of an IPv6 socket; None for a zone that this machine has not."""
        if found.version == 4:
            return f"::ffff:{found}", port, 0, 0
        host, _, zone = host.partition("%")
        number = 0
        if zone.isascii() and zone.isdecimal() and len(zone) < 10:
            number = int(zone)
        elif zone:
            try:
                number = socket.if_nametoindex(zone)
            except (OSError, ValueError):
                return None
        return host, port, 0, number

    def _send_to_group(
        self, found: ipaddress.IPv4Address | ipaddress.IPv6Address, target: Any, data: bytes
    ) -> None:
        numbers: list[int] = []
        with contextlib.suppress(OSError):
            numbers = multicast_interfaces()
        for number in numbers:
            if found.version == 4:
                info = _PKTINFO4.pack(number, bytes(4), bytes(4))
                control = (socket.IPPROTO_IP, _IP_PKTINFO, info)
            else:
                info = _PKTINFO6.pack(bytes(16), number)
                control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)
            # an interface without an address of this kind
            with contextlib.suppress(OSError):
                self.socket.sendmsg([data], [control], 0, target)


def _reply_control(received: list[Control]) -> list[Control] | None:
    """What lets an answer leave from the address that was asked; None for a group's datagram."""
    for level, kind, data in received:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, destination = _PKTINFO4.unpack_from(data)
            if local != destination:
                return None
            return [(level, kind, _PKTINFO4.pack(0, local, bytes(4)))]
    for level, kind, data in received:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            destination, _ = _PKTINFO6.unpack_from(data)
            if destination[0] == 0xFF:
                return None
            return [(level, kind, _PKTINFO6.pack(destination, 0))]
    return []

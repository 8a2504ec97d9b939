"""IPv4 and IPv6 addresses of UDP endpoints as text: "192.0.2.7:5683" and "[2001:db8::7]:5683".

An address has one form, since answers are matched by it: IPv6 as RFC 5952 writes it, and an IPv4
address that is mapped into IPv6 as IPv4. A link-local address has its zone: "[fe80::7%2]:5683".
"""

import contextlib
import ipaddress
import socket
from typing import Any

from writ.link import udp

ANY4, ANY6 = "0.0.0.0", "::"


def split(address: str) -> tuple[str, int]:
    """(host, port) of "host:port", or of "host" with CoAP's port.

    An IPv6 address loses its brackets. Raises `ValueError`.
    """
    host, port = udp.split(f"{address}:5683" if address.endswith("]") else address)
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    if ":" in host or "[" in host:
        raise ValueError("an IPv6 address needs brackets")
    return host, port


def join(host: str, port: int) -> str:
    """ "host:port", with brackets for an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that `host` is, without brackets. Raises `ValueError` for a name."""
    found = ipaddress.ip_address(host)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_numeric(address: str) -> bool:
    """Whether the host of "host:port" is an IPv4 address, or an IPv6 address in brackets."""
    try:
        parse(split(address)[0])
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether "host:port" has a loopback address."""
    try:
        return parse(split(address)[0]).is_loopback
    except ValueError:
        return address.startswith("localhost:")


def has_ipv6() -> bool:
    """Whether this machine can open IPv6 sockets."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((ANY6, 0))
    except OSError:
        return False
    return True


def any_address(port: int = 0) -> str:
    """Every address of this machine, of both kinds if it has IPv6, for a socket that calls."""
    return join(ANY6 if has_ipv6() else ANY4, port)


def look_up(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """(family, socket address) of a host to bind; IPv4 first for a name. Raises `OSError`.

    It waits for the name server.
    """
    try:
        family = socket.AF_INET6 if parse(host).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
    return family, found[0][-1]


def own_host() -> str:
    """This machine's address on its default route, IPv4 if it has one. No packet is sent."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"


def text(source: Any) -> str:
    """The "host:port" of what a socket gave."""
    host, port = source[0], source[1]
    if ":" not in host:
        return f"{host}:{port}"
    if host.startswith("::ffff:") and "." in host:
        return f"{host[7:]}:{port}"
    zone = f"%{source[3]}" if len(source) > 3 and source[3] and "%" not in host else ""
    return f"[{host}{zone}]:{port}"

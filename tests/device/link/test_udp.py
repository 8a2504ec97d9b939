"""The UDP link on the loopback: it sends to IPv4 addresses, and looks up no host name."""

import socket

from harness import raises

from writ.link import udp
from writ.link.udp import UdpLink, is_numeric


class Lookups:
    """In the place of the module `socket`: notes what is looked up."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        return getattr(socket, name)

    def getaddrinfo(self, host, *more):
        """As socket's, noted."""
        self.asked.append(host)
        return socket.getaddrinfo(host, *more)


def opened():
    """(link, its address) on a free port."""
    for port in range(21000, 22000):
        address = "127.0.0.1:%d" % port
        try:
            return UdpLink(address), address
        except OSError:
            pass
    raise AssertionError("no free port")


def test_a_datagram_arrives_from_a_numeric_address():
    (here, own), (there, address) = opened(), opened()
    here.send(address, b"hello")
    assert there.receive(2000) == (b"hello", own)
    here.close()
    there.close()


def test_a_host_name_that_a_peer_gave_is_not_looked_up():
    (here, _), (there, address) = opened(), opened()
    port = address.split(":")[1]
    udp.socket = found = Lookups()
    try:
        for name in ("localhost:" + port, "slow.invalid", "1.2.3.4.5:1", "1.2.3.999:1", "", "a:b"):
            here.send(name, b"lost")
        here.send(address, b"hello")
    finally:
        udp.socket = socket
    assert found.asked == ["127.0.0.1"]
    assert there.receive(2000)[0] == b"hello"
    here.close()
    there.close()


def test_only_four_numbers_are_an_ipv4_address():
    assert is_numeric("127.0.0.1:5683") and is_numeric("10.0.0.255")
    for name in ("localhost:1", "1.2.3:4", "1.2.3.256:4", "1.2.3.4.5:6", "a.b.c.d", "-1.2.3.4:5"):
        assert not is_numeric(name)
    raises(ValueError, is_numeric, "10.0.0.1:99999")


def test_an_ipv6_address_is_split_with_its_brackets():
    assert udp.split("[2001:db8::1]:7") == ("[2001:db8::1]", 7)
    for wrong in ("[::1]", "[::1]:", "[::1]:x", "::1:99999"):
        raises(ValueError, udp.split, wrong)


def test_a_link_for_ipv4_sends_nothing_to_ipv6():
    here, _ = opened()
    udp.socket = found = Lookups()
    try:
        for name in ("[::1]:5683", "[::1]", "[::ffff:127.0.0.1]:5683"):
            here.send(name, b"lost")
    finally:
        udp.socket = socket
    assert found.asked == []
    here.close()

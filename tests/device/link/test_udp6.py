"""The UDP link over IPv6 on the loopback; IPv4 goes through the same socket."""

import socket

from harness import raises

from writ.link import udp6
from writ.link.udp import UdpLink
from writ.link.udp6 import Udp6Link, is_numeric


def has_ipv6():
    """Whether this machine has the loopback address of IPv6."""
    try:
        opened(Udp6Link, "[::1]")[0].close()
    except OSError:
        return False
    return True


def opened(kind, host):
    """(link, its port) on a free port. Raises `OSError`."""
    for port in range(22000, 23000):
        try:
            return kind("%s:%d" % (host, port)), port
        except OSError as error:
            last = error
    raise last


def test_a_datagram_arrives_from_an_address_in_brackets():
    if not has_ipv6():
        return
    (here, own), (there, port) = opened(Udp6Link, "[::1]"), opened(Udp6Link, "[::1]")
    here.send("[::1]:%d" % port, b"hello")
    data, source = there.receive(2000)
    assert (data, source) == (b"hello", "[::1]:%d" % own)
    there.send(source, b"hello too")
    assert here.receive(2000) == (b"hello too", "[::1]:%d" % port)
    here.close()
    there.close()


def test_ipv4_peers_are_reached_through_the_same_socket():
    if not has_ipv6():
        return
    (both, port), (plain, own) = opened(Udp6Link, "[::]"), opened(UdpLink, "127.0.0.1")
    plain.send("127.0.0.1:%d" % port, b"hello")
    assert both.receive(2000) == (b"hello", "127.0.0.1:%d" % own)
    both.send("127.0.0.1:%d" % own, b"answer")
    assert plain.receive(2000) == (b"answer", "127.0.0.1:%d" % port)
    # one that has sent nothing yet
    both.send("127.0.0.1", b"lost")
    both.close()
    plain.close()


def test_a_link_local_address_has_its_zone():
    if not has_ipv6():
        return
    link, _ = opened(Udp6Link, "[::1]")
    for address in ("[fe80::1%1]:5683", "[2001:db8::1]:5683", "192.0.2.7:5683"):
        assert link.text(link.sockaddr(address)) == address
    link.close()


def test_no_host_name_is_looked_up():
    class Lookups:
        def __getattr__(self, name):
            return getattr(socket, name)

        def getaddrinfo(self, *what):
            raise AssertionError(what)

    if not has_ipv6():
        return
    here, _ = opened(Udp6Link, "[::1]")
    udp6.socket = Lookups()
    try:
        for name in ("localhost:1", "[localhost]:1", "[a:b]:1", "[::1%]x:1", "", "[", "[]", "a:b"):
            here.send(name, b"lost")
    finally:
        udp6.socket = socket
    here.close()


def test_only_brackets_make_an_ipv6_address():
    for name in ("[::1]:5683", "[2001:db8::7]:1", "[fe80::1%2]:1", "[fe80::1%eth0]:1"):
        assert is_numeric(name)
    for name in (
        "127.0.0.1:5",
        "localhost:1",
        "[127.0.0.1]:1",
        "[a]:1",
        "[]:1",
        "[::1",
        "[1::2::3]:1",
        # other forms of an address, which no answer comes from
        "[::ffff:10.0.0.1]:1",
        "[2001:DB8::7]:1",
        "[0:0::1]:1",
    ):
        try:
            assert not is_numeric(name), name
        except ValueError:
            # of the port
            assert name == "[::1"
    raises(ValueError, is_numeric, "[::1]:99999")

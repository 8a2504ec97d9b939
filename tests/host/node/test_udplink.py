"""The UDP link of hosts: source addresses, both kinds of IP, and no look-ups. On the loopback."""

import socket
from collections.abc import Iterator

import pytest

from writ_host import inet
from writ_host.node import udplink
from writ_host.node.udplink import HostUdpLink

needs_ipv6 = pytest.mark.skipif(not inet.has_ipv6(), reason="this machine has no IPv6")


def on_loopback6() -> bool:
    """Whether ::1 is there: a container may have IPv6 sockets and no address."""
    try:
        HostUdpLink("[::1]:0").close()
    except OSError:
        return False
    return True


needs_loopback6 = pytest.mark.skipif(not on_loopback6(), reason="no ::1 on this machine")


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def echo(link: HostUdpLink) -> str:
    """Answer one datagram; its source."""
    found = link.receive(5000)
    assert found
    link.send(found[1], found[0])
    return found[1]


@pytest.mark.parametrize("listen", ["0.0.0.0:0", pytest.param("[::]:0", marks=needs_ipv6)])
def test_an_answer_leaves_from_the_address_that_was_asked(
    listen: str, client: socket.socket
) -> None:
    link = HostUdpLink(listen)
    try:
        for host in ("127.0.0.1", "127.0.0.7", "127.9.0.1", "127.0.0.7"):
            client.sendto(b"hello", (host, link.port()))
            assert echo(link) == inet.text(client.getsockname())
            assert client.recvfrom(64) == (b"hello", (host, link.port()))
        # later messages, such as notifications, too
        link.send(inet.text(client.getsockname()), b"news")
        assert client.recvfrom(64) == (b"news", ("127.0.0.7", link.port()))
        assert not link.is_group
    finally:
        link.close()


def test_a_peer_that_was_not_heard_gets_what_the_kernel_chooses(client: socket.socket) -> None:
    link = HostUdpLink("127.0.0.5:0")
    link.send(inet.text(client.getsockname()), b"hello")
    assert client.recvfrom(64)[1] == ("127.0.0.5", link.port())
    link.close()


@needs_loopback6
def test_ipv6_and_ipv4_share_a_socket(client: socket.socket) -> None:
    link = HostUdpLink("[::]:0")
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
            other.bind(("::1", 0))
            other.settimeout(5)
            other.sendto(b"hello", ("::1", link.port()))
            assert echo(link) == f"[::1]:{other.getsockname()[1]}"
            assert other.recvfrom(64)[1][:2] == ("::1", link.port())
        link.send(inet.text(client.getsockname()), b"to an address that was not heard")
        assert client.recvfrom(64)[0].startswith(b"to an")
    finally:
        link.close()


def test_nothing_is_looked_up_and_nothing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [HostUdpLink("127.0.0.1:0")]
    if on_loopback6():
        links.append(HostUdpLink("[::1]:0"))

    def refuse(*_: object) -> None:
        raise AssertionError("a look-up")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    wrong = ["", ":", "localhost:1", "slow.invalid", "1.2.3.999:1", "[x]:1", "[]:1", "[fe80::1%]:1"]
    wrong += ["[fe80::1%nope]:1", "[fe80::1%99999999999999]:1", "[fe80::1%a\0b]:1", "::1", "[::1]"]
    wrong += ["1.2.3.4:99999", "[2001:db8::1]:9", "203.0.113.1:9"]
    for link in links:
        for address in wrong:
            link.send(address, b"lost")
        link.close()


def test_the_table_of_sources_is_bounded(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udplink, "LINK_ADDRESSES_MAX", 4)
    link = HostUdpLink("0.0.0.0:0")
    client.sendto(b"hello", ("127.0.0.7", link.port()))
    assert link.receive(5000)
    for _ in range(12):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"flood", ("127.0.0.1", link.port()))
            assert link.receive(5000)
        # a sender that is heard again is not the oldest
        client.sendto(b"hello", ("127.0.0.7", link.port()))
        assert link.receive(5000)
    assert len(link._asked) == 4
    link.send(inet.text(client.getsockname()), b"news")
    assert client.recvfrom(64)[1][0] == "127.0.0.7"
    link.close()


def test_a_port_that_another_process_has_is_reported_and_tried_again() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind(("0.0.0.0", udplink.GROUP_PORT))
        except OSError:
            pytest.skip("a node of this machine has the port")
        link = HostUdpLink("127.0.0.1:0")
        with pytest.raises(OSError):
            link.join_groups()
        # nothing of it is left to wait for
        assert link.sockets == [link.socket] and link.receive(1) is None
    link.join_groups()
    assert len(link.sockets) == 2
    link.join_groups()
    assert len(link.sockets) == 2
    link.close()

"""Attacks on the peer transport: strangers, impostors, replays."""

import pytest
from peering_rig import KEYS, PRIVATES, Net, address, numbered

from writ.errors import UsageError
from writ_host.governor.peering import (
    frames,
    handshake,
)
from writ_host.governor.peering.transport import PeerTransport


def test_a_peer_removed_is_cut_off_at_once():
    net = Net(3).run(100)
    net.send(0, 1, b"never sent")
    net.ends[0].set_peers({KEYS[2]: address(2)})
    net.taped.clear()
    for _ in range(10):
        net.send(1, 0, b"let me in")
        net.run(2000)
    assert net.inbox[0] == net.inbox[1] == []
    assert {to for to, datagram, source in net.taped if source == address(0)} == {address(1)}
    assert net.ends[0].counters["UnknownContext"] and net.ends[0].counters["UnknownCredential"]
    assert KEYS[1] not in net.ends[0].last_seen and KEYS[1] not in net.ends[0].stats
    with pytest.raises(UsageError):
        net.send(0, 1, b"gone")
    net.send(2, 0, b"still here")
    net.run(50)
    assert net.got(0) == [b"still here"]


def test_a_stranger_gets_no_session():
    net = Net(2)
    net.ends[0].set_peers({})
    net.send(1, 0, b"hello")
    net.run(60_000)
    assert net.inbox[0] == [] and not net.ends[0]._sessions
    assert set(net.ends[0].counters) <= {"UnknownCredential", "RateLimited", "OutOfOrder"}


def test_a_key_other_than_the_pinned_one_gets_no_session():
    net = Net(2)
    net.ends[1] = PeerTransport(PRIVATES[2])
    net.ends[1].set_peers({KEYS[0]: address(0)})
    net.run(60_000)
    assert not net.ends[0]._sessions and not net.ends[0].last_seen
    # as initiator it has an unknown credential, as responder another key than the pinned one
    assert net.ends[0].counters["NotMember"] and net.ends[0].counters["UnknownCredential"]


def test_a_kid_without_its_private_key_is_rejected():
    for private, refusal in ((PRIVATES[2], "BadMac"), (PRIVATES[1], None)):
        net = Net(2)
        claimed = handshake.Credential(KEYS[1])
        mine = handshake.Credential(KEYS[0])
        outgoing = handshake.OutgoingHandshake(private, claimed, mine, b"abcd", address(1))
        end = net.ends[0]
        for _ in range(3):
            end.receive(outgoing.datagram(1, 0), address(1), 0)
            for _, datagram in end.flush(0):
                message = frames.parse(datagram)
                if message.token != outgoing.token:
                    continue
                if message.payload:
                    outgoing.take_message_2(message.payload)
                else:
                    outgoing.take_echo(message.options[0][1])
        assert list(end.counters) == ([refusal] if refusal else [])
        assert len(end._sessions) == (0 if refusal else 1)


def test_reflected_datagrams_open_no_session():
    net = Net(2)
    end = net.ends[0]
    for _ in range(10):
        for _, datagram in end.flush(net.now_ms):
            end.receive(datagram, address(1), net.now_ms)
        net.now_ms += 300
    assert not end._sessions and end.counters["NotMember"]


def test_invalid_and_duplicate_peer_keys_are_refused():
    end = PeerTransport(PRIVATES[0])
    negative = bytes((5 - KEYS[1][0],)) + KEYS[1][1:]
    for keys in (
        [KEYS[0]],
        [KEYS[1], negative],
        [KEYS[1][1:]],
        [b"\2" + b"\xff" * 32],
        [b"\4" + KEYS[1][1:]],
    ):
        with pytest.raises(UsageError):
            end.set_peers(dict.fromkeys(keys, "a:1"))
    assert end.stats == {} and end.next_ms(0) is None and end.flush(0) == []


def test_replayed_datagrams_change_nothing():
    net = Net(2, seed=5, delay_ms=(1, 30))
    for number in range(30):
        for i in (0, 1):
            net.send(i, 1 - i, numbered(i, number))
        net.run(20)
    net.run(200)
    sessions = [set(end._sessions) for end in net.ends]
    inboxes = [list(inbox) for inbox in net.inbox]
    replays = list(net.taped)
    for _ in range(3):
        net.random.shuffle(replays)
        for to, datagram, source in replays:
            net.arrive(net.addresses.index(to), datagram, source)
            net.arrive(net.addresses.index(to), datagram, "6.6.6.6:6")
    assert net.inbox == inboxes
    assert [set(end._sessions) for end in net.ends] == sessions
    assert all(end.counters["Replayed"] for end in net.ends)
    net.run(100)
    net.send(0, 1, b"goes on")
    net.run(50)
    assert net.got(1)[-1] == b"goes on" and net.is_joined(0, 1)

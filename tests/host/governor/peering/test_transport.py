"""The peer transport over links that lose, duplicate and reorder datagrams."""

import itertools
import os

import pytest
from peering_rig import KEYS, Net, address, numbered

from writ.errors import UsageError
from writ.limits import SEQUENCE_MAX
from writ.wire.oscore import Context
from writ_host.governor.peering import (
    frames,
    transport,
)
from writ_host.governor.peering import (
    session as peersession,
)


def test_messages_arrive_and_share_datagrams():
    net = Net(2).run(100)
    before = len(net.taped)
    messages = [bytes([i]) * 100 for i in range(20)]
    for message in messages:
        net.send(0, 1, message)
    net.run(100)
    assert net.inbox[1] == [(0, message) for message in messages]
    assert len(net.taped) - before == 2
    assert net.ends[0].stats[KEYS[1]].messages_out == 20
    stats = net.ends[1].stats[KEYS[0]]
    assert stats.messages_in == 20 and stats.bytes_in > 2000 and stats.datagrams_in >= 2
    assert net.ends[0].counters == {}


@pytest.mark.parametrize("size", [1, 1197, 1198, 2048, 2049, 60_000, 65_536])
def test_any_size_arrives(size):
    net = Net(2, seed=size, twice=0.3).run(100)
    messages = [b"before", os.urandom(size), b"after"]
    for message in messages:
        net.send(0, 1, message)
    net.run(200)
    assert net.got(1) == messages


def test_fragments_may_be_reordered_within_the_replay_window():
    net = Net(2, seed=4).run(100)
    message = os.urandom(65_536)
    net.send(0, 1, message)
    sent = [datagram for _, datagram in net.ends[0].flush(net.now_ms)]
    while sent:
        near = sent[:16]
        del sent[:16]
        net.random.shuffle(near)
        for datagram in near + near:
            net.arrive(1, datagram, address(0))
    assert net.got(1) == [message] and net.ends[1].counters == {"Replayed": 64}


@pytest.mark.parametrize("size", [0, 65_537])
def test_messages_of_a_wrong_size_or_to_a_stranger_are_refused(size):
    with pytest.raises(UsageError):
        Net(2).send(0, 1, bytes(size))
    with pytest.raises(UsageError):
        Net(2).ends[0].send(KEYS[2], b"to a stranger")


def test_a_lost_fragment_loses_that_message_only():
    net = Net(2).run(100)
    first, second = os.urandom(5000), os.urandom(5000)
    net.send(0, 1, first)
    net.send(0, 1, second)
    sent = net.ends[0].flush(net.now_ms)
    assert len(sent) == 10
    del sent[2]
    net.random.shuffle(sent)
    for _, datagram in sent:
        net.arrive(1, datagram, address(0))
    assert net.got(1) == [second]


def test_large_messages_go_in_bursts():
    net = Net(2).run(100)
    for _ in range(4):
        net.send(0, 1, os.urandom(65_536))
    assert len(net.ends[0].flush(net.now_ms)) == peersession.BURST_DATAGRAMS
    assert net.ends[0].next_ms(net.now_ms) == peersession.BURST_MS


def test_a_queue_is_bounded_and_the_newest_stay():
    net = Net(2)
    for number in range(2000):
        net.send(0, 1, numbered(0, number))
    assert net.ends[0].counters["TableFull"] == 2000 - peersession.QUEUE_MESSAGES_MAX
    net.run(2000)
    assert net.got(1) == [numbered(0, i) for i in range(2000)][-peersession.QUEUE_MESSAGES_MAX :]
    for _ in range(100):
        net.send(0, 1, bytes(65_536))
    assert net.ends[0]._peers[KEYS[1]]._queue_bytes <= peersession.QUEUE_BYTES_MAX


def test_stale_messages_are_not_sent_to_a_peer_that_returns():
    net = Net(2)
    net.cut = {address(1)}
    net.send(0, 1, b"old")
    net.run(3 * peersession.QUEUE_MS)
    net.send(0, 1, b"new")
    net.cut = set()
    net.run(10_000)
    assert net.got(1) == [b"new"]


def test_idle_peers_send_nothing():
    net = Net(4).run(20_000)
    before = len(net.taped)
    net.run(600_000)
    assert len(net.taped) == before


def test_one_way_traffic_gets_keepalives_and_no_new_handshake():
    net = Net(2).run(100)
    session = net.ends[0]._peers[KEYS[1]].current
    for _ in range(60):
        net.send(0, 1, b"x")
        net.run(1000)
    assert len(net.inbox[1]) == 60 and net.inbox[0] == []
    assert net.ends[0].last_seen[KEYS[1]][1] > net.now_ms - 3000
    # nor when the traffic ends: a keepalive is not answered
    net.run(60_000)
    assert net.ends[0]._peers[KEYS[1]].current is session and net.is_joined(0, 1)


# Sessions


@pytest.mark.parametrize("seed", range(40))
def test_handshakes_of_both_sides_at_once_lose_no_message(seed):
    net = Net(2, seed, twice=0.1, delay_ms=(1, 40))
    sent = ([], [])
    for number in range(200):
        for i in (0, 1):
            sent[i].append(numbered(i, number))
            net.send(i, 1 - i, sent[i][-1])
        net.run(5)
    net.run(1000)
    assert sorted(net.got(1)) == sorted(sent[0]) and sorted(net.got(0)) == sorted(sent[1])
    assert net.is_joined(0, 1)
    net.run(2 * transport.OLD_MS)
    assert [len(end._sessions) for end in net.ends] == [1, 1]


@pytest.mark.parametrize("seed", range(30))
def test_lossy_links_end_in_one_session_and_nothing_arrives_twice(seed):
    net = Net(4, seed, loss=0.3, twice=0.2, delay_ms=(1, 200))
    for number in range(40):
        for i, j in itertools.permutations(range(4), 2):
            net.send(i, j, numbered(i, number))
        net.run(1000)
    for i, j in itertools.permutations(range(4), 2):
        came = {message for sender, message in net.inbox[j] if sender == i}
        assert len(came) > 10
        # no duplicates, nothing that was not sent
        assert came <= {numbered(i, number) for number in range(40)}
        assert len(net.inbox[j]) == len(set(net.inbox[j]))
    net.loss, net.delay_ms = 0, (1, 2)
    for _ in range(20):
        for i, j in itertools.permutations(range(4), 2):
            net.send(i, j, b"again")
        net.run(1000)
    assert all(net.is_joined(i, j) for i, j in itertools.combinations(range(4), 2))


@pytest.mark.parametrize("which", [0, 1])
def test_a_restart_is_noticed_by_its_handshake(which):
    net = Net(2).run(20_000)
    net.start(which)
    net.run(50)
    for i in (0, 1):
        net.send(i, 1 - i, b"hello")
    net.run(50)
    assert net.got(0) == net.got(1) == [b"hello"]
    assert net.is_joined(0, 1)


@pytest.mark.parametrize("which", [0, 1])
def test_a_restarted_peer_that_cannot_reach_us_is_noticed_by_silence(which):
    net = Net(2).run(20_000)
    net.start(which)
    net.ends[which].set_peers({KEYS[1 - which]: "10.9.9.9:1"})
    net.send(1 - which, which, b"lost")
    net.run(peersession.SILENCE_MS + 1000)
    assert net.is_joined(0, 1) and net.inbox[which] == []
    net.send(which, 1 - which, b"found")
    net.run(50)
    assert net.got(1 - which) == [b"found"]


def test_a_session_survives_a_partition():
    net = Net(2).run(20_000)
    net.cut = {address(1)}
    for _ in range(60):
        net.send(0, 1, b"lost")
        net.run(1000)
    net.cut = set()
    net.send(0, 1, b"at once")
    net.run(50)
    assert net.got(1) == [b"at once"]
    net.run(20_000)
    assert net.is_joined(0, 1)


@pytest.mark.parametrize("limit", ["age", "sequence", "forgeries"])
def test_keys_are_replaced_in_time_without_losing_messages(limit, monkeypatch):
    if limit == "age":
        monkeypatch.setattr(peersession, "REKEY_MS", 5000)
    if limit == "sequence":
        monkeypatch.setattr(peersession, "REKEY_SEQUENCE", 100)
    if limit == "forgeries":
        monkeypatch.setattr(peersession, "REKEY_FORGERIES", 10)
    net = Net(2, seed=3, delay_ms=(1, 20))
    contexts = set()
    for number in range(400):
        for i in (0, 1):
            net.send(i, 1 - i, numbered(i, number))
        net.run(50)
        contexts.add(net.ends[0]._peers[KEYS[1]].current.context.sender_id)
        if limit == "forgeries":
            ours = net.ends[0]._peers[KEYS[1]].current.context
            forger = Context(b"wrong", b"", ours.recipient_id, ours.sender_id, None, 10_000)
            net.arrive(0, frames.seal(forger, 1, frames.KEEPALIVE), address(1))
    net.run(100)
    assert [len(inbox) for inbox in net.inbox] == [400, 400]
    assert 3 <= len(contexts) <= 100
    assert len(net.ends[0]._sessions) <= transport.SESSIONS_EACH_MAX


def test_messages_wait_for_new_keys_when_sequence_numbers_run_out():
    net = Net(2).run(20_000)
    net.ends[0]._peers[KEYS[1]].current.context.sequence = SEQUENCE_MAX
    net.send(0, 1, b"waits")
    net.run(1000)
    assert net.got(1) == [b"waits"] and net.ends[0].counters == {"SequenceExhausted": 1}


def test_a_peer_that_moves_is_followed():
    net = Net(2).run(20_000)
    net.addresses[1] = "10.0.0.99:1234"
    net.send(1, 0, b"from elsewhere")
    net.run(50)
    assert net.ends[0].last_seen[KEYS[1]][0] == "10.0.0.99:1234"
    net.send(0, 1, b"to elsewhere")
    net.run(50)
    assert net.got(1) == [b"to elsewhere"]
    # a delayed datagram from another address, and its replay, do not change the peer's address
    net.send(0, 1, b"late")
    (_, late), *_ = net.ends[0].flush(net.now_ms)
    net.send(0, 1, b"early")
    net.run(50)
    for _ in range(2):
        net.arrive(1, late, "6.6.6.6:6")
        assert net.ends[1].last_seen[KEYS[0]][0] == address(0)
    assert net.got(1) == [b"to elsewhere", b"early", b"late"]
    # it moves back, restarts and cannot reach us: we try the pinned address too
    net.addresses[1] = address(1)
    net.start(1)
    net.ends[1].set_peers({KEYS[0]: "10.9.9.9:1"})
    net.send(0, 1, b"into the void")
    net.run(20_000)
    assert net.is_joined(0, 1) and net.ends[0].last_seen[KEYS[1]][0] == address(1)

"""The fair queue: a peer that floods delays its own messages, and is paused at its limit."""

import random

from writ_host.governor.peering.fairqueue import MESSAGE_BYTES_MIN, WAITING_BYTES_MAX, FairQueue

ANNA, BEN, CARL = b"a" * 33, b"b" * 33, b"c" * 33


def served(queue: FairQueue, cost_s: dict[bytes, float], count: int) -> list[bytes]:
    """The peers of the next messages, each of which takes `cost_s` of its peer."""
    order = []
    for _ in range(count):
        found = queue.next()
        assert found is not None
        order.append(found[0])
        queue.charge(found[0], cost_s[found[0]])
    return order


def test_messages_of_one_peer_keep_their_order() -> None:
    queue = FairQueue()
    assert not queue and queue.next() is None
    for number in range(5):
        queue.add(ANNA, bytes((number,)))
    assert [served(queue, {ANNA: 1.0}, 1) for _ in range(2)] == [[ANNA]] * 2
    found = []
    while queue:
        peer, message = queue.next() or (b"", b"")
        queue.charge(peer, 0.5)
        found.append(message)
    assert found == [bytes((number,)) for number in (2, 3, 4)]


def test_expensive_messages_are_handled_seldom() -> None:
    queue = FairQueue()
    for _ in range(100):
        queue.add(ANNA, b"dear")
        queue.add(BEN, b"cheap")
    order = served(queue, {ANNA: 0.030, BEN: 0.001}, 62)
    assert order.count(ANNA) == 2


def test_a_quiet_peer_earns_no_credit_and_pays_nothing() -> None:
    queue = FairQueue()
    for _ in range(1000):
        queue.add(ANNA, b"flood")
    assert served(queue, {ANNA: 1.0}, 100) == [ANNA] * 100
    # a peer that begins now is next, but gets no more than its share from then on
    for _ in range(100):
        queue.add(BEN, b"x")
    order = served(queue, {ANNA: 1.0, BEN: 1.0}, 20)
    assert order[:2] in ([ANNA, BEN], [BEN, ANNA]) and order.count(ANNA) == 10
    while queue:
        served(queue, {ANNA: 1.0, BEN: 1.0}, 1)
    queue.add(BEN, b"x")
    queue.add(CARL, b"x")
    assert set(served(queue, {BEN: 1.0, CARL: 1.0}, 2)) == {BEN, CARL}


def test_a_full_peer_is_paused_until_half_of_its_queue_is_handled() -> None:
    queue = FairQueue()
    size = 1000
    while ANNA not in queue.full:
        queue.add(ANNA, bytes(size))
    queue.add(BEN, b"x")
    assert queue.full == {ANNA}
    waiting = WAITING_BYTES_MAX // (size + MESSAGE_BYTES_MIN) + 1
    count = 0
    while ANNA in queue.full:
        count += served(queue, {ANNA: 1.0, BEN: 1.0}, 1) == [ANNA]
    assert abs(count - waiting / 2) <= 1


def test_small_messages_count_more_than_their_bytes() -> None:
    queue = FairQueue()
    count = 0
    while not queue.full:
        queue.add(ANNA, b"")
        count += 1
    assert count == WAITING_BYTES_MAX // MESSAGE_BYTES_MIN


def test_every_message_is_handled_once() -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    queue, sent, done = FairQueue(), 0, 0
    for _ in range(5000):
        if rng.random() < 0.5:
            queue.add(rng.choice((ANNA, BEN, CARL)), bytes(rng.randrange(5000)))
            sent += 1
        elif (found := queue.next()) is not None:
            queue.charge(found[0], rng.random())
            done += 1
    while (found := queue.next()) is not None:
        queue.charge(found[0], rng.random())
        done += 1
    assert sent == done and not queue and not queue.full, f"seed {seed}"

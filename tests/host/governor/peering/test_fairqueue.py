"""Who floods takes its own turns: which message is handled next, and of whom none is read."""

import random

from writ_host.governor.peering.fairqueue import MESSAGE_BYTES_MIN, WAITING_BYTES_MAX, FairQueue

ANNA, BEN, CARL = b"a" * 33, b"b" * 33, b"c" * 33


def served(turns: FairQueue, cost_s: dict[bytes, float], count: int) -> list[bytes]:
    """Whose messages came in turn, each taking as long as is said."""
    order = []
    for _ in range(count):
        found = turns.next()
        assert found is not None
        order.append(found[0])
        turns.took(found[0], cost_s[found[0]])
    return order


def test_messages_of_one_keep_their_order() -> None:
    turns = FairQueue()
    assert not turns and turns.next() is None
    for number in range(5):
        turns.add(ANNA, bytes((number,)))
    assert [served(turns, {ANNA: 1.0}, 1) for _ in range(2)] == [[ANNA]] * 2
    found = []
    while turns:
        peer, message = turns.next() or (b"", b"")
        turns.took(peer, 0.5)
        found.append(message)
    assert found == [bytes((number,)) for number in (2, 3, 4)]


def test_what_costs_much_comes_seldom() -> None:
    turns = FairQueue()
    for _ in range(100):
        turns.add(ANNA, b"dear")
        turns.add(BEN, b"cheap")
    order = served(turns, {ANNA: 0.030, BEN: 0.001}, 62)
    assert order.count(ANNA) == 2


def test_silence_saves_nothing_and_costs_nothing() -> None:
    turns = FairQueue()
    for _ in range(1000):
        turns.add(ANNA, b"flood")
    assert served(turns, {ANNA: 1.0}, 100) == [ANNA] * 100
    # whoever comes now is next, and does not make up for what it has not said
    for _ in range(100):
        turns.add(BEN, b"x")
    order = served(turns, {ANNA: 1.0, BEN: 1.0}, 20)
    assert order[:2] in ([ANNA, BEN], [BEN, ANNA]) and order.count(ANNA) == 10
    while turns:
        served(turns, {ANNA: 1.0, BEN: 1.0}, 1)
    turns.add(BEN, b"x")
    turns.add(CARL, b"x")
    assert set(served(turns, {BEN: 1.0, CARL: 1.0}, 2)) == {BEN, CARL}


def test_of_whom_too_much_waits_nothing_is_read_until_half_is_done() -> None:
    turns = FairQueue()
    size = 1000
    while ANNA not in turns.full:
        turns.add(ANNA, bytes(size))
    turns.add(BEN, b"x")
    assert turns.full == {ANNA}
    waiting = WAITING_BYTES_MAX // (size + MESSAGE_BYTES_MIN) + 1
    count = 0
    while ANNA in turns.full:
        count += served(turns, {ANNA: 1.0, BEN: 1.0}, 1) == [ANNA]
    assert abs(count - waiting / 2) <= 1


def test_small_messages_cost_more_than_their_bytes() -> None:
    turns = FairQueue()
    count = 0
    while not turns.full:
        turns.add(ANNA, b"")
        count += 1
    assert count == WAITING_BYTES_MAX // MESSAGE_BYTES_MIN


def test_in_the_end_nothing_is_left_whatever_came() -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    turns, sent, done = FairQueue(), 0, 0
    for _ in range(5000):
        if rng.random() < 0.5:
            turns.add(rng.choice((ANNA, BEN, CARL)), bytes(rng.randrange(5000)))
            sent += 1
        elif (found := turns.next()) is not None:
            turns.took(found[0], rng.random())
            done += 1
    while (found := turns.next()) is not None:
        turns.took(found[0], rng.random())
        done += 1
    assert sent == done and not turns and not turns.full, f"seed {seed}"

"""Fragments over a bad channel: losses by chance, and any order and number of repetitions."""

from __future__ import annotations

import random

import fragment_rig
from hypothesis import given, settings
from hypothesis import strategies as st
from lossy_rig import POLICY, TILES, link

from writ.errors import BadMessage, Rejection, TableFull
from writ.limits import FRAGMENT_COUNT_MAX, MESH_MESSAGE_BYTES_MAX
from writ.mesh.fragment import Reassembly, Sender


def test_a_policy_crosses_a_link_that_loses_a_fifth_in_both_directions() -> None:
    frames = []
    for seed in range(1000):
        run = link(seed, 0.2)
        assert run.run() == [POLICY] and run.sender.is_done, seed
        frames.append(run.frames)
    # no fewer than without loss; on average less than twice as many
    assert min(frames) >= TILES == 13
    assert sum(frames) < 2 * TILES * len(frames)


def test_without_loss_there_is_nothing_but_tiles_and_one_ack() -> None:
    run = link(1, 0)
    assert run.run() == [POLICY]
    assert (run.frames, run.count) == (TILES, TILES + 1)


def test_a_dead_link_ends_with_a_failure() -> None:
    run = link(1, 1)
    assert run.run() == [] and run.sender.is_failed


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[bytes, int, list[int]]:
    """(message, tile size, an order in which its tiles arrive, with repetitions)."""
    message = draw(st.binary(min_size=1, max_size=MESH_MESSAGE_BYTES_MAX))
    least = -(-len(message) // FRAGMENT_COUNT_MAX)
    size = draw(st.integers(least, max(least, 220)))
    count = -(-len(message) // size)
    more = draw(st.lists(st.integers(0, count - 1), max_size=40))
    return message, size, draw(st.permutations([*range(count), *more]))


@given(shuffled())
def test_any_order_with_repetitions_gives_the_message_once(
    case: tuple[bytes, int, list[int]],
) -> None:
    message, size, order = case
    reassembly = Reassembly(1000)
    frames = fragment_rig.tiles(9, message, size)
    found = [reassembly.receive("a", frames[index], 0)[0] for index in order]
    assert [item for item in found if item is not None] == [message]
    assert len(reassembly) == 0


class BadLink:
    """Delivers what is sent once or twice, at once or after some of what follows."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now_ms = 0
        self.late: list[tuple[int, bool, bytes]] = []

    def send(self, is_ack: bool, payload: bytes | None) -> None:
        for _ in range(self.chance.choice((1, 1, 2)) if payload else 0):
            assert payload
            self.late.append((self.now_ms + self.chance.choice((0, 0, 0, 1, 3)), is_ack, payload))

    def receive(self) -> list[tuple[bool, bytes]]:
        due = [item for item in self.late if item[0] <= self.now_ms]
        self.late = [item for item in self.late if item[0] > self.now_ms]
        self.now_ms += 1
        return [item[1:] for item in due]


# four tiles at the least: no frame is late by more than a message
@given(st.lists(st.binary(min_size=10, max_size=60), min_size=1, max_size=8), st.randoms())
def test_messages_one_after_the_other_on_a_link_that_doubles_and_delays(
    messages: list[bytes], chance: random.Random
) -> None:
    link = BadLink(chance)
    reassembly = Reassembly(10**9)
    arrived = []
    for number, message in enumerate(messages):
        sender = Sender(number, message, 5, 100, 10**9)
        while not sender.is_done:
            assert not sender.is_failed
            link.send(False, sender.next_frame(link.now_ms))
            for is_ack, payload in link.receive():
                if is_ack:
                    sender.acknowledged(payload, link.now_ms)
                else:
                    whole, ack = reassembly.receive("a", payload, link.now_ms)
                    arrived += [whole] if whole is not None else []
                    link.send(True, ack)
    assert arrived == messages


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40)), max_size=60))
def test_foreign_bytes_raise_rejections_only_and_stay_bounded(
    frames: list[tuple[int, bytes]],
) -> None:
    reassembly = Reassembly(10, 3)
    for now_ms, (source, payload) in enumerate(frames):
        try:
            message, ack = reassembly.receive(source, payload, now_ms)
        except (BadMessage, TableFull):
            continue
        finally:
            assert len(reassembly) <= 3
        assert message is None or 0 < len(message) <= MESH_MESSAGE_BYTES_MAX
        if ack is not None:
            sender = Sender(payload[0] >> 2, bytes(32), 3, 1, 10)
            sender.acknowledged(ack, 0)


@given(st.binary(max_size=8), st.integers(0, 63))
def test_foreign_acks_raise_rejections_only(payload: bytes, number: int) -> None:
    sender = Sender(number, bytes(20), 5, 1, 10)
    for _ in range(7):
        assert sender.next_frame(0)
    try:
        sender.acknowledged(payload, 0)
    except Rejection as rejection:
        assert isinstance(rejection, BadMessage)
        assert sender.next_frame(0) is None

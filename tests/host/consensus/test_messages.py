"""Values, messages and hard states: strict decoding."""

import random

import pytest
from consensus_rig import Network, payload, value
from hypothesis import given, settings
from hypothesis import strategies as st

from writ.authority.capsule import BEACON, MEMBER, POLICY
from writ_host.consensus import messages
from writ_host.consensus.effects import (
    Decide,
    Propose,
    Received,
    Send,
    Write,
)
from writ_host.consensus.hardstate import HardState
from writ_host.consensus.value import Value
from writ_host.errors import Malformed


def test_a_value_is_of_one_epoch_and_of_ordered_kinds():
    for payloads in (
        (payload(POLICY, 1, "a"), payload(POLICY, 2, "a")),
        (payload(BEACON, 1, b"123456"),),
        (payload(MEMBER, 1),),
        (),
        (b"\xff",),
        (payload(POLICY, 1),) * 2,
    ):
        with pytest.raises(Malformed):
            Value(payloads)


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_random_bytes_raise_only_malformed(data):
    for read in (messages.decode, HardState.from_bytes):
        with pytest.raises(Malformed):
            read(data)


def test_altered_messages_raise_nothing_and_change_no_decision(signers):
    rng = random.Random(3)
    network = Network(signers)
    network.step(1, Propose(value(1)))
    network.deliver()
    sent = [effect.data for _, effect in network.effects_of(Send)]
    fresh = Network(signers)
    for data in sent:
        for _ in range(5):
            cut = bytearray(data)
            cut[rng.randrange(len(cut))] ^= 1 << rng.randrange(8)
            fresh.step(1, Received(rng.randrange(0, 9), bytes(cut)))
    assert all(decide.value == value(1) for _, decide in fresh.effects_of(Decide))


def test_every_message_and_record_survives_a_round_trip(signers):
    network = Network(signers)
    network.step(1, Propose(value(1)))
    network.deliver()
    for _, effect in network.effects_of(Send):
        assert messages.encode(messages.decode(effect.data)) == effect.data
    for _, effect in network.effects_of(Write):
        assert HardState.from_bytes(effect.record).to_bytes() == effect.record

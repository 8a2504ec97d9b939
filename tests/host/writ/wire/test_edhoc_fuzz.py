"""No input to EDHOC raises anything but a `Rejection`, and none is taken for a peer's."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from edhoc_more import read_4
from hypothesis import example, given, settings
from hypothesis import strategies as st

from writ import cbor, crypto
from writ.errors import Rejection
from writ.wire import edhoc

pytestmark = pytest.mark.slow

KEY_I = bytes(31) + b"\x07"
KEY_R = bytes(31) + b"\x08"
X_I = crypto.p256_public(KEY_I)[0]
X_R = crypto.p256_public(KEY_R)[0]
EPHEMERAL_I = bytes(31) + b"\x09"
EPHEMERAL_R = bytes(31) + b"\x0a"
LABELS = (7,)

fuzz = settings(max_examples=150)


class Forger:
    """Mixed into a role: sends the plaintext that it is given, well encrypted."""

    forged = b""

    def _prove(self, *args: Any) -> bytes:
        return self.forged


class ForgingInitiator(Forger, edhoc.Initiator):
    pass


class ForgingResponder(Forger, edhoc.Responder):
    pass


def initiator(cls: Any = edhoc.Initiator) -> Any:
    side = cls(KEY_I, b"i", LABELS, (2,), EPHEMERAL_I)
    side.message_1()
    return side


def responder(cls: Any = edhoc.Responder, forged: bytes = b"") -> tuple[Any, bytes]:
    side = cls(KEY_R, b"r", LABELS, EPHEMERAL_R)
    side.forged = forged
    side.read_1(edhoc.Initiator(KEY_I, b"i", (), (2,), EPHEMERAL_I).message_1())
    return side, side.message_2(("kid", b"R"), b"CRED_R")


def before_3(cls: Any, forged: bytes = b"") -> tuple[Any, Any, bytes]:
    peer = initiator(cls)
    peer.forged = forged
    side, message_2 = responder()
    peer.read_2(message_2)
    peer.verify_2(b"CRED_R", X_R)
    return side, peer, peer.message_3(("kid", b"I"), b"CRED_I")


@functools.cache
def honest() -> tuple[bytes, ...]:
    """The four messages of a good session, to be altered."""
    side, _, message_3 = before_3(edhoc.Initiator)
    side.read_3(message_3)
    side.verify_3(b"CRED_I", X_I)
    message_1 = edhoc.Initiator(KEY_I, b"i", (), (2,), EPHEMERAL_I).message_1()
    return message_1, responder()[1], message_3, side.message_4([(7, True, b"x")])


def refused(function: Callable[..., Any], *args: Any) -> bool:
    """Whether `function` refuses; anything but a `Rejection` goes on to fail the test."""
    try:
        function(*args)
    except Rejection as rejection:
        edhoc.to_error(rejection)
        return True
    return False


# CBOR that comes near to what is expected, and sequences of it
atoms = st.one_of(
    st.integers(-30, 30),
    st.integers(-(2**64), 2**64 - 1),
    st.binary(max_size=12),
    st.sampled_from([bytes(8), bytes(32), X_I]),
    st.text(max_size=4),
    st.booleans(),
    st.none(),
)
keys = st.sampled_from([4, 13, 14, 34, "a", b"a"])
items = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
sequences = st.lists(items, max_size=7).map(lambda values: b"".join(map(cbor.encode, values)))
inputs = st.one_of(st.binary(max_size=80), sequences, sequences.map(cbor.encode))


@st.composite
def altered(draw: st.DrawFn, which: int) -> bytes:
    """One of the honest messages with some bytes replaced, inserted or cut."""
    message = honest()[which]
    start = draw(st.integers(0, len(message)))
    end = draw(st.integers(start, min(len(message), start + 3)))
    return message[:start] + draw(st.binary(max_size=4)) + message[end:]


@st.composite
def claims(draw: st.DrawFn, c_r: bytes) -> bytes:
    """A plaintext of message 2 or 3 that gets past some of the checks."""
    id_cred = draw(items)
    mac = draw(st.sampled_from([bytes(8), bytes(7), 8]))
    rest = draw(sequences)
    return c_r + cbor.encode(id_cred) + cbor.encode(mac) + rest


@fuzz
@given(st.one_of(inputs, inputs.map(lambda tail: b"\x03\x02\x58\x20" + X_I + tail), altered(0)))
def test_message_1(data: bytes) -> None:
    side = edhoc.Responder(KEY_R, b"r", LABELS, EPHEMERAL_R)
    if not refused(side.read_1, data):
        refused(side.message_2, ("kid", b"R"), b"CRED_R")


@fuzz
@given(st.one_of(inputs, inputs.map(lambda tail: cbor.encode(X_R + tail)), altered(1)))
def test_message_2(data: bytes) -> None:
    side = initiator()
    assert (
        refused(side.read_2, data) or refused(side.verify_2, b"CRED_R", X_R) or data == honest()[1]
    )


@fuzz
@given(st.one_of(inputs, altered(2)))
def test_message_3(data: bytes) -> None:
    assert refused(responder()[0].read_3, data) or data == honest()[2]


@fuzz
@given(st.one_of(inputs, altered(3)))
def test_message_4(data: bytes) -> None:
    _, peer, _ = before_3(edhoc.Initiator)
    assert refused(read_4, peer, data) or data == honest()[3]


@fuzz
@given(st.one_of(inputs, claims(b"\x05")))
@example(b"\x05\xa1\x0e\xa1\xf5\x00\x48" + bytes(8))
def test_forged_plaintext_2(plaintext: bytes) -> None:
    message_2 = responder(ForgingResponder, plaintext)[1]
    side = initiator()
    assert refused(side.read_2, message_2) or refused(side.verify_2, b"CRED_R", X_R)


@fuzz
@given(st.one_of(inputs, claims(b"")))
def test_forged_plaintext_3(plaintext: bytes) -> None:
    side, _, message_3 = before_3(ForgingInitiator, plaintext)
    assert refused(side.read_3, message_3) or refused(side.verify_3, b"CRED_I", X_I)


@fuzz
@given(inputs)
def test_parse_error(data: bytes) -> None:
    try:
        code, info = edhoc.parse_error(data)
    except Rejection:
        return
    assert edhoc.error_message(code, info) == data
